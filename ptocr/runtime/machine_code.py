"""Files of machine code in the user's cache: loaded only if nobody else can have put them there, and if their hash is
the one written down when they were built."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from ptocr import paths
from ptocr.files import write_atomic


def compiler() -> str | None:
    """The C++ compiler: $CXX, else the first of the usual ones; None if there is none."""
    wanted = os.environ.get("CXX")
    return next(
        (name for name in ([wanted] if wanted else ["g++", "clang++", "c++", "cl"]) if shutil.which(name)), None
    )


def checked(path: Path) -> dict[str, Any]:
    """What was written down beside a sound file.

    Raises:
        ValueError, OSError: damaged, not there, or open to other users.
    """
    for file in (path, path.with_suffix(".json")):
        require_own(file)
    record: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    if hashlib.sha256(path.read_bytes()).hexdigest() != record["sha256"]:
        raise ValueError(f"{path}: its hash is not the one it was built with")
    return record


def require_own(path: Path) -> None:
    """Nobody but this user (and root) can have written a file, or put another one in its place.

    A folder that is open to all is none of ours unless it is sticky (/tmp); a group may write if it is the user's own.

    Raises:
        ValueError: somebody else can; names the file or folder. OSError: not there.
    """
    if not hasattr(os, "geteuid"):  # Windows keeps a user's cache folder to the user
        return
    path = path.absolute()
    for place in (path, *path.resolve().parents):
        facts = place.stat()
        sticky = place != path and facts.st_mode & stat.S_ISVTX
        shared = facts.st_mode & stat.S_IWOTH or (facts.st_mode & stat.S_IWGRP and facts.st_gid != os.getegid())
        if facts.st_uid not in (os.geteuid(), 0) or (shared and not sticky):
            raise ValueError(
                f"{path}: machine code is loaded only from files that no other user can write, and {place} belongs to "
                f"user {facts.st_uid} with mode {stat.filemode(facts.st_mode)}; set PTOCR_COMPILED to a folder of yours"
            )


def is_sound(path: Path) -> bool:
    """Whether the file is there and is the one that was built."""
    try:
        checked(path)
    except (OSError, ValueError, KeyError):
        return False
    return True


def record(part: Path, path: Path, **facts: Any) -> None:
    """Write down, beside `path`, the hash of the built file `part` that is about to be renamed to it, and `facts`."""
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    path.unlink(missing_ok=True)  # never a new record beside an old file
    write_atomic(path.with_suffix(".json"), json.dumps({"sha256": digest, **facts}).encode())
    for file in (part, path.with_suffix(".json")):
        file.chmod(0o600)
    if path.parent == paths.home() / "compiled":  # a folder that the user named keeps its mode
        path.parent.chmod(0o700)
