"""Spreadsheets: XLSX (openpyxl) with a sheet per table, CSV with everything below each other."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

from ptocr.document.table import Table
from ptocr.document.tree import Page
from ptocr.document.writers.elements import Element, elements_of, without_controls
from ptocr.errors import DeviceError

_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.(\d{1,10}))?")
_LONGEST = 32767  # characters that a cell may hold


def to_xlsx(pages: Iterable[Page]) -> bytes:
    """A workbook: "Table 1" ... with spans as merged cells; what stands outside of tables is in the last sheet, "Text".

    Plain numbers become numbers that look as they did; all else, "=A1" too, is text.

    Raises:
        DeviceError: openpyxl is not installed.
    """
    try:
        from openpyxl import Workbook
    except ImportError:
        raise DeviceError("spreadsheets need openpyxl; `pip install 'ptocr[structure]'`") from None
    book = Workbook()
    book.remove(book.active)
    texts: list[list[str]] = []
    for page in pages:
        for element in elements_of(page):
            if element.table is not None:
                _fill(book.create_sheet(f"Table {len(book.sheetnames) + 1}"), element.table)
            else:
                texts += _rows(element)
    if texts or not book.sheetnames:
        sheet = book.create_sheet("Text")
        for row, cells in enumerate(texts, 1):
            for column, text in enumerate(cells, 1):
                _put(sheet.cell(row, column), text)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _fill(sheet: Any, table: Table) -> None:
    for cell, height, width in table.extents():
        row, column = cell.row + 1, cell.column + 1
        _put(sheet.cell(row, column), cell.text)
        if height > 1 or width > 1:
            sheet.merge_cells(
                start_row=row, start_column=column, end_row=row + height - 1, end_column=column + width - 1
            )


def _put(place: Any, text: str) -> None:
    number = _NUMBER.fullmatch(text)
    if number is None or text.startswith("-0"):
        place.value = without_controls(text)[:_LONGEST]
        place.data_type = "s"  # nothing that was read is a formula
    else:
        decimals = number[1]
        place.value = float(text) if decimals else int(text)
        place.number_format = "0." + "0" * len(decimals) if decimals else "0"


def _rows(element: Element) -> list[list[str]]:
    return element.rows or [[element.text]]


def to_csv(pages: Iterable[Page]) -> str:
    """Paragraphs and the rows of tables in reading order, an empty row around each table and between pages. The text of
    a cell that spans stands in the first of its places."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for number, page in enumerate(pages):
        if number:
            writer.writerow([])
        writer.writerows(row for element in elements_of(page) for row in _csv_rows(element))
    return out.getvalue()


def _csv_rows(element: Element) -> list[list[str]]:
    if element.table is None:
        return _rows(element)
    rows = [[""] * element.table.size[1] for _ in range(element.table.size[0])]
    for cell in element.table.cells:
        rows[cell.row][cell.column] = cell.text
    return [[], *rows, []]
