"""A table as a grid of cells with spans, filled with the lines that were read in it."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ptocr.document.tree import Line
from ptocr.processing.geometry import box_of
from ptocr.processing.table_cells import CELLS, Structure
from ptocr.processing.words import character_quads, per_character

_SPAN = re.compile(r' (rowspan|colspan)="(\d+)"')
_TOKEN = re.compile(r"[⺀-￯]|[^\s⺀-￯]+")  # an ideograph, or a run of other characters


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


@dataclass(eq=False)
class Table:
    """Cells in the order of their HTML. head: so many rows at the top are headings."""

    cells: list[Cell]
    head: int = 0

    @property
    def lines(self) -> list[Line]:
        """All lines, cell by cell."""
        return [line for cell in self.cells for line in cell.lines]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        ends = [(cell.row + cell.rows, cell.column + cell.columns) for cell in self.cells]
        return max((r for r, _ in ends), default=0), max((c for _, c in ends), default=0)

    @property
    def spans(self) -> bool:
        """Whether a cell spans several rows or columns."""
        return any(cell.rows > 1 or cell.columns > 1 for cell in self.cells)

    def above(self, min_score: float) -> Table:
        """The same without the lines that score less."""
        cells = [replace(c, lines=[line for line in c.lines if line.score >= min_score]) for c in self.cells]
        return Table(cells, self.head)

    def rows(self) -> list[list[Cell]]:
        """The cells of each row, in the row where they begin."""
        found: list[list[Cell]] = [[] for _ in range(self.size[0])]
        for cell in self.cells:
            found[cell.row].append(cell)
        return found

    def extents(self) -> list[tuple[Cell, int, int]]:
        """Each cell with the rows and columns that it alone has: where spans overlap, the earlier cell has them."""
        rows, columns = self.size
        free = np.ones((rows, columns), bool)
        out = []
        for cell in self.cells:
            places = free[cell.row : cell.row + cell.rows, cell.column : cell.column + cell.columns]
            width = _run(np.asarray(places[0]))
            height = _run(np.asarray(places[:, :width].all(axis=1)))
            places[:height, :width] = False
            out.append((cell, height, width))
        return out

    def grid(self) -> list[list[Cell | None]]:
        """Which cell each place belongs to, None where there is none."""
        owners: list[list[Cell | None]] = [[None] * self.size[1] for _ in range(self.size[0])]
        for cell, height, width in self.extents():
            for row in owners[cell.row : cell.row + height]:
                row[cell.column : cell.column + width] = [cell] * width
        return owners

    def to_html(self) -> str:
        """`<table>` with spans; text is escaped."""
        parts, rows = [], self.rows()
        for tag, part in (("thead", rows[: self.head]), ("tbody", rows[self.head :])):
            if part:
                parts.append(f"<{tag}>{''.join(map(_row, part))}</{tag}>")
        return f"<table>{''.join(parts)}</table>"


def _run(flags: np.ndarray) -> int:
    """How many there are before the first that is not set."""
    return len(flags) if flags.all() else int(flags.argmin())


def _row(cells: Sequence[Cell]) -> str:
    return f"<tr>{''.join(map(_cell, cells))}</tr>"


def _cell(cell: Cell) -> str:
    spans = "".join(
        f' {name}="{count}"' for name, count in (("rowspan", cell.rows), ("colspan", cell.columns)) if count > 1
    )
    return f"<td{spans}>{html.escape(cell.text, quote=False)}</td>"


def table_of(structure: Structure, lines: Sequence[Line]) -> Table | None:
    """The grid that HTML tokens describe, with every line in a cell, or its parts in several; None without cells."""
    cells, head = _grid(structure)
    if not cells:
        return None
    for line in lines:
        for cell, part in _placed(line, cells):
            cell.lines.append(part)
    for cell in cells:
        cell.lines = _in_order(cell.lines)
    return Table(cells, head)


def _grid(structure: Structure) -> tuple[list[Cell], int]:
    """Cells, and how many rows the head has. Where a row above reaches down, cells move on to the right."""
    cells: list[Cell] = []
    taken: set[tuple[int, int]] = set()
    row, column, head, polys = -1, 0, 0, iter(structure.cells)
    for token in structure.tokens:
        if token == "<tr>" or (token in CELLS and row < 0):
            row, column = row + 1, 0
        if token == "</thead>":
            head = row + 1
        if token in CELLS:
            while (row, column) in taken:
                column += 1
            cells.append(Cell(row, column, next(polys)))
        if cells and (span := _SPAN.fullmatch(token)):
            setattr(cells[-1], {"rowspan": "rows", "colspan": "columns"}[span[1]], int(span[2]))
        if cells and token in ("<td></td>", "</td>"):
            last = cells[-1]
            taken |= {(r, c) for r in range(row, row + last.rows) for c in range(column, column + last.columns)}
            column += last.columns
    return cells, head


def _placed(line: Line, cells: Sequence[Cell]) -> list[tuple[Cell, Line]]:
    """A line with its cell; in parts where its words lie in several. A word between cells goes with its neighbours, a
    line between cells to the nearest one."""
    boxes = np.array([box_of([cell.poly]) for cell in cells], np.float64)
    spans = [match.span() for match in _TOKEN.finditer(line.text)]
    quads = _characters(line) if len(spans) > 1 else None
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
    return Line(poly, line.text[begin:end], score, turned=line.turned, angle=line.angle)


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
