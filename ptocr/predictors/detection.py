"""Text detection: pictures -> text regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptocr.predictors.predictor import Predictor
from ptocr.processing.det import REGIONS, det_input
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import DetSpec
from ptocr.spec.settings import DetPostprocess, DetPreprocess


@dataclass(frozen=True)
class Detection:
    """Text regions of one picture: polys (n, 2) pixel corners clockwise from the top left, and their scores."""

    polys: list[np.ndarray]
    scores: list[float]


class TextDetector(Predictor):
    """Pictures -> text regions."""

    kind = DetSpec

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.pre: DetPreprocess = self.spec.preprocess
        self.post: DetPostprocess = self.spec.postprocess

    def __call__(
        self, image: np.ndarray, pre: DetPreprocess | None = None, post: DetPostprocess | None = None
    ) -> Detection:
        """image: (H, W, 3) uint8 BGR; `pre`, `post`: settings of this call, the spec's where None."""
        post = post or self.post
        outputs = self.runtime.run(det_input(image, pre or self.pre)[None])
        return Detection(*REGIONS[post.name]([output[0] for output in outputs], image.shape[:2], post))

    def probabilities(self, image: np.ndarray, pre: DetPreprocess | None = None) -> np.ndarray:
        """The probability map (h, w) float32 of the resized picture."""
        return self.runtime.run(det_input(image, pre or self.pre)[None])[0][0, 0]
