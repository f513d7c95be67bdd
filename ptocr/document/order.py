"""Reading order: columns by recursive cuts at gutters (XY-cut), rows, paragraphs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ptocr.processing.geometry import box_of, rotate_points

if TYPE_CHECKING:
    from ptocr.document.tree import Line

_MIN_ROWS = 3  # rows that have text on both sides of a gutter, before it counts as one
_PROSE = 6.0  # width of a line in heights, from which on it looks like running text and not like a table cell


class _Placed:
    """A line with the measures that ordering asks for again and again. quad: as it lies on the upright page."""

    def __init__(self, line: Line, quad: np.ndarray) -> None:
        self.line, self.text = line, line.text
        self.box = box_of([quad])
        self.x, self.y = (float(v) for v in quad.mean(axis=0))
        self.height = line.height
        across, down = np.abs(quad[1] - quad[0])
        self.length = float(np.linalg.norm(quad[1] - quad[0]))
        self.stands = bool(down > across)  # read upwards or downwards


_Rows = list[list[_Placed]]


def reading_order(lines: Sequence[Line], angle: int, size: tuple[int, int]) -> list[list[list[Line]]]:
    """Lines of a page -> paragraphs in reading order, each a list of rows, a row a list of lines from left to right.

    Columns of running text are read one after the other, tables and receipts row by row, pages of upright Chinese
    columns from right to left. angle: degrees counter-clockwise that turn the page upright; size: its (width, height).
    """
    width, height = size
    placed = [_Placed(line, rotate_points(line.quad, angle, (height, width)) if angle else line.quad) for line in lines]
    if _mostly_upright_columns(placed):
        groups = _vertical_order(placed)
    else:  # what stands sideways on a page of level lines is a note in the margin
        notes = [line for line in placed if line.stands and len(line.text) > 2]
        level = [line for line in placed if not (line.stands and len(line.text) > 2)]
        groups = _ordered(level) + [[[line]] for line in notes]
    paragraphs = [paragraph for group in groups for paragraph in _paragraphs(group)]
    return [[[placed.line for placed in row] for row in paragraph] for paragraph in paragraphs]


def _mostly_upright_columns(lines: Sequence[_Placed]) -> bool:
    """Whether most characters stand in columns read from top to bottom (Chinese set vertically)."""
    wide = [line for line in lines if len(line.text) > 2]
    upright = [line for line in wide if line.stands]
    chinese = sum(ord(char) >= 0x2E80 for line in upright for char in line.text)
    return len(upright) * 2 > len(wide) and chinese * 2 > sum(len(line.text) for line in upright)


def _vertical_order(lines: Sequence[_Placed]) -> list[_Rows]:
    """Columns from right to left, in each from top to bottom; every column is a row of its own."""
    columns: _Rows = []
    for line in sorted(lines, key=lambda line: -line.x):
        x0, _, x1, _ = line.box
        if columns:
            left, _, right, _ = _around(columns[-1])
            if min(x1, right) - max(x0, left) > 0.5 * min(x1 - x0, right - left):
                columns[-1].append(line)
                continue
        columns.append([line])
    return [[sorted(column, key=lambda line: line.y) for column in columns]] if columns else []


def _around(lines: Sequence[_Placed]) -> tuple[int, int, int, int]:
    lefts, tops, rights, bottoms = zip(*(line.box for line in lines), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _ordered(lines: list[_Placed]) -> list[_Rows]:
    """Groups in reading order; a group is a list of rows, a row a list of lines from left to right."""
    if not lines:
        return []
    gutter = _gutter(lines)
    if gutter is None:
        return [_rows(lines)]
    crossing = sorted((line for line in lines if _crosses(line, gutter)), key=lambda line: line.y)
    rest = [line for line in lines if not _crosses(line, gutter)]
    groups: list[_Rows] = []
    for upper in [*crossing, None]:
        limit = np.inf if upper is None else upper.y
        band = [line for line in rest if line.y < limit]
        rest = [line for line in rest if line.y >= limit]
        for side in (-1, 1):
            groups += _ordered([line for line in band if (line.x - gutter) * side > 0])
        if upper is not None:
            groups.append([[upper]])
    return groups


def _crosses(line: _Placed, x: float) -> bool:
    return line.box[0] < x - 2 and line.box[2] > x + 2


def _gutter(lines: list[_Placed]) -> float | None:
    """x of the gap between two columns of running text, None if the lines stand in one column or a table."""
    gaps: list[tuple[float, float]] = []
    for row in _rows(lines):
        gaps += [
            (left.box[2], right.box[0])
            for left, right in itertools.pairwise(row)
            if right.box[0] - left.box[2] > 0.3 * left.height
        ]
    best, support = None, 0
    for candidate in sorted({(left + right) / 2 for left, right in gaps}):
        count = sum(left <= candidate <= right for left, right in gaps)
        if count > support:
            best, support = candidate, count
    if best is None or support < _MIN_ROWS:
        return None
    sides = [[line for line in lines if not _crosses(line, best) and (line.x < best) == left] for left in (1, 0)]
    crossing = len(lines) - len(sides[0]) - len(sides[1])
    prose = all(len(side) >= _MIN_ROWS and _median_aspect(side) >= _PROSE for side in sides)
    return best if prose and crossing <= min(len(side) for side in sides) else None


def _median_aspect(lines: list[_Placed]) -> float:
    return float(np.median([line.length / max(line.height, 1.0) for line in lines]))


def _rows(lines: list[_Placed]) -> _Rows:
    """Lines on one level form a row: those whose boxes share more than half of the lower one's height."""
    rows: _Rows = []
    for line in sorted(lines, key=lambda line: line.y):
        _, y0, _, y1 = line.box
        if rows:
            _, top, _, bottom = rows[-1][0].box
            if min(y1, bottom) - max(y0, top) > 0.5 * min(y1 - y0, bottom - top):
                rows[-1].append(line)
                continue
        rows.append([line])
    return [sorted(row, key=lambda line: line.x) for row in rows]


def _paragraphs(rows: _Rows) -> list[_Rows]:
    """Cut a group where the space between rows is larger than a line, or the size of the letters changes."""
    paragraphs: list[_Rows] = []
    for row in rows:
        if paragraphs and _continues(paragraphs[-1][-1], row):
            paragraphs[-1].append(row)
        else:
            paragraphs.append([row])
    return paragraphs


def _continues(above: Sequence[_Placed], row: Sequence[_Placed]) -> bool:
    size, other = (float(np.median([line.height for line in lines])) for lines in (above, row))
    if not 0.7 < (size + 1) / (other + 1) < 1.43:
        return False
    upper, lower = _around(above), _around(row)
    apart = max(lower[1] - upper[3], lower[0] - upper[2], upper[0] - lower[2])
    return apart <= 0.9 * min(size, other)
