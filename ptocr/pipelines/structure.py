"""The structure pipeline: OCR, and on top of it the kinds of a page's regions and its tables cell by cell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ptocr.document.arrange import FIGURES, arranged
from ptocr.document.structure_results import StructureResult
from ptocr.document.table import Table, table_of, table_of_ruled
from ptocr.document.tree import Block, Line
from ptocr.errors import SpecError
from ptocr.inputs.page import Page
from ptocr.pipelines.config import LayoutConfig, StructureSpec
from ptocr.pipelines.ocr import OCRPipeline, _Call
from ptocr.pipelines.predict_options import OCROptions, StructureOptions
from ptocr.predictors.layout_detection import LayoutDetector, LayoutOptions
from ptocr.predictors.table_structure import TableRecognizer
from ptocr.processing.geometry import box_corners
from ptocr.processing.layout import Region, shared_area, without_doubles
from ptocr.processing.ruling_lines import out_to_rules, ruled_cells, ruled_tables

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ptocr.pipelines.keywords import Input, StructureKeywords

TABLE = "table"
_ABSENT = {
    "use_formula_recognition": "formulas", "use_seal_recognition": "seals", "use_chart_recognition": "charts",
    "use_region_detection": "regions of regions",
}  # fmt: skip
_RULED = 0.7  # of the cells that the network sees, which lines must part for a table to be taken as ruled
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
        asked = self._checked(options)
        result = StructureResult.of(super().read(page, options))
        start = time.perf_counter()
        read = result.page
        image = read.image
        assert image is not None
        lines = [line for line in read.regions if line.kept and line.text.strip()]
        whole = not self._asks("use_layout_detection", asked)
        regions = self._regions(image, whole, lines, asked)
        tables: list[Block] = []
        places: list[float | None] = []
        recognised = self._asks("use_table_recognition", asked)
        for region in (region for region in regions if recognised and region.label == TABLE):
            on = _on(region, lines)
            table = self._table(image, region, on)
            if table is not None and (whole or min(table.size) > 1):  # one row or column is no table
                tables.append(Block(kind=TABLE, poly=box_corners(region.box), content=table))
                places.append(region.place)
                placed = {id(line) for line in on}
                lines = [line for line in lines if id(line) not in placed]
        around = [region for region in regions if region.label != TABLE or not recognised]
        read.blocks = arranged(lines, tables, around, read.angle, read.extent, places)
        result.timings["structure"] = time.perf_counter() - start
        result.regions = regions
        return result

    def _modules(self, call: _Call) -> list[str]:
        asked = self._checked(call.options)
        switches = {"LayoutDetection": "use_layout_detection", "TableStructureRecognition": "use_table_recognition"}
        return [*super()._modules(call), *(name for name, switch in switches.items() if self._asks(switch, asked))]

    def _checked(self, options: OCROptions) -> StructureOptions:
        """Options of a call. Options of OCR alone leave the others at their defaults.

        Raises:
            SpecError: they, or the pipeline, ask for what has no models here.
        """
        asked = options if isinstance(options, StructureOptions) else StructureOptions().merged(dict(options))
        for switch, what in _ABSENT.items():
            if self._asks(switch, asked):
                raise SpecError(f"{self.spec.pipeline_name}: no models for {what} here; go on without: {switch}=False")
        return asked

    def _asks(self, switch: str, options: StructureOptions) -> bool:
        """A switch of this call, the pipeline's where it says nothing."""
        value = getattr(options, switch)
        return bool(getattr(self.spec, switch) if value is None else value)

    def _regions(self, image: np.ndarray, whole: bool, lines: list[Line], options: StructureOptions) -> list[Region]:
        """What the layout model finds, tables with their outer rules; or the whole picture as a table."""
        if whole:
            height, width = image.shape[:2]
            return [Region(0, TABLE, 1.0, np.array([0.0, 0.0, width, height]))]
        detector = self.models.get("LayoutDetection", LayoutDetector)
        labels = [label.lower() for label in detector.post.labels]
        regions = [replace(r, label=r.label.lower()) for r in detector(image, self._layout(options))]
        found = without_doubles(regions, TABLE)
        size = _text_height(lines)
        found = [replace(r, box=out_to_rules(image, r.box, size)) if r.label == TABLE else r for r in found]
        ruled = ruled_tables(image, size) if TABLE in labels else []
        more = [(Region(labels.index(TABLE), TABLE, 1.0, box), cells) for box, cells in ruled]
        tables = [r for r, cells in more if _is_new(r, found) and 2 * len(_on(r, lines)) >= cells]
        return [r for r in found if r.label not in FIGURES or not any(_is_same(r, table) for table in tables)] + tables

    def _layout(self, options: StructureOptions) -> LayoutOptions:
        """Settings of layout detection: those of this call, else the pipeline's."""
        module = self.models.module("LayoutDetection")
        assert isinstance(module, LayoutConfig)
        names = ("threshold", "layout_nms", "layout_unclip_ratio", "layout_merge_bboxes_mode")
        given = {name: getattr(options, f"layout_{name.removeprefix('layout_')}") for name in names}
        return LayoutOptions(**{n: getattr(module, n) if value is None else value for n, value in given.items()})

    def _table(self, image: np.ndarray, region: Region, lines: list[Line]) -> Table | None:
        """The table in a region with the lines that lie on it: as it is ruled, else as the network sees it."""
        height, width = image.shape[:2]
        x0, y0 = (max(0, int(v) - _MARGIN) for v in region.box[:2])
        x1, y1 = (min(int(v) + _MARGIN, most) for v, most in zip(region.box[2:], (width, height), strict=True))
        picture = image[y0:y1, x0:x1]
        recogniser = self.models.get("TableStructureRecognition", TableRecognizer)
        if getattr(recogniser.post, "boxes", None) == "untrained":
            raise SpecError(
                f"{recogniser.spec.name} says nothing of where cells are, which lines are sorted by; take a model that "
                "does: table_structure_recognition_model_name='SLANet_plus'"
            )
        structure = recogniser(picture)
        ruled = ruled_cells(picture, _text_height(lines))
        if len(ruled) > _RULED * len(structure.cells):
            return table_of_ruled([cell.moved(x0, y0) for cell in ruled], lines)
        return table_of(replace(structure, cells=structure.cells + np.array([x0, y0])), lines)


def _is_new(region: Region, found: list[Region]) -> bool:
    """Whether no table that was found has to do with a region, and no figure that is more than it."""
    rivals = [other for other in found if other.label in (TABLE, *FIGURES)]
    return not any(
        shared_area(region, other) > 0.3 * min(region.area, other.area)
        for other in rivals
        if other.label == TABLE or not _is_same(region, other)
    )


def _is_same(region: Region, other: Region) -> bool:
    shared = shared_area(region, other)
    return shared > 0.6 * (region.area + other.area - shared)


def _text_height(lines: list[Line]) -> float:
    return float(np.median([line.height for line in lines])) if lines else 0.0


def _on(region: Region, lines: list[Line]) -> list[Line]:
    """The lines whose middle lies in a region."""
    x0, y0, x1, y1 = region.box
    middles = [(line, line.quad.mean(axis=0)) for line in lines]
    return [line for line, (x, y) in middles if x0 <= x <= x1 and y0 <= y <= y1]
