"""Text super-resolution: small pictures of lines -> larger, sharper ones."""

from __future__ import annotations

import numpy as np

from ptocr.document.results import Result, SRResult
from ptocr.inputs.page import Page
from ptocr.predictors.predictor import ModelOptions, Predictor, Reader, origin
from ptocr.processing.enlarge import zoom_input, zoom_output
from ptocr.spec.model import SRSpec


class TextZoom(Predictor):
    """Pictures of lines -> pictures of 32 x 128 pixels (Text Telescope, Text Gestalt)."""

    kind = SRSpec

    def __call__(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """images: (H, W, 3) uint8 BGR each; so is what comes back."""
        _, height, width = self.spec.preprocess.shape
        batch = np.stack([zoom_input(image, height, width) for image in images])
        return [zoom_output(line) for line in self.runtime.run(batch)[0]]

    def reader(self, options: ModelOptions) -> Reader:
        """Enlarged lines."""

        def read(pages: list[Page]) -> list[Result]:
            lines = self([page.image for page in pages])
            return [SRResult(**origin(page), sr_img=line) for page, line in zip(pages, lines, strict=True)]

        return read
