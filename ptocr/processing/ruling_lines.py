"""Ruling lines: the cells of a table that is ruled between all cells, from its picture alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

_FILLED = 0.8  # of its box that a cell takes up at least
_COVERED = 0.85  # of a table that its cells take up at least
_NEAR = 2.5  # heights of text from a table, within which its outer rules are looked for
_WIDE = 0.8  # of a table's width, which its rules have at least
_BORDER = 3  # pixels laid around the picture, so that what is around a table is one region


@dataclass(frozen=True, eq=False)
class RuledCell:
    """A cell between ruling lines: where it begins in the grid, rows and columns that it spans, x0, y0, x1, y1."""

    row: int
    column: int
    rows: int
    columns: int
    box: tuple[int, int, int, int]

    def moved(self, x: int, y: int) -> RuledCell:
        """The same in a picture that this one is a piece of, from (x, y) on."""
        x0, y0, x1, y1 = self.box
        return replace(self, box=(x0 + x, y0 + y, x1 + x, y1 + y))


def ruled_cells(image: np.ndarray, text_height: float) -> list[RuledCell]:
    """The cells of a table with lines between all cells, row by row; empty where they make no whole grid.

    image: (H, W, 3) uint8 BGR, the table alone. text_height: of its lines in pixels; shorter strokes are letters.
    """
    size = max(text_height, 6.0)
    boxes = _regions(_lines(image, size), size)
    if len(boxes) < 4:
        return []
    array = np.array(boxes, np.float64)
    tolerance = 0.5 * size
    columns, rows = (_levels(array[:, [side, side + 2]], tolerance) for side in (0, 1))
    if len(columns) < 3 or len(rows) < 3 or not _covers(array):
        return []
    found = []
    for box in boxes:
        (left, right), (top, bottom) = (
            [int(np.abs(levels - box[side]).argmin()) for side in (first, first + 2)]
            for first, levels in ((0, columns), (1, rows))
        )
        found.append(RuledCell(top, left, bottom - top, right - left, box))
    return sorted(found, key=lambda cell: (cell.row, cell.column)) if _is_whole(found, len(rows), len(columns)) else []


def ruled_tables(image: np.ndarray, text_height: float) -> list[tuple[np.ndarray, int]]:
    """What is ruled like a table on a page: box (4,) and number of cells of lines that part at least 2 by 2 cells.

    image: (H, W, 3) uint8 BGR, the page.
    """
    size = max(text_height, 6.0)
    lines = _lines(image, size)[_BORDER:-_BORDER, _BORDER:-_BORDER]
    lines[[0, -1]], lines[:, [0, -1]] = 0, 0
    found = []
    _, _, stats, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
    for x, y, width, height, _ in stats[1:]:
        if width > 4 * size and height > 2 * size:
            cells = ruled_cells(image[y : y + height, x : x + width], text_height)
            found += [(np.array([x, y, x + width, y + height], np.float64), len(cells))] if cells else []
    return found


def out_to_rules(image: np.ndarray, box: np.ndarray, text_height: float) -> np.ndarray:
    """The box (4,) of a table, grown up and down to rules as wide as the table that stand near outside of it.

    image: (H, W, 3) uint8 BGR, the page.
    """
    reach = int(_NEAR * max(text_height, 6.0))
    height, width = image.shape[:2]
    x0, x1 = max(0, int(box[0])), min(width, int(box[2]) + 1)
    y0, y1 = max(0, int(box[1]) - reach), min(height, int(box[3]) + reach)
    if x1 - x0 < 3 * text_height or y1 <= y0:
        return box
    level, _ = _strokes(cv2.cvtColor(image[y0:y1, x0:x1], cv2.COLOR_BGR2GRAY), max(text_height, 6.0))
    rules = y0 + np.flatnonzero(cv2.dilate(level, np.ones((5, 1), np.uint8)).mean(axis=1) > _WIDE * 255)
    if not len(rules):
        return box
    return np.array([box[0], min(box[1], rules[0]), box[2], max(box[3], rules[-1] + 1)])


def _strokes(gray: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) uint8 each: 255 on level and on upright strokes longer than letters have."""
    block = max(int(2 * size) | 1, 3)
    dark = cv2.adaptiveThreshold(gray, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, block, 8)
    level = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((1, int(3 * size)), np.uint8))
    return level, cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((int(1.6 * size), 1), np.uint8))


def _lines(image: np.ndarray, size: float) -> np.ndarray:
    """(H, W) uint8 with a border: 255 on ruling lines."""
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    gray = np.pad(gray, _BORDER, mode="edge")
    level, upright = _strokes(gray, size)
    lines = cv2.dilate(level | upright, np.ones((3, 3), np.uint8))
    inner = lines[_BORDER:-_BORDER, _BORDER:-_BORDER]
    if inner.any():  # sides that are not ruled, or cut off, are where the lines end
        x, y, width, height = cv2.boundingRect(inner)
        cv2.rectangle(inner, (x, y), (x + width - 1, y + height - 1), 255, 1)
    return np.pad(inner, _BORDER)


def _regions(lines: np.ndarray, size: float) -> list[tuple[int, int, int, int]]:
    """Boxes in the picture of the rectangles that lines enclose."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(255 - lines, connectivity=4)
    around = labels[0, 0]
    boxes = []
    for label in range(1, count):
        x, y, width, height, area = (int(v) for v in stats[label])
        if label == around or height < 0.7 * size or width < 0.7 * size or area < _FILLED * width * height:
            continue
        x, y = x - _BORDER, y - _BORDER
        boxes.append((x, y, x + width, y + height))
    return boxes


def _levels(edges: np.ndarray, tolerance: float) -> np.ndarray:
    """Places of lines, rising, from the edges of cells on both sides."""
    values = np.sort(edges.ravel())
    groups = np.split(values, np.flatnonzero(np.diff(values) > tolerance) + 1)
    return np.array([group.mean() for group in groups])


def _covers(boxes: np.ndarray) -> bool:
    sides = boxes[:, 2:] - boxes[:, :2]
    whole = boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)
    return bool(sides.prod(axis=1).sum() >= _COVERED * whole.prod())


def _is_whole(cells: list[RuledCell], rows: int, columns: int) -> bool:
    """Whether each place between the lines belongs to one cell."""
    taken = np.zeros((rows - 1, columns - 1), int)
    for cell in cells:
        taken[cell.row : cell.row + cell.rows, cell.column : cell.column + cell.columns] += 1
    return bool((taken == 1).all())
