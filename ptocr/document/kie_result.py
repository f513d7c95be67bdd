"""Key information of a form: its lines, and what each of them is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from ptocr.document import draw
from ptocr.document.base_result import Result, need_image, point_array


@dataclass(frozen=True, eq=False)
class FormField:
    """A line with its class. poly: (n, 2) pixels; score: probability of the class."""

    poly: np.ndarray
    text: str
    index: int
    label: str
    score: float


@dataclass(kw_only=True, eq=False)
class KIEResult(Result):
    """The lines of a form in their order. pairs: (M, M) probability that two lines belong to one entity, which says
    something only where the model was trained with such pairs."""

    fields: list[FormField] = field(default_factory=list)
    pairs: np.ndarray | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The lines, with PaddleOCR's names for what it writes of each."""
        return {
            "input_path": self.input_path,
            "page_index": self.page_index,
            "fields": [
                {
                    "label": one.label,
                    "label_id": one.index,
                    "transcription": one.text,
                    "score": float(one.score),
                    "points": point_array(one.poly),
                }
                for one in self.fields
            ],
        }

    def by_label(self) -> dict[str, list[str]]:
        """Label -> texts of its lines, in their order."""
        found: dict[str, list[str]] = {}
        for one in self.fields:
            found.setdefault(one.label, []).append(one.text)
        return found

    @property
    def img(self) -> dict[str, Image.Image]:
        """`res`: the lines in the colour of their class, and beside them what they are."""
        captions = [f"{one.label} ({one.score:.2f})" for one in self.fields]
        colors = [one.index for one in self.fields]
        return {"res": draw.draw_ocr(need_image(self), [one.poly for one in self.fields], captions, colors)}
