"""Sections of a report about layout: regions, blocks in the order in which they are read, cells of tables."""

from __future__ import annotations

from collections.abc import Iterator

from ptocr.document.structure_results import StructureResult
from ptocr.document.table import Table
from ptocr.document.writers.report_parts import Shape, overlay, table_of_rows
from ptocr.processing.geometry import box_corners

_COLOURS = ("#0a0", "#06d", "#e60", "#c0c", "#a52", "#088", "#d22", "#660")


def structure_sections(result: StructureResult) -> list[str]:
    """HTML of the sections; pictures need the one that was read."""
    image = result.image
    assert image is not None
    size = (image.shape[1], image.shape[0])
    kinds = list(dict.fromkeys(region.label for region in result.regions))
    colours = {kind: _COLOURS[number % len(_COLOURS)] for number, kind in enumerate(kinds)}
    regions = [
        Shape(colours[region.label], box_corners(region.box), f"{region.label} {region.score:.2f}")
        for region in result.regions
    ]
    blocks = [
        Shape(_COLOURS[0], box_corners(block.box), str(number)) for number, block in enumerate(result.page.blocks, 1)
    ]
    rows = (
        (str(number), block.kind, ", ".join(map(str, block.box)), " ".join(line.text for line in block.lines)[:80])
        for number, block in enumerate(result.page.blocks, 1)
    )
    return [
        f"<h2>Layout</h2>{overlay(image, regions, size)}",
        f"<h2>Reading order</h2>{overlay(image, blocks, size)}",
        table_of_rows(("block", "kind", "box", "begins"), rows),
        "<h2>Tables</h2>",
        *(_tables(result, size) if result.tables else ["<p>none</p>"]),
    ]


def _tables(result: StructureResult, size: tuple[int, int]) -> Iterator[str]:
    for block in result.page.blocks:
        if isinstance(block.content, Table):
            assert result.image is not None
            yield overlay(result.image, [Shape(_COLOURS[1], cell.poly) for cell in block.content.cells], size)
            yield block.content.to_html()
