"""Parquet (pyarrow): a table of lines for pandas, DuckDB, Spark, Ray Data; a folder of files reads as one table."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from ptocr.document.tree import Line, Page
from ptocr.errors import DeviceError

PAGES_AT_A_TIME = 256  # in a row group: bounds memory


def to_parquet(pages: Iterable[Page]) -> bytes:
    """A row for each line in reading order; a page without lines has one row with only source, page, width and height.

    source: the input, null from memory. page, block, line: from 0. kind: of the block. polygon: x, y, x, y ... in
    pixels of the picture that was read, as x0, y0, x1, y1, the upright box. width, height: of that picture.

    Raises:
        DeviceError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise DeviceError("Parquet needs pyarrow; `pip install 'ptocr[batch]'`") from None
    numbers = {name: pa.int32() for name in ("x0", "y0", "x1", "y1", "width", "height")}
    schema = pa.schema(
        {"source": pa.string(), "page": pa.int32(), "block": pa.int32(), "kind": pa.string(), "line": pa.int32()}
        | {"text": pa.string(), "score": pa.float32(), "polygon": pa.list_(pa.float32())}
        | numbers
    )
    out, rows = io.BytesIO(), []
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for number, page in enumerate(pages):
            rows += _rows(page, number)
            if number % PAGES_AT_A_TIME == PAGES_AT_A_TIME - 1:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return out.getvalue()


def _rows(page: Page, number: int) -> list[dict[str, Any]]:
    width, height = page.extent
    place = {"source": _valid(page.source), "page": number, "width": width, "height": height}
    rows = [
        place | {"block": block_number, "kind": block.kind, "line": line_number} | _of_line(line)
        for block_number, block in enumerate(page.blocks)
        for line_number, line in enumerate(block.lines)
    ]
    return rows or [place]


def _of_line(line: Line) -> dict[str, Any]:
    corners = dict(zip(("x0", "y0", "x1", "y1"), map(int, line.box), strict=True))
    polygon = [float(value) for value in line.poly.reshape(-1)]
    return {"text": _valid(line.text), "score": line.score, "polygon": polygon, **corners}


def _valid(text: str | None) -> str | None:
    """Lone surrogates, of a broken file name, cannot be written."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")
