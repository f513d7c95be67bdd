"""Writing files so that a reader never sees half of one and two inputs never share one."""

from __future__ import annotations

import itertools
import logging
import threading
import uuid
from collections import OrderedDict
from pathlib import Path

log = logging.getLogger(__name__)


def write_atomic(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`: folders are made, a temporary file beside it is renamed over it. Raises OSError."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{uuid.uuid4().hex}.part"
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class Claims:
    """Which input wrote which file in this process: results of a/x.png and b/x.png do not overwrite each other."""

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def claim(self, folder: Path, stem: str, tail: str, owner: str) -> Path:
        """`folder/stem+tail`, or with ~2, ~3 ... after the stem where another input has written that file before."""
        with self._lock:
            for number in itertools.count(1):
                path = folder / f"{stem}{'' if number == 1 else f'~{number}'}{tail}"
                if self._owners.setdefault(str(path.absolute()), owner) == owner:
                    break
            while len(self._owners) > self._limit:
                self._owners.popitem(last=False)
        if number > 1:
            log.warning("%s%s holds the result of another input; writing %s", stem, tail, path)
        return path
