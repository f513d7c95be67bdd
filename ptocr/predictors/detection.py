"""Text detection: pictures -> text regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ptocr.document.results import DetResult, Result
from ptocr.inputs.page import Page
from ptocr.predictors.predictor import ModelOptions, Predictor, Reader, origin
from ptocr.processing.det import det_input
from ptocr.runtime.linking import region_finder
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import DetSpec
from ptocr.spec.settings import DetPostprocess, DetPreprocess, LimitType, Positive, Ratio, Share, SideLimit


class DetOptions(ModelOptions):
    """Options of detectors."""

    limit_side_len: Positive | None = None
    limit_type: LimitType | None = None
    max_side_limit: SideLimit | None = None
    thresh: Share | None = None
    box_thresh: Share | None = None
    unclip_ratio: Ratio | None = None
    use_dilation: bool | None = None
    score_mode: Literal["fast", "slow"] | None = None
    box_type: Literal["quad", "poly"] | None = None


@dataclass(frozen=True)
class Detection:
    """Text regions of one picture: polys (n, 2) pixel corners clockwise from the top left, and their scores."""

    polys: list[np.ndarray]
    scores: list[float]


class TextDetector(Predictor):
    """Pictures -> text regions."""

    kind = DetSpec
    options = DetOptions

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.pre: DetPreprocess = self.spec.preprocess
        self.post: DetPostprocess = self.spec.postprocess
        self.find = region_finder(runtime.checkpoint)

    def __call__(
        self, image: np.ndarray, pre: DetPreprocess | None = None, post: DetPostprocess | None = None
    ) -> Detection:
        """image: (H, W, 3) uint8 BGR; `pre`, `post`: settings of this call, the spec's where None."""
        post = post or self.post
        outputs = self.runtime.run(det_input(image, pre or self.pre)[None])
        return Detection(*self.find([output[0] for output in outputs], image.shape[:2], post))

    def probabilities(self, image: np.ndarray, pre: DetPreprocess | None = None) -> np.ndarray:
        """The probability map (h, w) float32 of the resized picture."""
        return self.runtime.run(det_input(image, pre or self.pre)[None])[0][0, 0]

    def reader(self, options: DetOptions) -> Reader:
        """Regions of pictures."""
        given = options.given
        pre = self.pre.with_(**{key: given.pop(key) for key in list(given) if key in type(self.pre).model_fields})
        post = self.post.with_(**given)

        def read(page: Page) -> Result:
            found = self(page.image, pre, post)
            return DetResult(**origin(page), dt_polys=found.polys, dt_scores=found.scores)

        return lambda pages: [read(page) for page in pages]
