r"""LaTeX: an article with sections, paragraphs, and tables with `\multirow` and `\multicolumn`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ptocr.document.table import Cell, Table
from ptocr.document.tree import Page
from ptocr.document.writers.elements import Element, elements_of, without_controls

_ESCAPED = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", '"': r"\textquotedbl{}",
}  # fmt: skip
_HEAD = r"""% compile with xelatex or lualatex; Chinese, Japanese and Korean need xeCJK (xelatex) and a font with them
\documentclass{article}
\usepackage[a4paper,margin=2cm]{geometry}
\usepackage{fontspec}
\usepackage{multirow}
\usepackage{iftex}
\ifXeTeX\IfFileExists{xeCJK.sty}{\usepackage{xeCJK}}{}\fi
\setlength{\parindent}{0pt}
\setlength{\parskip}{1ex}
"""


def to_latex(pages: Iterable[Page]) -> str:
    """A document that XeLaTeX and LuaLaTeX take; every character of the text is escaped where LaTeX means something by
    it."""
    bodies = ["\n\n".join(map(_written, elements_of(page))) for page in pages]
    body = "\n\n\\newpage\n\n".join(bodies)
    return f"{_HEAD}\\begin{{document}}\n\n{body}\n\n\\end{{document}}\n"


def escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(_ESCAPED.get(character, character) for character in without_controls(text))


def _written(element: Element) -> str:
    if element.table is not None:
        return _table(element.table)
    if element.level:
        return f"\\{'section' if element.level == 1 else 'subsection'}*{{{escaped(element.text)}}}"
    if element.rows:
        return " \\\\\n".join(" \\quad ".join(map(escaped, row)) for row in element.rows)
    return escaped(element.text)


def _table(table: Table) -> str:
    rows, columns = table.size
    extents = {id(cell): (height, width) for cell, height, width in table.extents()}
    grid = table.grid()
    lines = [f"\\begin{{tabular}}{{{'|l' * columns}|}}", "\\hline"]
    for number in range(rows):
        lines.append(f"{' & '.join(_places(grid[number], number, extents))} \\\\")
        lines.append(_rule(grid, number, columns))
    return "\n".join([*lines, "\\end{tabular}"])


def _places(owners: Sequence[Cell | None], row: int, extents: dict[int, tuple[int, int]]) -> list[str]:
    """The places of a row, from left to right; a cell from above leaves an empty one."""
    out, column = [], 0
    while column < len(owners):
        cell = owners[column]
        if cell is None or column != cell.column:  # nothing begins there, or a rest that another cell has cut off
            out.append("")
            column += 1
            continue
        height, width = extents[id(cell)]
        text = escaped(cell.text) if row == cell.row else ""
        if height > 1 and row == cell.row:
            text = f"\\multirow{{{height}}}{{*}}{{{text}}}"
        out.append(f"\\multicolumn{{{width}}}{{{'|' if column == 0 else ''}l|}}{{{text}}}" if width > 1 else text)
        column += width
    return out


def _rule(grid: Sequence[Sequence[Cell | None]], row: int, columns: int) -> str:
    """The line below a row, but not through cells that go on."""
    if row + 1 == len(grid):
        return "\\hline"
    free = [grid[row][c] is None or grid[row][c] is not grid[row + 1][c] for c in range(columns)]
    if all(free):
        return "\\hline"
    return "".join(f"\\cline{{{c + 1}-{c + 1}}}" for c in range(columns) if free[c])
