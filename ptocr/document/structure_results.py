"""Results of layout and table models, with PaddleX 3.x's field names (DetResult, TableRecResult)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from ptocr.document import draw
from ptocr.document.base_result import Result, need_image
from ptocr.processing.geometry import box_corners
from ptocr.processing.layout import Region
from ptocr.processing.table import Structure


@dataclass(kw_only=True, eq=False)
class LayoutResult(Result):
    """Regions of a page."""

    regions: list[Region] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's DetResult."""
        return {
            "input_path": self.input_path,
            "page_index": self.page_index,
            "boxes": [
                {"cls_id": r.index, "label": r.label, "score": r.score, "coordinate": [float(v) for v in r.box]}
                for r in self.regions
            ],
        }

    @property
    def img(self) -> dict[str, Image.Image]:
        """`res`: the page with the regions outlined."""
        return {"res": draw.draw_boxes(need_image(self), [box_corners(region.box) for region in self.regions])}


@dataclass(kw_only=True, eq=False)
class TableStructureResult(Result):
    """HTML tokens and cells of a table."""

    structure: Structure

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's TableRecResult; boxes are whole pixels, the corners of each cell in one row."""
        return {
            "input_path": self.input_path,
            "page_index": self.page_index,
            "bbox": self.structure.cells.astype(int).reshape(-1, 8).tolist(),
            "structure": ["<html>", "<body>", "<table>", *self.structure.tokens, "</table>", "</body>", "</html>"],
            "structure_score": self.structure.score,
        }

    @property
    def img(self) -> dict[str, Image.Image]:
        """`res`: the picture with the cells outlined."""
        return {"res": draw.draw_boxes(need_image(self), list(self.structure.cells))}
