"""Files of machine code in the user's cache: loaded only if their hash is the one written down when they were built."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any


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


def put(part: Path, path: Path, **facts: Any) -> None:
    """Rename a built file to its place, its hash and `facts` beside it."""
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    path.unlink(missing_ok=True)  # never a new record beside an old file
    path.with_suffix(".json").write_text(json.dumps({"sha256": digest, **facts}))
    os.replace(part, path)
