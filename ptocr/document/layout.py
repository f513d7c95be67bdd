"""Lines, words and blocks of a page in reading order: what every output format is written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ptocr.document.invisible_font import width_of
from ptocr.document.results import OCRResult
from ptocr.processing.geometry import is_turned, rotate_points, text_quad

_MIN_ROWS = 3  # rows that have text on both sides of a gutter, before it counts as one
_PROSE = 6.0  # width of a line in heights, from which on it looks like running text and not like a table cell


@dataclass(frozen=True, eq=False)
class Word:
    """A piece of a line between spaces. quad: (4, 2) pixel corners, clockwise from its top left."""

    text: str
    quad: np.ndarray


@dataclass(frozen=True, eq=False)
class Line:
    """One recognised line. index: its place in `rec_texts`; quad: as of a word; measured: the places of its words come
    from the recogniser, not from typical widths of letters.
    """

    index: int
    text: str
    score: float
    quad: np.ndarray
    words: list[Word]
    measured: bool = False

    @property
    def height(self) -> float:
        """Size across the reading direction, in pixels."""
        return float(np.linalg.norm(self.quad[3] - self.quad[0]) + np.linalg.norm(self.quad[2] - self.quad[1])) / 2


@dataclass(eq=False)
class Block:
    """Lines that belong together: `rows` from top to bottom, each a list of lines from left to right."""

    rows: list[list[Line]] = field(default_factory=list)

    @property
    def lines(self) -> list[Line]:
        """All lines in reading order."""
        return [line for row in self.rows for line in row]


@dataclass(eq=False)
class Layout:
    """A page: size in pixels and blocks in reading order."""

    width: int
    height: int
    blocks: list[Block]

    @property
    def lines(self) -> list[Line]:
        """All lines in reading order."""
        return [line for block in self.blocks for line in block.lines]


def box_of(quads: Sequence[np.ndarray]) -> tuple[int, int, int, int]:
    """Upright box around some quads: x0, y0, x1, y1 in whole pixels, at least one pixel large."""
    points = np.concatenate([np.asarray(quad, np.float64).reshape(-1, 2) for quad in quads])
    x0, y0 = np.floor(points.min(axis=0) + 1e-3).astype(int)
    x1, y1 = np.ceil(points.max(axis=0) - 1e-3).astype(int)
    return int(x0), int(y0), int(max(x1, x0 + 1)), int(max(y1, y0 + 1))


def layout_of(result: OCRResult) -> Layout:
    """Order the lines of a page and cut them into words.

    Columns of running text are read one after the other, tables and receipts row by row, pages of upright Chinese
    columns from right to left.
    """
    angles = _angles(result)
    lines = [_line(result, index, text, angles) for index, text in enumerate(result.rec_texts) if text.strip()]
    width, height = result.page_size or _extent(lines)
    if not result.page_angle:
        return Layout(width, height, _blocks(lines))
    # a page on its side or head is ordered as it looks upright; its lines stay where they are
    places = {line.index: line for line in lines}
    upright = [
        replace(line, quad=rotate_points(line.quad, result.page_angle, (height, width)), words=[]) for line in lines
    ]
    rows = [[[places[line.index] for line in row] for row in block.rows] for block in _blocks(upright)]
    return Layout(width, height, [Block(block) for block in rows])


def _blocks(lines: list[Line]) -> list[Block]:
    if _mostly_upright_columns(lines):
        groups = _vertical_order(lines)
    else:  # what stands sideways on a page of level lines is a note in the margin
        turned = [line for line in lines if _stands(line) and len(line.text) > 2]
        level = [line for line in lines if not (_stands(line) and len(line.text) > 2)]
        groups = _ordered(level) + [[[line]] for line in turned]
    return [block for group in groups for block in _paragraphs(group)]


def _extent(lines: list[Line]) -> tuple[int, int]:
    if not lines:
        return 1, 1
    _, _, x1, y1 = box_of([line.quad for line in lines])
    return max(1, x1), max(1, y1)


# ---- one line ----


def _angles(result: OCRResult) -> dict[bytes, int]:
    """Orientation by region: angles belong to all detected regions, texts only to those that passed the threshold."""
    angles = result.textline_orientation_angles
    if len(angles) != len(result.dt_polys):
        return {}
    return {poly.tobytes(): int(angle) for poly, angle in zip(result.dt_polys, angles, strict=True)}


def _line(result: OCRResult, index: int, text: str, angles: dict[bytes, int]) -> Line:
    poly = result.rec_polys[index]
    quad = text_quad(poly, is_turned(poly), angles.get(poly.tobytes(), 0) == 1)
    words = None
    if result.text_word is not None and result.text_word_region is not None:
        words = _known_words(text, result.text_word[index], result.text_word_region[index], quad)
    return Line(index, text, float(result.rec_scores[index]), quad, words or _guessed_words(text, quad), bool(words))


def _part(quad: np.ndarray, start: float, end: float) -> np.ndarray:
    """The part of a quad between two fractions of its length."""
    top, bottom = quad[1] - quad[0], quad[2] - quad[3]
    return np.array([quad[0] + top * start, quad[0] + top * end, quad[3] + bottom * end, quad[3] + bottom * start])


def _guessed_words(text: str, quad: np.ndarray) -> list[Word]:
    """Words by typical widths of their characters, where the recogniser's positions were not kept."""
    total, position, words = max(width_of(text), 1e-6), 0, []
    for piece in text.split():
        begin = text.index(piece, position)
        position = begin + len(piece)
        words.append(Word(piece, _part(quad, width_of(text[:begin]) / total, width_of(text[:position]) / total)))
    return words


