"""HTML: one page of headings, paragraphs and tables."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Sequence

from ptocr.document.table import Table
from ptocr.document.tree import Block, Line, Page
from ptocr.document.writers.text import joined, rows_of

_STYLE = "table{border-collapse:collapse}td{border:1px solid;padding:.2em .4em}"


def to_html(pages: Iterable[Page]) -> str:
    """An HTML 5 document, pages ruled off: titles are headings, tables have their spans, other blocks are paragraphs of
    a class that says their kind."""
    parts, languages = [], dict[str, None]()
    for page in pages:
        parts.append("\n".join(_block(block) for block in page.blocks))
        languages |= dict.fromkeys(page.languages)
    lang = f' lang="{next(iter(languages))}"' if len(languages) == 1 else ""
    head = f'<meta charset="utf-8"><title>OCR result</title><style>{_STYLE}</style>'
    body = "\n<hr>\n".join(parts)
    return f"<!DOCTYPE html>\n<html{lang}>\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n"


def _block(block: Block) -> str:
    if isinstance(block.content, Table):
        return block.content.to_html()
    if block.kind == "title":
        return f"<h2>{_text(block.lines)}</h2>"
    parts = []
    for cells, group in itertools.groupby(rows_of(block), key=lambda row: len(row) > 1):
        rows = list(group)
        text = "<br>".join(map(_cells, rows)) if cells else _text([row[0] for row in rows])
        parts.append(f'<p class="{html.escape(block.kind)}">{text}</p>')
    return "\n".join(parts)


def _cells(row: Sequence[Line]) -> str:
    return " &emsp; ".join(html.escape(line.text, quote=False) for line in row)


def _text(lines: list[Line]) -> str:
    return html.escape(joined(lines), quote=False)
