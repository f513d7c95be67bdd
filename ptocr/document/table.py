"""A table as a grid of cells with spans, filled with the lines that were read in it."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ptocr.document.cells import Cell, filled
from ptocr.document.columns import columns_split
from ptocr.document.tree import Line
from ptocr.processing.geometry import box_corners
from ptocr.processing.ruling_lines import RuledCell
from ptocr.processing.table_cells import CELLS, Structure

_SPAN = re.compile(r' (rowspan|colspan)="(\d+)"')


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
    return Table(columns_split(filled(cells, lines)), head) if cells else None


def table_of_ruled(ruled: Sequence[RuledCell], lines: Sequence[Line]) -> Table:
    """The grid that ruling lines make, with every line in a cell, or its parts in several."""
    cells = [Cell(cell.row, cell.column, box_corners(cell.box), cell.rows, cell.columns) for cell in ruled]
    return Table(filled(cells, lines))


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
