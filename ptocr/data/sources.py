"""Label files to items: PaddleOCR and PPOCRLabel text files, LMDBs, tars, ICDAR 2015 and unlabelled folders."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ptocr.data.label_settings import LabelSource
from ptocr.data.records import (
    PICTURES,
    BadLabel,
    Item,
    Records,
    ZoomLabel,
    ZoomLines,
    joined,
    packed_bytes,
    read_lmdb,
    read_tars,
)
from ptocr.data.targets.table_tokens import TableLabel, parse_table_html
from ptocr.errors import InputError
from ptocr.inputs.image_files import decode_frames
from ptocr.inputs.page import ReadOptions
from ptocr.spec.model import DetSpec, E2ESpec, KIESpec, RecSpec, SRSpec, TableSpec, task_of

IGNORED_TEXTS = ("*", "###")  # labels of text that nobody could read


@dataclass(frozen=True)
class DetLabel:
    """Text polygons of a page: polys (n, 2) float32 each; texts; ignore: unreadable ones."""

    polys: tuple[np.ndarray, ...]
    texts: tuple[str, ...]
    ignore: tuple[bool, ...]


@dataclass(frozen=True)
class FormLabel(DetLabel):
    """What each line of a form is. classes: their names or numbers; edges: lines with the same one belong together."""

    classes: tuple[str | int, ...] = ()
    edges: tuple[int, ...] = ()

    def numbers(self, names: Sequence[str]) -> list[int]:
        """The classes as places among the names.

        Raises:
            InputError: one is not among them.
        """
        found = [names.index(c) if c in names else c for c in self.classes]
        for number in found:
            if not isinstance(number, int) or not 0 <= number < len(names):
                raise InputError(f"label {number!r} is not one of {', '.join(names)}")
        return [int(number) for number in found]


def read_source(source: LabelSource, task: str) -> tuple[Sequence[Item], list[BadLabel]]:
    """All samples of a source, and its unusable lines.

    Raises:
        InputError: the file or folder is missing or of another kind.
    """
    if not source.path.exists():
        raise InputError(f"{source.path}: no such label file or folder")
    read, only = FORMATS[source.format]
    if only not in (None, task):
        raise InputError(
            f"{source.path}: sources of format {source.format} hold samples for {only!r}, not for {task!r}"
        )
    items: list[Item] = []
    packed: list[Records] = []
    bad: list[BadLabel] = []
    for entry in read(source, LABELS.get(task, parse_label)):
        if isinstance(entry, Item):
            items.append(entry)
        elif isinstance(entry, Records):
            packed.append(entry)
        else:
            bad.append(entry)
    return joined([*packed, items] if items else packed) if packed else items, bad


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """The lines of a label file that are not empty, and where they stand."""
    for number, raw in enumerate(path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n"), start=1):
        if raw.strip():
            yield f"{path}:{number}", raw


def _paddle(source: LabelSource, parse: Callable[[str], Any]) -> Iterator[Item | BadLabel]:
    root = source.root or source.path.parent
    for where, raw in _lines(source.path):
        try:
            line = raw.decode().rstrip("\r")
        except UnicodeDecodeError:
            yield BadLabel(where, "not UTF-8")
            continue
        name, tab, label = line.partition("\t")
        if not tab:
            yield BadLabel(where, "no tab between picture and label")
            continue
        images = tuple(str(_resolve(root, n)) for n in _names(name))
        try:
            made = parse(label)
            if isinstance(made, ZoomLabel):
                made = ZoomLabel(str(_resolve(root, made.sharp)), made.text)
            yield Item(images, made, where)
        except ValueError as error:
            yield BadLabel(where, str(error))


def _names(field: str) -> list[str]:
    """A picture, or a JSON list of pictures that show the same text."""
    if field.startswith("["):
        try:
            names = json.loads(field)
        except ValueError:
            return [field]
        if names and all(isinstance(n, str) for n in names):
            return names
    return [field]


def _resolve(root: Path, name: str) -> Path:
    """PPOCRLabel writes paths relative to the folder above that of the label file."""
    here = root / name
    above = root.parent / name
    return above if not here.exists() and above.exists() else here


def parse_label(field: str) -> str:
    """A text or the name of a class.

    Raises:
        ValueError: there is none.
    """
    label = field.split("\t")[0]  # further columns: width and height, in some tools' files
    if not label:
        raise ValueError("empty label")
    return label


def parse_zoom_label(field: str) -> ZoomLabel:
    """The sharp picture of a small one, and perhaps its text: `sharp.png<TAB>text`.

    Raises:
        ValueError: no picture is named.
    """
    sharp, _, text = field.partition("\t")
    if not sharp:
        raise ValueError("no sharp picture")
    return ZoomLabel(sharp, text)


def parse_det_label(field: str) -> DetLabel:
    """`[{"transcription": ..., "points": [[x, y], ...]}, ...]` (PaddleOCR; PPOCRLabel adds "difficult").

    Raises:
        ValueError: says what is wrong.
    """
    try:
        entries = json.loads(field)
    except ValueError:
        raise ValueError("the label is not JSON") from None
    if not isinstance(entries, list):
        raise ValueError("the label is not a list of texts")
    polys, texts, ignore = [], [], []
    for number, entry in enumerate(entries):
        try:
            poly = np.array(entry["points"], np.float32)
            text = str(entry["transcription"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"text {number} lacks usable points or transcription") from None
        if poly.ndim == 1 and len(poly) % 2 == 0:  # as in CentripetalText's labels
            poly = poly.reshape(-1, 2)
        if poly.ndim != 2 or poly.shape[1] != 2 or len(poly) < 3 or not np.isfinite(poly).all():
            raise ValueError(f"text {number} has points of shape {poly.shape}; (n >= 3, 2) is needed")
        polys.append(poly)
        texts.append(text)
        ignore.append(text in IGNORED_TEXTS or bool(entry.get("difficult", False)))
    return DetLabel(tuple(polys), tuple(texts), tuple(ignore))


def parse_form_label(field: str) -> FormLabel:
    """The same with what each line is: `"label"`, a name or a number, or `"key_cls"`; lines with the same `"edge"`
    belong together (PaddleOCR, WildReceipt).

    Raises:
        ValueError: says what is wrong.
    """
    lines = parse_det_label(field)
    entries = json.loads(field)
    classes = [entry.get("label", entry.get("key_cls")) for entry in entries]
    for number, name in enumerate(classes):
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise ValueError(f"text {number} lacks a label")
    edges = tuple(entry.get("edge", 0) for entry in entries)
    return FormLabel(lines.polys, lines.texts, lines.ignore, tuple(classes), edges)


def _icdar(source: LabelSource, parse: Callable[[str], Any]) -> Iterator[Item | BadLabel]:
    root = source.root or source.path
    pictures = {p.stem: p for p in sorted(root.iterdir()) if p.suffix.lower() in PICTURES}
    for path in sorted(source.path.glob("*.txt")):
        stem = path.stem.removeprefix("gt_")
        if stem not in pictures:
            yield BadLabel(str(path), f"no picture called {stem} in {root}")
            continue
        polys, texts = [], []
        try:
            for line in path.read_text(encoding="utf-8-sig").splitlines():
                if line.strip():
                    parts = line.split(",", 8)
                    polys.append(np.array([float(v) for v in parts[:8]], np.float32).reshape(4, 2))
                    texts.append(parts[8] if len(parts) > 8 else "")
        except ValueError:
            yield BadLabel(str(path), "a line does not begin with eight numbers")
            continue
        label = DetLabel(tuple(polys), tuple(texts), tuple(t in IGNORED_TEXTS for t in texts))
        yield Item((str(pictures[stem]),), label, str(path))


def _lmdb(source: LabelSource, parse: Callable[[str], Any]) -> Iterator[Records | BadLabel]:
    yield from read_lmdb(source.path, parse)


def _textzoom(source: LabelSource, parse: Callable[[str], Any]) -> Iterator[Records | BadLabel]:
    yield from read_lmdb(source.path, parse, ZoomLines)


def _tar(source: LabelSource, parse: Callable[[str], Any]) -> Iterator[Records | BadLabel]:
    in_json = parse in (parse_det_label, parse_form_label)
    yield from read_tars(source.path, parse, (".json",) if in_json else (".txt", ".cls"))


def _pubtabnet(source: LabelSource, parse: Callable[[str], Any]) -> Iterator[Item | BadLabel]:
    """Lines of JSON with `filename` and `html`, as PubTabNet's and PaddleOCR's table labels are."""
    root = source.root or source.path.parent
    for where, raw in _lines(source.path):
        try:
            entry = json.loads(raw)
            yield Item((str(_resolve(root, str(entry["filename"]))),), parse_table_html(entry["html"]), where)
        except (KeyError, TypeError):
            yield BadLabel(where, "no filename or no html")
        except ValueError as error:
            yield BadLabel(where, "not JSON" if isinstance(error, json.JSONDecodeError) else str(error))


def parse_table_label(field: str) -> TableLabel:
    """The `html` of a table as JSON.

    Raises:
        ValueError: says what is wrong.
    """
    try:
        return parse_table_html(json.loads(field))
    except json.JSONDecodeError:
        raise ValueError("the label is not JSON") from None


def _folder(source: LabelSource, parse: Callable[[str], Any]) -> Iterator[Item | BadLabel]:
    for path in sorted(source.path.rglob("*")):
        if path.suffix.lower() in PICTURES:
            yield Item((str(path),), None, str(source.path))


# How the labels of a task are written in PaddleOCR's files; those of other tasks are a text or the name of a class.
LABELS: dict[str, Callable[[str], Any]] = {
    task_of(DetSpec): parse_det_label,
    task_of(E2ESpec): parse_det_label,
    task_of(TableSpec): parse_table_label,
    task_of(KIESpec): parse_form_label,
    task_of(SRSpec): parse_zoom_label,
}
# Readers by format, and the one task whose samples the format holds (None: of any).
FORMATS: dict[str, tuple[Callable[..., Iterator[Item | Records | BadLabel]], str | None]] = {
    "paddle": (_paddle, None),
    "lmdb": (_lmdb, task_of(RecSpec)),
    "tar": (_tar, None),
    "icdar2015": (_icdar, task_of(DetSpec)),
    "folder": (_folder, None),
    "pubtabnet": (_pubtabnet, task_of(TableSpec)),
    "textzoom": (_textzoom, task_of(SRSpec)),
}


def read_bytes(image: str) -> bytes:
    """The encoded picture of `Item.images`."""
    packed = packed_bytes(image)
    if packed is not None:
        return packed
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise InputError(f"{image}: {error.strerror}") from None


def decode(data: bytes, name: str) -> np.ndarray:
    """BGR uint8 picture of encoded bytes, read as the product reads its inputs (of several frames the first).

    Raises:
        InputError: not a picture, damaged, or of more pixels than `ReadOptions.max_pixels`.
    """
    image, _, _ = next(decode_frames(data, name, ReadOptions()))
    return image


def aspect_ratios(items: Sequence[Item]) -> np.ndarray:
    """Width / height of each item's first picture, from the headers alone; 1 where that fails."""
    ratios = np.ones(len(items))
    for number, item in enumerate(items):
        try:
            with Image.open(io.BytesIO(read_bytes(item.images[0]))) as image:
                ratios[number] = image.width / image.height
        except (InputError, OSError, ValueError, Image.DecompressionBombError):
            continue  # the sample itself is reported when it is drawn
    return ratios
