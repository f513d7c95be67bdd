"""What a batch job reads: files, folders, globs, lists, archives and addresses as items, none of them opened."""

from __future__ import annotations

import functools
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from ptocr.errors import InputError, SpecError
from ptocr.inputs.read import SUFFIXES, find_files
from ptocr.inputs.url import is_url

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MOST_BYTES = 1 << 30  # of one member of an archive, or of one file behind an address


@dataclass(frozen=True)
class Item:
    """One input. source: path, address or archive; member: its name in the archive, "" for none; below: where its
    results go below the output folder, without suffix."""

    source: str
    member: str
    below: str

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.source}:{self.member}" if self.member else self.source


def list_items(inputs: list[str], recursive: bool = False) -> Iterator[Item | InputError]:
    """The items of paths, folders, globs, archives, `@FILE` (a list, one input a line), http(s) addresses, and
    addresses of other stores (`s3://bucket/scans/`), for which fsspec and its package for that store are needed.

    Raises:
        SpecError: fsspec is not installed, or knows no such store.
    """
    for text in inputs:
        if text.startswith("@"):
            yield from _listed(text[1:], recursive)
        elif "://" in text and not is_url(text):
            yield from _stored(text, recursive)
        else:
            for found in find_files(text, recursive=recursive):
                if isinstance(found, InputError):
                    yield found
                elif found.path.lower().endswith(ARCHIVES):
                    yield from _members(found.path)
                else:
                    yield Item(found.path, "", str(PurePosixPath(found.below).with_suffix("")))


def content(item: Item) -> str | bytes:
    """What `iter_pages` reads of an item: a path or address, or the bytes of a member or of a file in a store.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if item.member:
            return _member(item.source, item.member)
        if "://" in item.source and not is_url(item.source):
            files, path = _store(item.source)
            if files.size(path) > MOST_BYTES:
                raise InputError(f"{item.name}: is larger than {MOST_BYTES} bytes")
            return files.cat_file(path)
    except (OSError, KeyError, RuntimeError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise InputError(f"{item.name}: cannot be read ({error})") from error
    return item.source


def _listed(path: str, recursive: bool) -> Iterator[Item | InputError]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        yield InputError(f"{path}: this list cannot be read ({error})")
        return
    for line in lines:
        if line.strip() and not line.startswith("@"):  # a list may not lead to itself
            yield from list_items([line.strip()], recursive)


# ------------------------------------------------------------------------------------------------------------ archives


def _members(path: str) -> Iterator[Item | InputError]:
    """Pictures and PDFs in an archive, by their suffixes, in the archive's order."""
    name = PurePath(path).name
    stem = next(
        name[: -len(suffix)] for suffix in sorted(ARCHIVES, key=len, reverse=True) if name.lower().endswith(suffix)
    )
    try:
        with _opened(path) as archive:
            names = archive.namelist() if isinstance(archive, zipfile.ZipFile) else _regular(archive)
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        yield InputError(f"{path}: this archive cannot be read ({error})")
        return
    chosen = [n for n in names if _is_picture(PurePosixPath(n))]
    if not chosen:
        yield InputError(f"{path}: is an archive without pictures or PDFs (nothing to read here)")
    for member in chosen:
        # a name may hold "..", a drive or a root: only its plain parts say where results go
        parts = [
            part
            for part in PurePosixPath(member.replace("\\", "/")).parts
            if part not in ("..", "/") and ":" not in part
        ]
        yield Item(path, member, str(PurePosixPath(stem, *parts).with_suffix("")))


def _is_picture(path: PurePosixPath) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _opened(path: str) -> Any:
    return zipfile.ZipFile(path) if path.lower().endswith(".zip") else tarfile.open(path)


def _regular(archive: tarfile.TarFile) -> list[str]:
    return [member.name for member in archive.getmembers() if member.isreg()]


@functools.lru_cache(maxsize=4)
def _kept_open(path: str) -> Any:
    """Opening a tar means reading it through, so a process does it once."""
    return _opened(path)


def _member(path: str, name: str) -> bytes:
    archive = _kept_open(path)
    if isinstance(archive, zipfile.ZipFile):
        size, stream = archive.getinfo(name).file_size, archive.open(name)
    else:
        info = archive.getmember(name)
        size, stream = info.size, archive.extractfile(info)
    if size > MOST_BYTES or stream is None:
        raise InputError(f"{path}:{name}: is larger than {MOST_BYTES} bytes, or no file")
    with stream:
        data = stream.read(MOST_BYTES + 1)  # a header may lie
    if len(data) > MOST_BYTES:
        raise InputError(f"{path}:{name}: is larger than {MOST_BYTES} bytes")
    return data


# -------------------------------------------------------------------------------------------------------------- stores


def _store(address: str) -> tuple[Any, str]:
    try:
        import fsspec

        files, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise SpecError(f"{address}: {error}; pip install fsspec and the package for this kind of address") from None
    except ValueError as error:
        raise SpecError(f"{address}: {error}") from None
    return files, path


def _stored(address: str, recursive: bool) -> Iterator[Item | InputError]:
    """Pictures and PDFs behind an address: one file, a folder or a glob."""
    files, path = _store(address)
    scheme = address.partition("://")[0]
    try:
        if any(c in path for c in "*?["):
            found, top = files.glob(path), path.partition("*")[0].rpartition("/")[0]
        elif files.isdir(path):
            found, top = files.find(path, maxdepth=None if recursive else 1), path.rstrip("/")
        else:
            found, top = [path], path.rpartition("/")[0]
    except OSError as error:
        yield InputError(f"{address}: cannot be listed ({error})")
        return
    chosen = [p for p in sorted(found) if found == [path] or PurePosixPath(p).suffix.lower() in SUFFIXES]
    if not chosen:
        yield InputError(f"{address}: no pictures or PDFs (nothing to read here)")
    for place in chosen:
        below = place.removeprefix(top).lstrip("/")
        yield Item(f"{scheme}://{place}", "", str(PurePosixPath(below).with_suffix("")))
