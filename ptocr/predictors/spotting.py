"""Text spotting, end to end: pictures -> lines with their texts (PGNet)."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np

from ptocr.document.results import OCRResult
from ptocr.errors import SpecError
from ptocr.inputs.page import Page
from ptocr.predictors.predictor import ModelOptions, Predictor, Reader, origin
from ptocr.processing.pgnet import Spotted, e2e_input, pgnet_lines
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import E2ESpec
from ptocr.spec.settings import Positive, Share
from ptocr.spec.tasks import E2EPreprocess, PGNetPostprocess


class SpottingOptions(ModelOptions):
    """Options of end-to-end models; those that are None keep the model's."""

    resize: Literal["totaltext", "partvgg"] | None = None
    limit_side_len: Positive | None = None
    thresh: Share | None = None
    valid_set: Literal["totaltext", "partvgg"] | None = None
    mode: Literal["fast", "slow"] | None = None


class TextSpotter(Predictor):
    """Pictures -> lines of text, found and read by one network."""

    kind = E2ESpec
    options = SpottingOptions

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        if runtime.checkpoint.charset is None:
            raise SpecError(f"{self.spec.name}: its weights have no character dictionary")
        self.charset = runtime.checkpoint.charset
        self.pre: E2EPreprocess = self.spec.preprocess
        self.post: PGNetPostprocess = self.spec.postprocess

    def __call__(
        self, image: np.ndarray, pre: E2EPreprocess | None = None, post: PGNetPostprocess | None = None
    ) -> list[Spotted]:
        """image: (H, W, 3) uint8 BGR; `pre`, `post`: settings of this call, the spec's where None."""
        outputs = self.runtime.run(e2e_input(image, pre or self.pre)[None])
        return pgnet_lines([output[0] for output in outputs], image.shape[:2], post or self.post, self.charset)

    def settings(self, options: SpottingOptions) -> tuple[E2EPreprocess, PGNetPostprocess]:
        """Pre- and postprocessing of a call: the spec's, with what the call asks for."""
        given = options.given
        pre = {key: given.pop(key) for key in list(given) if key in type(self.pre).model_fields}
        return self.pre.with_(**pre), self.post.with_(**given)

    def result(self, page: Page, options: SpottingOptions) -> OCRResult:
        """What is written on a page."""
        start = time.perf_counter()
        lines = self(page.image, *self.settings(options))
        polys = [line.poly for line in lines]
        return OCRResult(
            **origin(page),
            timings={"text_spotting": time.perf_counter() - start},
            page_size=(page.image.shape[1], page.image.shape[0]),
            dt_polys=polys,
            rec_polys=polys,
            rec_texts=[line.text.text for line in lines],
            rec_scores=[line.text.score for line in lines],
        )

    def reader(self, options: SpottingOptions) -> Reader:
        """Lines of pages."""
        self.settings(options)
        return lambda pages: [self.result(page, options) for page in pages]
