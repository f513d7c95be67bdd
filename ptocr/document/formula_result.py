"""Results of formula models, with PaddleX 3.x's field names (FormulaRecResult)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from ptocr.document import draw
from ptocr.document.base_result import Result, need_image
from ptocr.processing.geometry import box_corners


@dataclass(kw_only=True, eq=False)
class FormulaResult(Result):
    """The LaTeX of a formula. score: mean probability of its tokens."""

    formula: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's FormulaRecResult."""
        return {"input_path": self.input_path, "page_index": self.page_index, "rec_formula": self.formula}

    @property
    def img(self) -> dict[str, Image.Image]:
        """`res`: the picture, and its LaTeX beside it as text."""
        image = need_image(self)
        height, width = image.shape[:2]
        return {"res": draw.draw_ocr(image, [box_corners((0, 0, width, height))], [self.formula])}
