"""Plain text, Markdown and TSV."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

import numpy as np

from ptocr.document.table import Table
from ptocr.document.tree import Block, Box, Line, Page

_TSV_HEAD = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext"
_HEADING = 1.4  # times the usual height of a line


def to_txt(pages: Iterable[Page]) -> str:
    """One line per row in reading order (cells of a row two spaces apart), an empty line between blocks, a form feed
    between pages.
    """
    texts = []
    for page in pages:
        blocks = ["\n".join("  ".join(line.text for line in row) for row in rows_of(block)) for block in page.blocks]
        texts.append("\n\n".join(blocks))
    return "\n\f\n".join(texts) + "\n"


def rows_of(block: Block) -> list[list[Line]]:
    """The rows of a block; of one whose content is no rows, a row per line."""
    return [[line] for line in block.lines] if block.content is not None else block.rows


def to_markdown(pages: Iterable[Page]) -> str:
    """Paragraphs in reading order; larger lines become headings, aligned rows tables, pages are ruled off."""
    texts = []
    for page in pages:
        lines = page.lines
        usual = float(np.median([line.height for line in lines])) if lines else 0.0
        texts.append("\n\n".join(_markdown_block(block, usual) for block in page.blocks))
    return "\n\n---\n\n".join(texts) + "\n"


def _markdown_block(block: Block, usual: float) -> str:
    """Rows of one line each are running text; rows of several cells are tables or stay rows. Tables that were found as
    such are pipe tables, or HTML where cells span."""
    if isinstance(block.content, Table):
        return _markdown_table(block.content)
    if block.kind == "title" and block.rows:
        return "## " + _escape(joined(block.lines))
    parts = []
    for cells, group in itertools.groupby(rows_of(block), key=lambda row: len(row) > 1):
        rows = list(group)
        parts.append(_markdown_rows(rows) if cells else _markdown_text([row[0] for row in rows], usual))
    return "\n\n".join(parts)


def _markdown_text(lines: list[Line], usual: float) -> str:
    text = _escape(joined(lines))
    size = float(np.median([line.height for line in lines]))
    if len(lines) <= 2 and size >= _HEADING * usual:
        return ("# " if size >= 1.8 * usual else "## ") + text
    return text


def _markdown_table(table: Table) -> str:
    if table.spans:
        return table.to_html()
    rows = [[""] * table.size[1] for _ in range(table.size[0])]
    for cell in table.cells:
        rows[cell.row][cell.column] = _escape(cell.text).replace("|", "\\|")
    texts = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([texts[0], "|" + " --- |" * table.size[1], *texts[1:]])


def _markdown_rows(rows: list[list[Line]]) -> str:
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return "  \n".join("  ".join(_escape(line.text) for line in row) for row in rows)
    table = ["| " + " | ".join(_escape(line.text).replace("|", "\\|") for line in row) + " |" for row in rows]
    return "\n".join([table[0], "|" + " --- |" * len(rows[0]), *table[1:]])


def joined(lines: list[Line]) -> str:
    """The lines of a paragraph as one: hyphenated words put together, no space between Chinese characters."""
    text = ""
    for line in lines:
        piece = line.text.strip()
        if re.search(r"[a-z]-$", text) and re.match(r"[a-z]", piece):
            text = text[:-1] + piece
        elif text and not (ord(text[-1]) >= 0x2E80 and ord(piece[0]) >= 0x2E80):
            text += " " + piece
        else:
            text += piece
    return text


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
