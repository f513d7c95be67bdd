"""HTML: one page of headings, paragraphs and tables."""

from __future__ import annotations

import html
from collections.abc import Iterable

from ptocr.document.tree import Page
from ptocr.document.writers.elements import Element, elements_of

_STYLE = "table{border-collapse:collapse}td{border:1px solid;padding:.2em .4em}"


def to_html(pages: Iterable[Page]) -> str:
    """An HTML 5 document, pages ruled off: titles and larger lines are headings, tables have their spans, other blocks
    are paragraphs of a class that says their kind."""
    parts, languages = [], dict[str, None]()
    for page in pages:
        parts.append("\n".join(map(_written, elements_of(page))))
        languages |= dict.fromkeys(page.languages)
    lang = f' lang="{next(iter(languages))}"' if len(languages) == 1 else ""
    head = f'<meta charset="utf-8"><title>OCR result</title><style>{_STYLE}</style>'
    body = "\n<hr>\n".join(parts)
    return f"<!DOCTYPE html>\n<html{lang}>\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n"


def _written(element: Element) -> str:
    if element.table is not None:
        return element.table.to_html()
    if element.level:
        return f"<h{element.level}>{_text(element.text)}</h{element.level}>"
    rows = [" &emsp; ".join(map(_text, row)) for row in element.rows]
    return f'<p class="{html.escape(element.kind)}">{"<br>".join(rows) or _text(element.text)}</p>'


def _text(text: str) -> str:
    return html.escape(text, quote=False)
