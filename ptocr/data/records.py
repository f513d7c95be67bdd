"""Random access to samples that lie packed in files: LMDBs as the text-recognition literature has them, and tars.

Millions of samples are held as arrays of numbers; an `Item` is made when it is asked for.
"""

from __future__ import annotations

import bisect
import functools
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from ptocr.errors import InputError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Item:
    """One sample. images: file paths (one is drawn when there are several), `LMDB-FOLDER#image-KEY`, or
    `TAR#bytes-OFFSET-SIZE`.

    label: DetLabel, text, class name, or None (no labels). where: label file and line, for messages.
    """

    images: tuple[str, ...]
    label: Any
    where: str

    @property
    def name(self) -> str:
        return f"{self.images[0]} ({self.where})"


@dataclass(frozen=True)
class ZoomLabel:
    """The sharp picture of a small line, named as in `Item.images`, and its text, perhaps empty."""

    sharp: str
    text: str


@dataclass(frozen=True)
class BadLabel:
    """A line of a label file that says nothing usable."""

    where: str
    why: str


class Records(Sequence[Item]):
    """Items by number, made when asked for. numbers: (n,) those of `make` that are wanted."""

    def __init__(self, make: Callable[[int], Item], numbers: np.ndarray) -> None:
        self.make, self.numbers = make, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> Item | Records:
        if isinstance(index, slice):
            return Records(self.make, self.numbers[index])
        return self.make(int(self.numbers[index]))


class Joined:
    """Several sequences of items behind each other; the `make` of a `Records` over all of them."""

    def __init__(self, parts: Sequence[Sequence[Item]]) -> None:
        self.parts = [part for part in parts if len(part)]
        self.ends = np.cumsum([len(part) for part in self.parts]).tolist()

    def __call__(self, number: int) -> Item:
        which = bisect.bisect_right(self.ends, number)
        return self.parts[which][number - (self.ends[which - 1] if which else 0)]


def joined(parts: Sequence[Sequence[Item]]) -> Sequence[Item]:
    """The items of all parts, in order."""
    if len(parts) == 1:
        return parts[0]
    return Records(Joined(parts), np.arange(sum(map(len, parts))))


def chosen(items: Sequence[Item], keep: np.ndarray) -> Sequence[Item]:
    """The items for which `keep` (n,) is true."""
    if isinstance(items, Records):
        return Records(items.make, items.numbers[keep])
    return [item for item, kept in zip(items, keep, strict=True) if kept]


# --------------------------------------------------------------------------------------------------------------- LMDB


class LmdbLines:
    """Samples of an LMDB with the keys num-samples, image-%09d and label-%09d, counted from 1."""

    def __init__(self, path: Path, parse: Callable[[str], Any]) -> None:
        self.path, self.parse = path, parse

    def __call__(self, number: int) -> Item:
        label = _lmdb_value(str(self.path), f"label-{number:09d}")
        where = f"{self.path}#{number}"
        if not label:
            raise ValueError("no label")
        try:
            text = label.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("not UTF-8") from None
        return self.item(number, text, where)

    def item(self, number: int, text: str, where: str) -> Item:
        """A sample by its number and the text of its label."""
        return Item((f"{self.path}#image-{number:09d}",), self.parse(text), where)


class ZoomLines(LmdbLines):
    """Samples with a small and a sharp picture, as TextZoom has them: image_lr-%09d and image_hr-%09d."""

    def item(self, number: int, text: str, where: str) -> Item:
        small, sharp = (f"{self.path}#image_{kind}-{number:09d}" for kind in ("lr", "hr"))
        return Item((small,), ZoomLabel(sharp, text), where)


def read_lmdb(
    folder: Path, parse: Callable[[str], Any], kind: type[LmdbLines] = LmdbLines
) -> Iterator[Records | BadLabel]:
    """The samples of an LMDB, or of every LMDB below a folder, as MJSynth, SynthText, Union14M-L, IIIT5k, SVT, IC13,
    IC15, SVTP and CUTE80 are passed on; one `Records` each, after its unusable labels.

    Raises:
        InputError: none there, or one without the key num-samples.
    """
    for path in lmdb_folders(folder):
        count = _lmdb_value(str(path), "num-samples")
        if count is None or not count.isdigit():
            raise InputError(f"{path}: an LMDB without the key num-samples")
        yield from _usable(kind(path, parse), np.arange(1, int(count) + 1), str(path))


