"""Word boxes from the columns at which CTC decoding found the characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np

Kind = Literal["cn", "en&num", "symbol"]
ROW_TOLERANCE = 12  # pixels between box centres


class Word(NamedTuple):
    """A run of characters of one kind and the CTC column of each."""

    characters: list[str]
    columns: list[int]
    kind: Kind


def split_words(characters: Sequence[str], columns: Sequence[int]) -> list[Word]:
    """Group decoded characters into runs (PaddleX 3.7: get_word_info).

    "cn": ideographs U+4E00..U+9FFF; "en&num": Latin letters and digits, with `-` after them and `.` between them and a
    digit; "symbol": all else, spaces included.

    characters, columns: the decoded characters and their time steps, equally many.
    """
    kinds: list[Kind] = []
    for i, character in enumerate(characters):
        following = characters[i + 1] if i + 1 < len(characters) else ""
        kinds.append(_kind(character, following, kinds[-1] if kinds else None))
    words = []
    for kind, group in groupby(zip(kinds, characters, columns, strict=True), key=lambda entry: entry[0]):
        run = list(group)
        words.append(Word([c for _, c, _ in run], [int(column) for _, _, column in run], kind))
    return words


def _kind(character: str, following: str, previous: Kind | None) -> Kind:
    if "\u4e00" <= character <= "\u9fff":
        return "cn"
    if re.search("[a-zA-Z0-9]", character):
        return "en&num"
    joins = character == "-" or (character == "." and re.search("[0-9]", following))
    return "en&num" if joins and previous == "en&num" else "symbol"


def word_boxes(
    characters: Sequence[str], columns: Sequence[int], steps: float, box: np.ndarray, turned: bool | None = None
) -> tuple[list[str], np.ndarray]:
    """Words of a line and where they are (PaddleX 3.7: `return_word_box`, cal_ocr_word_box).

    characters, columns: decoded characters and their CTC time steps; steps: time steps that cover the line without its
    padding (may be fractional); box: (4, 2) corners of the line, clockwise from the top left; turned: whether the line
    was turned a quarter to be read (`Crop.turned`), so that it runs from top to bottom; None: by upstream's rule alone.
    Returns the texts in reading order and their quads (n, 4, 2), whole pixels in the dtype of `box`.

    Each ideograph is a word of its own, as wide as the ideographs of the line are on average; other runs reach from
    the column of their first to that of their last character. Boxes are upright: the tilt of a line is not followed.
    A line more than 1.5 times as high as wide is divided from top to bottom. PaddleOCR 2.10 drops spaces and
    punctuation, divides high lines by width too, and lists the boxes of ideographs after all others, so that in
    mixed lines texts and boxes do not match; PaddleX repaired that by sorting, and so do we.
    """
    words = split_words(characters, columns)
    (left, top), (right, _), (_, bottom), _ = np.asarray(box).tolist()
    vertical = _runs_down(np.asarray(box), turned)
    first, last = (top, bottom) if vertical else (left, right)
    spans = _spans(words, (last - first) / steps, last - first, len(characters)) if words else []
    if vertical:
        quads = [[(left, first + a), (left, first + b), (right, first + b), (right, first + a)] for a, b in spans]
    else:
        quads = [[(first + a, top), (first + b, top), (first + b, bottom), (first + a, bottom)] for a, b in spans]
    texts = [text for word in words for text in _texts(word)]
    return texts, np.array(_in_reading_order(quads), dtype=np.asarray(box).dtype).reshape(-1, 4, 2)


def per_character(text: str, values: np.ndarray) -> np.ndarray:
    """Columns or scores of the decoded entries, (m,), as one per character of the text, (len(text),): an entry of
    several characters gives each of them its own. Empty where there are none."""
    values = np.asarray(values)
    if len(values) in (0, len(text)):
        return values
    return values[np.linspace(0, len(values) - 1, len(text)).round().astype(int)]


def character_quads(columns: np.ndarray, steps: float, quad: np.ndarray) -> np.ndarray:
    """Quads (n, 4, 2) float32 of the characters, along the line's own slant; corners from the text's top left.

    columns: (n,) time step of each; steps: how many cover the line; quad: (4, 2) the line in reading direction. A
    character reaches half-way to its neighbours' columns, at most one and a half times its usual width.
    """
    if len(columns) == 0 or steps <= 0:
        return np.zeros((0, 4, 2), np.float32)
    centers = (np.asarray(columns, np.float64) + 0.5) / steps
    usual = float(np.median(np.diff(centers))) if len(centers) > 1 else 1.0
    middles = (centers[1:] + centers[:-1]) / 2
    starts = np.maximum(np.concatenate([[0.0], middles]), centers - 0.75 * usual)
    ends = np.minimum(np.concatenate([middles, [1.0]]), centers + 0.75 * usual)
    top, bottom = quad[1] - quad[0], quad[2] - quad[3]
    a, b = np.clip(starts, 0, 1)[:, None], np.clip(ends, 0, 1)[:, None]
    corners = (quad[0] + top * a, quad[0] + top * b, quad[3] + bottom * b, quad[3] + bottom * a)
    return np.stack(corners, axis=1).astype(np.float32)


def _runs_down(box: np.ndarray, turned: bool | None) -> bool:
    """Whether a line is divided from top to bottom: upstream goes by the upright box around it alone, which for short
    lines contradicts the turn of the crop; a level line of steep slant runs down too."""
    if turned:
        return True
    tall = bool(np.ptp(box[:, 1]) > 1.5 * np.ptp(box[:, 0]))
    across, down = np.abs(box[1] - box[0])
    return tall and (turned is None or bool(down > across))


def _texts(word: Word) -> list[str]:
    return word.characters if word.kind == "cn" else ["".join(word.characters)]


def _spans(words: list[Word], cell: float, length: float, count: int) -> list[tuple[float, float]]:
    """Start and end of each word from the start of the line, in pixels; upstream's order: ideographs come last."""
    spans: list[tuple[float, float]] = [
        (int(w.columns[0] * cell), int((w.columns[-1] + 1) * cell)) for w in words if w.kind != "cn"
    ]
    runs = [w.columns for w in words if w.kind == "cn"]
    widths = [(run[-1] - run[0] + 1) * cell / (len(run) - 1) for run in runs if len(run) > 1]
    width = float(np.mean(widths)) if widths else length / count
    for column in (column for run in runs for column in run):
        center = (column + 0.5) * cell
        spans.append((max(int(center - width / 2), 0), min(int(center + width / 2), length)))
    return spans


def _in_reading_order(quads: list[list[tuple[float, float]]]) -> list[list[tuple[float, float]]]:
    """Rows of quads by the height of their centres, each from left to right (PaddleX: sort_boxes)."""
    centers = [np.mean(quad, axis=0) for quad in quads]
    rows: list[list[int]] = []
    height = None
    for i in sorted(range(len(quads)), key=lambda i: centers[i][1]):
        if height is None or abs(centers[i][1] - height) >= ROW_TOLERANCE:
            rows.append([])
        rows[-1].append(i)
        height = centers[i][1]
    return [quads[i] for row in rows for i in sorted(row, key=lambda i: centers[i][0])]
