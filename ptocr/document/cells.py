"""Cells of a table, and which text lines go into which."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ptocr.document.tree import Line
from ptocr.processing.geometry import box_of
from ptocr.processing.words import character_quads, per_character

_TOKEN = re.compile(r"[⺀-￯]|[^\s⺀-￯]+")  # an ideograph, or a run of other characters
_APART = 0.5  # of the height of a line, between characters that may belong to two cells


@dataclass(eq=False)
class Cell:
    """A cell: where it begins in the grid, how many rows and columns it spans, its corners (4, 2) in pixels, its
    lines in reading order."""

    row: int
    column: int
    poly: np.ndarray
    rows: int = 1
    columns: int = 1
    lines: list[Line] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text of its lines, with spaces where the script has them."""
        text = ""
        for line in self.lines:
            piece = line.text.strip()
            wide = text and piece and ord(text[-1]) >= 0x2E80 and ord(piece[0]) >= 0x2E80
            text += piece if not text or wide else f" {piece}"
        return text


def filled(cells: Sequence[Cell], lines: Sequence[Line]) -> list[Cell]:
    """The cells with every line in one of them, or its parts in several."""
    for line in lines:
        for cell, part in _placed(line, cells):
            cell.lines.append(part)
    for cell in cells:
        cell.lines = _in_order(cell.lines)
    return list(cells)


def _placed(line: Line, cells: Sequence[Cell]) -> list[tuple[Cell, Line]]:
    """A line with its cell; in parts where its words lie in several. A word between cells goes with its neighbours, a
    line between cells to the nearest one."""
    boxes = np.array([box_of([cell.poly]) for cell in cells], np.float64)
    spans = [match.span() for match in _TOKEN.finditer(line.text)]
    quads = _characters(line) if len(spans) > 1 else None
    spans = spans if quads is None else _apart(spans, quads, line.height)
    if quads is None:
        return [(cells[_nearest(boxes, line.quad.mean(axis=0))], line)]
    centers = [quads[a:b].reshape(-1, 2).mean(axis=0) for a, b in spans]
    homes = [_holding(boxes, center) for center in centers]
    known = [i for i, home in enumerate(homes) if home is not None]
    if len({homes[i] for i in known}) < 2:
        home = homes[known[0]] if known else None
        return [(cells[_nearest(boxes, line.quad.mean(axis=0)) if home is None else home], line)]
    homes = [homes[min(known, key=lambda k: abs(k - i))] for i in range(len(homes))]
    parts: list[tuple[Cell, Line]] = []
    first = 0
    for i in range(1, len(homes) + 1):
        if i == len(homes) or homes[i] != homes[first]:
            home = homes[first]
            assert home is not None
            parts.append((cells[home], _part(line, spans[first][0], spans[i - 1][1], quads)))
            first = i
    return parts


def _apart(spans: list[tuple[int, int]], quads: np.ndarray, height: float) -> list[tuple[int, int]]:
    """The pieces between which a line may be cut: at spaces, and where ideographs stand apart."""
    out = spans[:1]
    for begin, end in spans[1:]:
        last = out[-1][1]
        gap = float(np.linalg.norm(quads[begin, [0, 3]].mean(axis=0) - quads[last - 1, [1, 2]].mean(axis=0)))
        if begin == last and gap < _APART * height:
            out[-1] = (out[-1][0], end)
        else:
            out.append((begin, end))
    return out


def _characters(line: Line) -> np.ndarray | None:
    """Corners (len(text), 4, 2) of the characters, None where the recogniser did not say where they are."""
    if line.columns is None or not len(line.columns) or line.steps <= 0:
        return None
    return character_quads(per_character(line.text, line.columns), line.steps, line.quad)


def _part(line: Line, begin: int, end: int, quads: np.ndarray) -> Line:
    """The characters from `begin` to `end` of a line as a line."""
    first, last = quads[begin], quads[end - 1]
    poly = np.rint([first[0], last[1], last[2], first[3]]).astype(line.poly.dtype)
    scores = None if line.char_scores is None else per_character(line.text, line.char_scores)[begin:end]
    score = line.score if scores is None or not len(scores) else float(np.mean(scores))
    part = Line(poly, line.text[begin:end], score, turned=line.turned, angle=line.angle)
    part.confidence, part.known_script = line.confidence, line.known_script
    return part


def _holding(boxes: np.ndarray, point: np.ndarray) -> int | None:
    """The smallest box that holds a point."""
    inside = ((boxes[:, :2] <= point) & (point <= boxes[:, 2:])).all(axis=1)
    areas = np.where(inside, (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), np.inf)
    return int(areas.argmin()) if inside.any() else None


def _nearest(boxes: np.ndarray, point: np.ndarray) -> int:
    """The box that holds a point, or the nearest; rows are nearer to each other than columns, so height counts more."""
    home = _holding(boxes, point)
    if home is not None:
        return home
    gaps = np.maximum(np.maximum(boxes[:, :2] - point, point - boxes[:, 2:]), 0) * (1.0, 2.0)
    return int(np.hypot(gaps[:, 0], gaps[:, 1]).argmin())


def _in_order(lines: list[Line]) -> list[Line]:
    """From top to bottom, on one level from left to right."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: float(line.quad[:, 1].mean())):
        level = float(line.quad[:, 1].mean())
        if rows and abs(level - float(rows[-1][0].quad[:, 1].mean())) < 0.5 * max(line.height, 1.0):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: float(line.quad[:, 0].mean()))]
