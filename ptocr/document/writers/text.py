"""Plain text, Markdown and TSV."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ptocr.document.table import Table
from ptocr.document.tree import Block, Box, Page
from ptocr.document.writers.elements import Element, elements_of, rows_of

_TSV_HEAD = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext"


def to_txt(pages: Iterable[Page]) -> str:
    """One line per row in reading order (cells of a row two spaces apart), an empty line between blocks, a form feed
    between pages.
    """
    texts = []
    for page in pages:
        blocks = ["\n".join("  ".join(line.text for line in row) for row in rows_of(block)) for block in page.blocks]
        texts.append("\n\n".join(blocks))
    return "\n\f\n".join(texts) + "\n"


def to_markdown(pages: Iterable[Page]) -> str:
    """Paragraphs in reading order; larger lines become headings, aligned rows tables, pages are ruled off."""
    texts = ["\n\n".join(map(_markdown, elements_of(page))) for page in pages]
    return "\n\n---\n\n".join(texts) + "\n"


def _markdown(element: Element) -> str:
    """Tables that were found as such are pipe tables, or HTML where cells span; rows of several cells are tables or
    stay rows."""
    if element.table is not None:
        return _markdown_table(element.table)
    if element.rows:
        return _markdown_rows(element.rows)
    return "#" * element.level + " " * bool(element.level) + _escape(element.text)


def _markdown_table(table: Table) -> str:
    if table.spans:
        return table.to_html()
    rows = [[""] * table.size[1] for _ in range(table.size[0])]
    for cell in table.cells:
        rows[cell.row][cell.column] = _escape(cell.text).replace("|", "\\|")
    texts = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([texts[0], "|" + " --- |" * table.size[1], *texts[1:]])


def _markdown_rows(rows: list[list[str]]) -> str:
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return "  \n".join("  ".join(map(_escape, row)) for row in rows)
    table = ["| " + " | ".join(_escape(text).replace("|", "\\|") for text in row) + " |" for row in rows]
    return "\n".join([table[0], "|" + " --- |" * len(rows[0]), *table[1:]])


def _escape(text: str) -> str:
    """Characters that Markdown would take for markup."""
    text = re.sub(r"([\\`*_<>\[\]])", r"\\\1", text)
    return re.sub(r"^(\s*)([#+-]|\d+[.)](?=\s))", lambda m: m[1] + m[2][:-1] + "\\" + m[2][-1], text)


def to_tsv(pages: Iterable[Page]) -> str:
    """Tesseract's table: levels 1 page, 2 block, 3 paragraph, 4 line, 5 word; confidence 0..100 for words, else -1."""
    rows = [_TSV_HEAD]
    for number, page in enumerate(pages, 1):
        rows.append(_tsv((1, number, 0, 0, 0, 0), (0, 0, *page.extent)))
        for block_number, block in enumerate(page.blocks, 1):
            rows += _tsv_block(number, block_number, block)
    return "\n".join(rows) + "\n"


def _tsv_block(page: int, number: int, block: Block) -> list[str]:
    rows = [_tsv((2, page, number, 0, 0, 0), block.box), _tsv((3, page, number, 1, 0, 0), block.box)]
    for line_number, line in enumerate(block.lines, 1):
        rows.append(_tsv((4, page, number, 1, line_number, 0), line.box))
        rows += [
            _tsv((5, page, number, 1, line_number, i), word.box, 100 * word.score, word.text)
            for i, word in enumerate(line.words, 1)
        ]
    return rows


def _tsv(ids: tuple[int, ...], box: Box, conf: float = -1, text: str = "") -> str:
    x0, y0, x1, y1 = box
    confidence = "-1" if conf < 0 else f"{conf:.4f}"
    return "\t".join([*map(str, ids), str(x0), str(y0), str(x1 - x0), str(y1 - y0), confidence, text])
