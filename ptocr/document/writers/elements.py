"""Elements of a page as word processors know them: headings, paragraphs, rows of cells, tables, in reading order."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ptocr.document.table import Table
from ptocr.document.tree import Block, Line, Page

_HEADING = 1.4  # times the usual height of a line
_TITLES = {"doc_title": 1, "title": 2, "paragraph_title": 2}  # kinds of blocks -> level of a heading


@dataclass(frozen=True)
class Element:
    """Text of one paragraph, or `rows` of several cells, or a `table`. level: of a heading, from 1; 0 for other text.
    kind: that of its block."""

    kind: str
    text: str = ""
    level: int = 0
    rows: list[list[str]] = field(default_factory=list)
    table: Table | None = None


def elements_of(page: Page) -> Iterator[Element]:
    """The elements of a page: titles, and short text in larger letters, are headings."""
    lines = page.lines
    usual = float(np.median([line.height for line in lines])) if lines else 0.0
    for block in page.blocks:
        yield from _elements(block, usual)


def _elements(block: Block, usual: float) -> Iterator[Element]:
    if isinstance(block.content, Table):
        yield Element(block.kind, table=block.content)
    elif block.kind in _TITLES and block.rows:
        yield Element(block.kind, joined(block.lines), level=_TITLES[block.kind])
    else:
        for cells, group in itertools.groupby(rows_of(block), key=lambda row: len(row) > 1):
            rows = list(group)
            if cells:
                yield Element(block.kind, rows=[[line.text for line in row] for row in rows])
            else:
                yield _paragraph(block.kind, [row[0] for row in rows], usual)


def _paragraph(kind: str, lines: list[Line], usual: float) -> Element:
    size = float(np.median([line.height for line in lines]))
    large = len(lines) <= 2 and size >= _HEADING * usual
    return Element(kind, joined(lines), level=(1 if size >= 1.8 * usual else 2) if large else 0)


def rows_of(block: Block) -> list[list[Line]]:
    """The rows of a block; of one whose content is no rows, a row per line."""
    return [[line] for line in block.lines] if block.content is not None else block.rows


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


def without_controls(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)
