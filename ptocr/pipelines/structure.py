"""The structure pipeline: OCR, and on top of it the kinds of a page's regions and its tables cell by cell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ptocr.document.order import reading_order
from ptocr.document.structure_results import StructureResult
from ptocr.document.table import Table, table_of
from ptocr.document.tree import Block, Line
from ptocr.inputs.page import Page
from ptocr.pipelines.config import StructureSpec
from ptocr.pipelines.ocr import OCRPipeline, _Call
from ptocr.pipelines.predict_options import OCROptions, StructureOptions
from ptocr.predictors.layout_detection import LayoutDetector
from ptocr.predictors.table_structure import TableRecognizer
from ptocr.processing.geometry import box_corners
from ptocr.processing.layout import Region

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ptocr.pipelines.keywords import Input, StructureKeywords

TABLE = "table"
_MARGIN = 4  # pixels around a table that go with it into its network


class StructurePipeline(OCRPipeline):
    """Pages with blocks of kinds, and tables. Without layout detection the whole picture is one table.

    Every line that OCR reads ends in one place: in a cell of the table that it lies on, else in a block of text.
    """

    options = StructureOptions
    spec: StructureSpec

    def predict(self, input: Input, **options: Unpack[StructureKeywords]) -> Iterator[StructureResult]:  # type: ignore[override]
        """As `OCRPipeline.predict`; options: see `StructureOptions`."""
        return super().predict(input, **options)  # type: ignore[return-value, misc]

    __call__ = predict  # type: ignore[assignment]

    def read(self, page: Page, options: OCROptions) -> StructureResult:
        """Read one page as OCR does, then arrange its lines."""
        result = StructureResult.of(super().read(page, options))
        start = time.perf_counter()
        read = result.page
        image = read.image
        assert image is not None
        lines = [line for line in read.regions if line.kept and line.text.strip()]
        regions = self._regions(image, _structure(options))
        tables: list[Block] = []
        for region in regions:
            on = _on(region, lines) if region.label == TABLE else []
            table = self._table(image, region, on) if region.label == TABLE else None
            if table is not None:
                tables.append(Block(kind=TABLE, poly=box_corners(region.box), content=table))
                placed = {id(line) for line in on}
                lines = [line for line in lines if id(line) not in placed]
        around = [region for region in regions if region.label != TABLE]
        read.blocks = arranged(lines, tables, around, read.angle, read.extent)
        result.timings["structure"] = time.perf_counter() - start
        result.regions = regions
        return result

    def _modules(self, call: _Call) -> list[str]:
        layout = ["LayoutDetection"] if self._finds_layout(_structure(call.options)) else []
        return [*super()._modules(call), *layout, "TableStructureRecognition"]

    def _finds_layout(self, options: StructureOptions) -> bool:
        asked = options.use_layout_detection
        return self.spec.use_layout_detection if asked is None else asked

    def _regions(self, image: np.ndarray, options: StructureOptions) -> list[Region]:
        """What the layout model finds, or the whole picture as a table."""
        if not self._finds_layout(options):
            height, width = image.shape[:2]
            return [Region(0, TABLE, 1.0, np.array([0.0, 0.0, width, height]))]
        return self.models.get("LayoutDetection", LayoutDetector)(image)

    def _table(self, image: np.ndarray, region: Region, lines: list[Line]) -> Table | None:
        """The table in a region with the lines that lie on it."""
        height, width = image.shape[:2]
        x0, y0 = (max(0, int(v) - _MARGIN) for v in region.box[:2])
        x1, y1 = (min(int(v) + _MARGIN, most) for v, most in zip(region.box[2:], (width, height), strict=True))
        structure = self.models.get("TableStructureRecognition", TableRecognizer)(image[y0:y1, x0:x1])
        return table_of(replace(structure, cells=structure.cells + np.array([x0, y0])), lines)


def _structure(options: OCROptions) -> StructureOptions:
    """Options of OCR alone leave the others at their defaults."""
    return options if isinstance(options, StructureOptions) else StructureOptions().merged(dict(options))


def _on(region: Region, lines: list[Line]) -> list[Line]:
    """The lines whose middle lies in a region."""
    x0, y0, x1, y1 = region.box
    middles = [(line, line.quad.mean(axis=0)) for line in lines]
    return [line for line, (x, y) in middles if x0 <= x <= x1 and y0 <= y <= y1]


def arranged(
    lines: list[Line], blocks: list[Block], regions: list[Region], angle: int, size: tuple[int, int]
) -> list[Block]:
    """Blocks in reading order: those that are given, and lines put together to paragraphs, of the kind of the smallest
    region that most of them lie in ("text" where none does).

    A given block takes its place as a line of its size would, so that what stands beside it is not read across it.
    """
    given = {}
    for block in blocks:
        x0, y0, x1, y1 = block.box
        stand_in = Line(box_corners((x0, y0, x1, y1)), text="-")
        given[id(stand_in)] = block
        lines = [*lines, stand_in]
    out: list[Block] = []
    for rows in reading_order(lines, angle, size):
        kept: list[list[Line]] = []
        for row in rows:
            if not any(id(line) in given for line in row):
                kept.append(row)
                continue
            out += _paragraph(kept, regions)
            kept = []
            for line in row:
                out += [given[id(line)]] if id(line) in given else _paragraph([[line]], regions)
        out += _paragraph(kept, regions)
    return out


def _paragraph(rows: list[list[Line]], regions: list[Region]) -> list[Block]:
    if not rows:
        return []
    lines = [line for row in rows for line in row]
    holding = [r for r in sorted(regions, key=lambda r: r.area) if 2 * len(_on(r, lines)) > len(lines)]
    return [Block(rows, holding[0].label if holding else "text")]
