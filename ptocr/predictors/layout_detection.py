"""Layout detection: pages -> regions."""

from __future__ import annotations

import numpy as np

from ptocr.document.structure_results import LayoutResult
from ptocr.predictors.predictor import ModelOptions, Predictor, Reader, origin
from ptocr.processing.layout import Region, layout_input, layout_regions
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import LayoutSpec
from ptocr.spec.settings import Share
from ptocr.spec.tasks import LayoutPostprocess, LayoutPreprocess


class LayoutOptions(ModelOptions):
    """Options of layout models."""

    threshold: Share | None = None
    nms_threshold: Share | None = None


class LayoutDetector(Predictor):
    """Pages -> regions with a class each (text, title, table, ...)."""

    kind = LayoutSpec
    options = LayoutOptions

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.pre: LayoutPreprocess = self.spec.preprocess
        self.post: LayoutPostprocess = self.spec.postprocess

    def __call__(self, image: np.ndarray, post: LayoutPostprocess | None = None) -> list[Region]:
        """image: (H, W, 3) uint8 BGR; `post`: settings of this call, the spec's where None."""
        scores, boxes = self.runtime.run(layout_input(image, self.pre)[None])
        return layout_regions(scores[0], boxes[0], image.shape[:2], self.pre, post or self.post)

    def reader(self, options: LayoutOptions) -> Reader:
        """Regions of pages."""
        post = self.post.with_(**options.given)
        return lambda pages: [LayoutResult(**origin(page), regions=self(page.image, post)) for page in pages]