def _known_words(text: str, pieces: Sequence[str], regions: Sequence[object], quad: np.ndarray) -> list[Word] | None:
    """Words from the recogniser's pieces (words, or single Chinese characters); None where they do not fit the text."""
    direction, origin = quad[1] - quad[0], quad[0]
    scale = float(direction @ direction)
    if scale == 0 or "".join("".join(pieces).split()) != "".join(text.split()) or len(pieces) != len(regions):
        return None
    spans: list[tuple[int, int, float, float]] = []
    position = 0
    for piece, region in zip(pieces, regions, strict=True):
        if not piece.strip():
            continue
        begin = text.find(piece.strip(), position)
        if begin < 0:
            return None
        position = begin + len(piece.strip())
        along = (np.asarray(region, np.float64).reshape(-1, 2) - origin) @ direction / scale
        spans.append((begin, position, float(np.clip(along.min(), 0, 1)), float(np.clip(along.max(), 0, 1))))
    words, at = [], 0
    for piece in text.split():
        begin = text.index(piece, at)
        at = begin + len(piece)
        inside = [span for span in spans if begin <= span[0] and span[1] <= at]
        if not inside:
            return None
        words.append(Word(piece, _part(quad, min(span[2] for span in inside), max(span[3] for span in inside))))
    return words


# ---- reading order ----


def _stands(line: Line) -> bool:
    """Whether a line is read upwards or downwards."""
    across, down = np.abs(line.quad[1] - line.quad[0])
    return bool(down > across)


def _mostly_upright_columns(lines: list[Line]) -> bool:
    """Whether most characters stand in columns read from top to bottom (Chinese set vertically)."""
    wide = [line for line in lines if len(line.text) > 2]
    upright = [line for line in wide if _stands(line)]
    chinese = sum(ord(char) >= 0x2E80 for line in upright for char in line.text)
    return len(upright) * 2 > len(wide) and chinese * 2 > sum(len(line.text) for line in upright)


def _vertical_order(lines: list[Line]) -> list[list[list[Line]]]:
    """Columns from right to left, in each from top to bottom; every column is a row of its own."""
    columns: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: -_center(line)[0]):
        x0, _, x1, _ = box_of([line.quad])
        if columns:
            left, _, right, _ = box_of([other.quad for other in columns[-1]])
            if min(x1, right) - max(x0, left) > 0.5 * min(x1 - x0, right - left):
                columns[-1].append(line)
                continue
        columns.append([line])
    return [[sorted(column, key=lambda line: _center(line)[1]) for column in columns]] if columns else []