def lmdb_folders(folder: Path) -> list[Path]:
    """Every LMDB in a folder or below it.

    Raises:
        InputError: there is none.
    """
    found = sorted(path.parent for path in folder.rglob("data.mdb"))
    if not found:
        raise InputError(f"{folder}: no LMDB (data.mdb) there or below")
    return found


@functools.lru_cache(maxsize=64)
def _environment(path: str) -> Any:
    """An LMDB opened for reading without locks, so that forked workers may use their parent's."""
    import lmdb

    return lmdb.open(path, readonly=True, lock=False, readahead=False, meminit=False, max_readers=512)


def _lmdb_value(path: str, key: str) -> bytes | None:
    import lmdb

    try:
        with _environment(path).begin() as transaction:
            value = transaction.get(key.encode())
    except lmdb.Error as error:
        raise InputError(f"{path}: {error}") from None
    return None if value is None else bytes(value)


# ---------------------------------------------------------------------------------------------------------------- tar


class TarSamples:
    """Samples of a tar by a table (n, 4) of where picture and label lie: offset, size, offset, size."""

    def __init__(self, path: Path, table: np.ndarray, parse: Callable[[str], Any]) -> None:
        self.path, self.table, self.parse = path, table, parse

    def __call__(self, number: int) -> Item:
        offset, size, label_offset, label_size = self.table[number].tolist()
        try:
            text = _tar_bytes(str(self.path), label_offset, label_size).decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("not UTF-8") from None
        label = self.parse(text.rstrip("\r\n"))
        return Item((f"{self.path}#bytes-{offset}-{size}",), label, f"{self.path}#{number + 1}")


def read_tars(path: Path, parse: Callable[[str], Any], suffixes: Sequence[str]) -> Iterator[Records | BadLabel]:
    """The samples of a WebDataset tar, or of every tar in a folder: members of one name up to the first dot of its last
    part make up a sample, a picture and a label with one of the `suffixes`.

    Raises:
        InputError: not an uncompressed tar, or no tar there.
    """
    shards = sorted(path.rglob("*.tar")) if path.is_dir() else [path]
    if not shards:
        raise InputError(f"{path}: no .tar there or below")
    for shard in shards:
        table, unlabelled = _table(shard, suffixes)
        yield from (BadLabel(f"{shard}#{name}", f"a picture without {' or '.join(suffixes)}") for name in unlabelled)
        yield from _usable(TarSamples(shard, table, parse), np.arange(len(table)), str(shard))


def _table(shard: Path, suffixes: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    pictures: dict[str, tuple[int, int]] = {}
    labels: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(shard, "r:") as tar:  # uncompressed: a member is a range of bytes
            for member in tar:
                folder, slash, base = member.name.rpartition("/")
                stem, _, rest = base.partition(".")
                suffix, where = f".{rest.lower()}", (member.offset_data, member.size)
                if member.isfile() and suffix in PICTURES:
                    pictures[folder + slash + stem] = where
                elif member.isfile() and suffix in suffixes:
                    labels[folder + slash + stem] = where
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{shard}: not an uncompressed tar ({error})") from None
    both = [name for name in pictures if name in labels]
    table = np.array([(*pictures[name], *labels[name]) for name in both], np.int64).reshape(-1, 4)
    return table, [name for name in pictures if name not in labels]


def _tar_bytes(path: str, offset: int, size: int) -> bytes:
    try:
        with open(path, "rb") as stream:
            stream.seek(offset)
            data = stream.read(size)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if len(data) != size:
        raise InputError(f"{path}: ends within a sample")
    return data


def _usable(make: Callable[[int], Item], numbers: np.ndarray, path: str) -> Iterator[Records | BadLabel]:
    """One look at every label: what cannot be used, then the rest."""
    good = np.ones(len(numbers), bool)
    for place, number in enumerate(numbers.tolist()):
        try:
            make(number)
        except ValueError as error:
            good[place] = False
            yield BadLabel(f"{path}#{number}", str(error))
    yield Records(make, numbers[good])


def packed_bytes(image: str) -> bytes | None:
    """The encoded picture that `Item.images` names in an LMDB or a tar; None where it names a file.

    Raises:
        InputError: it is not there.
    """
    path, sign, key = image.rpartition("#")
    if sign and key.startswith(("image-", "image_lr-", "image_hr-")):
        data = _lmdb_value(path, key)
        if data is None:
            raise InputError(f"{image}: no such picture in the LMDB")
        return data
    if sign and key.startswith("bytes-"):
        _, offset, size = key.split("-")
        return _tar_bytes(path, int(offset), int(size))
    return None
