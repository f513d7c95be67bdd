"""Files that others read too: written whole or not at all, built once however many ask, never two inputs in one."""

from __future__ import annotations

import contextlib
import errno
import glob
import itertools
import logging
import os
import tempfile
import threading
import unicodedata
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import filelock

from ptocr.errors import PtocrError

log = logging.getLogger(__name__)

LOCK_SECONDS = 1800.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def write_atomic(path: str | Path, content: bytes | Callable[[BinaryIO], object], durable: bool = False) -> None:
    """Atomic write: folders are made, a temporary file beside `path` is renamed over it.

    content: the bytes, or a function that writes them to the stream it is given. durable: on the disk before the
    rename, so that not even a power cut leaves an empty file under the name.

    Raises:
        OSError: the folder cannot be written, or is full; `filename` is the path. What was there before stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    refusal: list[OSError] = []
    try:
        with temporary.open("xb") as stream:
            if isinstance(content, bytes):
                stream.write(content)
            else:
                content(_Noting(stream, refusal))  # type: ignore[arg-type]  # a stream in all but name
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        if refusal:
            raise refusal[0]
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        cause = refusal[0] if refusal else error
        if isinstance(cause, OSError) and not _of_connection(cause):
            raise OSError(cause.errno, cause.strerror or str(cause), str(path)) from error
        raise


class _Noting:
    """A stream that notes why it could not be written: writers in C make something else of that, or nothing."""

    def __init__(self, stream: BinaryIO, refusal: list[OSError]) -> None:
        self._stream, self._refusal = stream, refusal

    def write(self, data: bytes) -> int:
        try:
            return self._stream.write(data)
        except OSError as error:
            self._refusal.append(error)
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _of_connection(error: OSError) -> bool:
    """Whether it is about a connection that content comes from: errors of urllib and ssl are OSErrors, too."""
    return type(error).__module__ != "builtins" or isinstance(error, ConnectionError | TimeoutError)


def made(
    path: Path,
    build: Callable[[Path], object],
    ready: Callable[[], bool] | None = None,
    failure: type[PtocrError] = PtocrError,
    remedy: str = "",
    wait: float = LOCK_SECONDS,
) -> Path:
    """Double-checked build of a cached file: lock, look again, build beside, rename. One process builds, others wait.

    build: writes the file whose path it is given, beside `path` and with its suffix. ready: asked under the lock,
    whether nothing needs to be built any more (None: whether `path` is a file). remedy: the end of error messages.

    Raises:
        failure: another process has held the lock for `wait` seconds; or the folder cannot be written or is full.
        Anything else that `build` raises.
    """
    with _locked(path, failure, remedy, wait):
        if path.is_file() if ready is None else ready():
            return path
        for left in path.parent.glob(f".{glob.escape(path.stem)}.*.part{path.suffix}"):  # by a process that was killed
            left.unlink(missing_ok=True)
        part = _beside(path)
        try:
            build(part)
            os.replace(part, path)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise _unwritable(path, error, failure, remedy) from None
            raise
        finally:
            part.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def _locked(path: Path, failure: type[PtocrError], remedy: str, wait: float) -> Iterator[None]:
    """One process at a time; an error says whether the lock or the folder is the reason."""
    lock = filelock.FileLock(path.parent / f".{path.name}.lock", timeout=wait)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:  # an OSError, too
        raise failure(
            f"{path}: another process has been making it for {wait:g} s; wait for it, or end it, and try again"
        ) from None
    except OSError as error:
        raise _unwritable(path, error, failure, remedy) from None
    try:
        yield
    finally:
        lock.release()


def _beside(path: Path) -> Path:
    """A hidden name in the same folder, for what is to be renamed to `path`."""
    return path.parent / f".{path.stem.lstrip('.')}.{uuid.uuid4().hex}.part{path.suffix}"


def _unwritable(path: Path, error: OSError, failure: type[PtocrError], remedy: str) -> PtocrError:
    reason = f"{path.parent}: cannot be written ({error.strerror or error})"
    return failure(f"{reason}; {remedy}" if remedy else reason)


def same_file(first: str | PurePath, second: str | PurePath) -> bool:
    """True when two paths mean one file: other spellings, symbolic and hard links, and names that differ only in case
    or in how accents are encoded, which some file systems do not tell apart.
    """
    with contextlib.suppress(OSError, ValueError):
        if os.path.samefile(first, second):
            return True
    return path_key(first) == path_key(second)


def path_key(path: str | PurePath) -> str:
    """A path without links, relative parts, case and ways to encode accents; the file need not exist."""
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def require_writable(path: str | Path) -> None:
    """Try whether a file could be written at `path`, by making one beside it or in the nearest folder above.

    Raises:
        OSError: it could not; `filename` is the folder that refuses, or the path.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is no folder", str(folder))
    try:
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None
    os.close(handle)
    Path(name).unlink()


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
