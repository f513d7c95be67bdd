"""Files of machine code in the user's cache: loaded only if their hash is the one written down when they were built."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

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
        ValueError, OSError: damaged, or not there.
    """
    record: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    if hashlib.sha256(path.read_bytes()).hexdigest() != record["sha256"]:
        raise ValueError(f"{path}: its hash is not the one it was built with")
    return record


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
