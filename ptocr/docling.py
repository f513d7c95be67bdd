"""docling plug-in: an OCR engine of kind "ptocr", found through the entry point group `docling`.

    options = PdfPipelineOptions(do_ocr=True, ocr_options=PtocrOptions(), allow_external_plugins=True)

How docling finds engines: docling-project.github.io/docling/concepts/plugins.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from docling.datamodel.accelerator_options import AcceleratorOptions
from docling.datamodel.base_models import Page
from docling.datamodel.document import ConversionResult
from docling.datamodel.pipeline_options import OcrOptions
from docling.models.base_ocr_model import BaseOcrModel
from docling.utils.profiling import TimeRecorder
from docling_core.types.doc import BoundingBox, CoordOrigin
from docling_core.types.doc.page import BoundingRectangle, TextCell
from pydantic import Field

from ptocr.document.tree import Line
from ptocr.spec.languages import models_for


class PtocrOptions(OcrOptions):  # type: ignore[misc]
    """Options of the engine. lang: PaddleOCR's names or ISO codes, the first counts; empty: Chinese, English, Japanese
    and Latin scripts. min_score: lines below are left out. models: "detector" and "recogniser", instead of those that
    the language picks.
    """

    kind: ClassVar[Literal["ptocr"]] = "ptocr"
    canonicalize_lang: ClassVar[bool] = False
    lang: list[str] = Field(default_factory=list)
    min_score: float = 0.5
    models: dict[Literal["detector", "recogniser"], str] = Field(default_factory=dict)


class PtocrModel(BaseOcrModel):  # type: ignore[misc]
    """Reads the regions of a page that docling has found to need it."""

    def __init__(
        self,
        *,
        enabled: bool,
        artifacts_path: Path | None,
        options: PtocrOptions,
        accelerator_options: AcceleratorOptions,
    ) -> None:
        super().__init__(
            enabled=enabled, artifacts_path=artifacts_path, options=options, accelerator_options=accelerator_options
        )
        if enabled:
            self.pipeline = _pipeline(options, accelerator_options)

    def __call__(self, conv_res: ConversionResult, page_batch: Iterable[Page]) -> Iterable[Page]:
        """Pages with the cells that were read in them."""
        for page in page_batch:
            if self.enabled and page._backend is not None and page._backend.is_valid():
                with TimeRecorder(conv_res, "ocr"):
                    self._read(conv_res, page)
            yield page

    def _read(self, conv_res: ConversionResult, page: Page) -> None:
        cells: list[TextCell] = []
        for rect in self.get_ocr_rects(page):
            if rect.area() == 0:
                continue
            scale = self.options.scale
            picture = page._backend.get_page_image(scale=scale, cropbox=rect)
            (result,) = self.pipeline.predict(cv2.cvtColor(np.asarray(picture.convert("RGB")), cv2.COLOR_RGB2BGR))
            lines = result.page.above(self.options.min_score).lines
            cells += [_cell(line, len(cells) + number, scale, rect) for number, line in enumerate(lines)]
        self.post_process_cells(cells, page, conv_res)

    @classmethod
    def get_options_type(cls) -> type[OcrOptions]:
        """By which docling's factory knows the engine."""
        return PtocrOptions


def _pipeline(options: PtocrOptions, accelerator: AcceleratorOptions) -> Any:
    from ptocr.pipelines import create_pipeline

    detector, recogniser = models_for(options.lang[0] if options.lang else None)
    device = str(getattr(accelerator.device, "value", accelerator.device)).replace("cuda", "gpu")
    return create_pipeline(
        "OCR",
        device=device,
        threads=accelerator.num_threads,
        text_detection_model_name=options.models.get("detector", detector),
        text_recognition_model_name=options.models.get("recogniser", recogniser),
    )


def _cell(line: Line, index: int, scale: float, rect: BoundingBox) -> TextCell:
    """A line in points of the page, from the top left. Corners in docling's order: from the lower left of the text."""
    top_left, top_right, bottom_right, bottom_left = (line.quad / scale + (rect.l, rect.t)).tolist()
    corners = [*bottom_left, *bottom_right, *top_right, *top_left]
    names = [f"r_{axis}{number}" for number in range(4) for axis in "xy"]
    return TextCell(
        index=index,
        text=line.text,
        orig=line.text,
        from_ocr=True,
        confidence=line.score,
        rect=BoundingRectangle(**dict(zip(names, corners, strict=True)), coord_origin=CoordOrigin.TOPLEFT),
    )


def ocr_engines() -> dict[str, list[type[BaseOcrModel]]]:
    """What docling asks a plug-in for."""
    return {"ocr_engines": [PtocrModel]}
