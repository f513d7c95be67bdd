"""Word documents (DOCX, python-docx): headings, paragraphs, tables with their spans."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from ptocr.document.table import Table
from ptocr.document.tree import Page
from ptocr.document.writers.elements import Element, elements_of, without_controls
from ptocr.errors import DeviceError


def to_docx(pages: Iterable[Page]) -> bytes:
    """A document with a page break between pages. Cells of a row that is no table stand a tab apart.

    Raises:
        DeviceError: python-docx is not installed.
    """
    try:
        from docx import Document
    except ImportError:
        raise DeviceError("Word documents need python-docx; `pip install 'ptocr[structure]'`") from None
    document = Document()
    for number, page in enumerate(pages):
        if number:
            document.add_page_break()
        for element in elements_of(page):
            _add(document, element)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _add(document: Any, element: Element) -> None:
    if element.table is not None:
        _add_table(document, element.table)
    elif element.level:
        document.add_heading(without_controls(element.text), element.level)
    elif element.rows:
        text = "\n".join("\t".join(row) for row in element.rows)
        document.add_paragraph(without_controls(text))
    else:
        document.add_paragraph(without_controls(element.text))


def _add_table(document: Any, table: Table) -> None:
    rows, columns = table.size
    made = document.add_table(rows, columns, style="Table Grid")
    for cell, height, width in table.extents():
        place = made.cell(cell.row, cell.column)
        if height > 1 or width > 1:
            place = place.merge(made.cell(cell.row + height - 1, cell.column + width - 1))
        place.text = without_controls(cell.text)
    document.add_paragraph()  # two tables with nothing between them would become one
