"""Columns of a table that a structure network has taken for one: their texts stand apart in most rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ptocr.document.cells import Cell

_ROWS = 3  # rows with text on both sides, at least
_SHARE = 0.5  # of the rows with text


def columns_split(cells: list[Cell]) -> list[Cell]:
    """The cells with each such column as two. A cell that spans the column spans both."""
    column = 0
    while column < max((cell.column + cell.columns for cell in cells), default=0):
        gap = _gap([cell for cell in cells if cell.column == column and cell.columns == 1])
        if gap is not None:
            cells = [part for cell in cells for part in _moved(cell, column, gap)]
        column += 1
    return cells


def _gap(cells: Sequence[Cell]) -> float | None:
    """x at which the texts of a column stand apart: no line there, wide as a line is high, text on both sides in most
    rows."""
    lines = [line for cell in cells for line in cell.lines]
    if len(lines) < 2 * _ROWS:
        return None
    spans = np.array(sorted((line.box[0], line.box[2]) for line in lines), np.float64)
    ends = np.maximum.accumulate(spans[:, 1])
    gaps = spans[1:, 0] - ends[:-1]
    place = int(gaps.argmax())
    if gaps[place] < float(np.median([line.height for line in lines])):
        return None
    x = float(ends[place] + spans[place + 1, 0]) / 2
    sides = [{line.quad[:, 0].mean() < x for line in cell.lines} for cell in cells if cell.lines]
    both = sum(len(side) == 2 for side in sides)
    return x if both >= max(_ROWS, _SHARE * len(sides)) else None


def _moved(cell: Cell, column: int, x: float) -> list[Cell]:
    """What becomes of a cell when a column is cut at x."""
    if cell.column > column:
        return [replace(cell, column=cell.column + 1)]
    if cell.column + cell.columns <= column:
        return [cell]
    if cell.columns > 1:
        return [replace(cell, columns=cell.columns + 1)]
    left, right = cell.poly.copy(), cell.poly.copy()
    left[:, 0], right[:, 0] = np.minimum(left[:, 0], x), np.maximum(right[:, 0], x)
    parts = [[line for line in cell.lines if (line.quad[:, 0].mean() < x) == side] for side in (True, False)]
    return [replace(cell, poly=left, lines=parts[0]), replace(cell, column=column + 1, poly=right, lines=parts[1])]
