"""Unwarping: photographed pages -> flat pages."""

from __future__ import annotations

import numpy as np

from ptocr.document.results import UnwarpResult
from ptocr.predictors.predictor import ModelOptions, Predictor, Reader, origin
from ptocr.processing.cls import unwarp_input, unwarp_output
from ptocr.spec.model import UnwarpSpec


class Unwarper(Predictor):
    """A photographed page -> the flat page."""

    kind = UnwarpSpec

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """image: (H, W, 3) uint8 BGR; so is what comes back."""
        return self.flat_and_grid(image)[0]

    def flat_and_grid(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The flat page, and where it came from: (2, 45, 31), x and y in [-1, 1] of a regular grid's points."""
        flat, grid = self.runtime.run(unwarp_input(image)[None])
        return unwarp_output(flat[0]), grid[0]

    def reader(self, options: ModelOptions) -> Reader:
        """Flat pages."""
        return lambda pages: [UnwarpResult(**origin(page), doctr_img=self(page.image)) for page in pages]
