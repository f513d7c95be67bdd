"""Where bytes come from: single files, folders, and the official `.tar` archives, which are read without unpacking."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ptocr.errors import WeightsError

MAX_SIZE = 2 << 30  # bytes in an archive, unpacked; the largest official model has 0.2 GB


@dataclass(frozen=True)
class Member:
    """A file: `where` names it in messages, `name` is its plain name, `folder` what its companions share."""

    where: str
    name: str
    folder: str
    open: Callable[[], BinaryIO]

    def read(self) -> bytes:
        with self.open() as stream:
            return stream.read()

    def head(self, size: int = 4096) -> bytes:
        with self.open() as stream:
            return stream.read(size)

    def sha256(self) -> str:
        digest = hashlib.sha256()
        with self.open() as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()


def _of(path: Path) -> Member:
    return Member(str(path), path.name, str(path.parent), lambda: path.open("rb"))


def members(path: Path) -> list[Member]:
    """The files that belong to what a user names: a file and its companions in the same folder, a folder's files, or an
    archive's. The named file comes first.

    Raises:
        WeightsError: nothing there, an empty folder, a damaged archive.
    """
    if path.is_dir():
        found = [_of(p) for p in sorted(path.iterdir()) if p.is_file() and not p.name.startswith(".")]
        if not found:
            raise WeightsError(f"{path}: an empty folder; give one that holds weights")
        return found
    if not path.is_file():
        raise WeightsError(f"{path}: no such file or folder")
    if is_archive(path):
        return _archived(path)
    return [
        _of(path),
        *(_of(p) for p in sorted(path.parent.glob("*")) if p.stem == path.stem and p != path and p.is_file()),
    ]


def is_archive(path: Path) -> bool:
    """Whether a file is a tar archive, compressed or not."""
    with path.open("rb") as stream:
        head = stream.read(512)
    return head[257:262] == b"ustar" or (head[:2] in (b"\x1f\x8b", b"BZ") or head[:6] == b"\xfd7zXZ\x00")


def _archived(path: Path) -> list[Member]:
    """The plain files of an archive, in memory; links, devices and paths that lead out of it are errors."""
    found, size = [], 0
    try:
        with tarfile.open(path) as archive:
            for item in archive:
                inside = PurePosixPath(item.name)
                if item.isdir():
                    continue
                if not item.isfile() or inside.is_absolute() or ".." in inside.parts:
                    raise WeightsError(
                        f"{path}: refused, its member {item.name!r} is a link or leads out of the archive; "
                        "fetch the official archive"
                    )
                size += item.size
                if size > MAX_SIZE:
                    raise WeightsError(f"{path}: refused, it has more than {MAX_SIZE} bytes with {item.name!r}")
                if inside.name.startswith("."):
                    continue
                stream = archive.extractfile(item)
                data = b"" if stream is None else stream.read()
                found.append(Member(f"{path}:{item.name}", inside.name, str(inside.parent), _opener(data)))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise WeightsError(f"{path}: not a readable archive ({error}); it is damaged, fetch it again") from None
    if not found:
        raise WeightsError(f"{path}: an archive without files; fetch it again")
    return found


def _opener(data: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(data)