def _center(line: Line) -> tuple[float, float]:
    x, y = line.quad.mean(axis=0)
    return float(x), float(y)


def _ordered(lines: list[Line]) -> list[list[list[Line]]]:
    """Groups in reading order; a group is a list of rows, a row a list of lines from left to right."""
    if not lines:
        return []
    gutter = _gutter(lines)
    if gutter is None:
        return [_rows(lines)]
    crossing = sorted((line for line in lines if _crosses(line, gutter)), key=lambda line: _center(line)[1])
    rest = [line for line in lines if not _crosses(line, gutter)]
    groups: list[list[list[Line]]] = []
    for upper in [*crossing, None]:
        limit = np.inf if upper is None else _center(upper)[1]
        band = [line for line in rest if _center(line)[1] < limit]
        rest = [line for line in rest if _center(line)[1] >= limit]
        for side in (-1, 1):
            groups += _ordered([line for line in band if (_center(line)[0] - gutter) * side > 0])
        if upper is not None:
            groups.append([[upper]])
    return groups


def _crosses(line: Line, x: float) -> bool:
    x0, _, x1, _ = box_of([line.quad])
    return x0 < x - 2 and x1 > x + 2


def _gutter(lines: list[Line]) -> float | None:
    """x of the gap between two columns of running text, None if the lines stand in one column or a table."""
    gaps: list[tuple[float, float]] = []
    for row in _rows(lines):
        boxes = [box_of([line.quad]) for line in row]
        gaps += [
            (left[2], right[0])
            for left, right, line in zip(boxes, boxes[1:], row, strict=False)
            if right[0] - left[2] > 0.3 * line.height
        ]
    best, support = None, 0
    for candidate in sorted({(left + right) / 2 for left, right in gaps}):
        count = sum(left <= candidate <= right for left, right in gaps)
        if count > support:
            best, support = candidate, count
    if best is None or support < _MIN_ROWS:
        return None
    sides = [
        [line for line in lines if not _crosses(line, best) and (_center(line)[0] < best) == left] for left in (1, 0)
    ]
    crossing = len(lines) - len(sides[0]) - len(sides[1])
    prose = all(len(side) >= _MIN_ROWS and _median_aspect(side) >= _PROSE for side in sides)
    return best if prose and crossing <= min(len(side) for side in sides) else None


def _median_aspect(lines: list[Line]) -> float:
    lengths = [float(np.linalg.norm(line.quad[1] - line.quad[0])) / max(line.height, 1.0) for line in lines]
    return float(np.median(lengths))


def _rows(lines: list[Line]) -> list[list[Line]]:
    """Lines on one level form a row: those whose boxes share more than half of the lower one's height."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: _center(line)[1]):
        _, y0, _, y1 = box_of([line.quad])
        if rows:
            _, top, _, bottom = box_of([rows[-1][0].quad])
            if min(y1, bottom) - max(y0, top) > 0.5 * min(y1 - y0, bottom - top):
                rows[-1].append(line)
                continue
        rows.append([line])
    return [sorted(row, key=lambda line: _center(line)[0]) for row in rows]


def _paragraphs(rows: list[list[Line]]) -> list[Block]:
    """Cut a group where the space between rows is larger than a line, or the size of the letters changes."""
    blocks: list[Block] = []
    for row in rows:
        if blocks and _continues(blocks[-1].rows[-1], row):
            blocks[-1].rows.append(row)
        else:
            blocks.append(Block([row]))
    return blocks


def _continues(above: list[Line], row: list[Line]) -> bool:
    size, other = (float(np.median([line.height for line in lines])) for lines in (above, row))
    if not 0.7 < (size + 1) / (other + 1) < 1.43:
        return False
    upper, lower = box_of([line.quad for line in above]), box_of([line.quad for line in row])
    apart = max(lower[1] - upper[3], lower[0] - upper[2], upper[0] - lower[2])
    return apart <= 0.9 * min(size, other)
