"""Formula recognition: pictures of formulas -> LaTeX."""

from __future__ import annotations

import numpy as np

from ptocr.document.formula_result import FormulaResult
from ptocr.document.results import Result
from ptocr.inputs.page import Page
from ptocr.predictors.predictor import ModelOptions, Predictor, Reader, origin
from ptocr.processing.formula import formula_input, formula_text
from ptocr.spec.model import FormulaSpec
from ptocr.spec.vocabulary import Text


class FormulaRecognizer(Predictor):
    """Pictures of single formulas -> their LaTeX (PP-FormulaNet)."""

    kind = FormulaSpec

    def __call__(self, image: np.ndarray) -> Text:
        """image: (H, W, 3) uint8 BGR, the formula alone."""
        charset = self.runtime.checkpoint.charset
        assert charset is not None
        indices, probs = self.runtime.run(formula_input(image, self.spec.preprocess)[None])
        return formula_text(indices[0], probs[0], charset)

    def reader(self, options: ModelOptions) -> Reader:
        """Formulas of pages that are one formula each."""

        def read(page: Page) -> Result:
            text = self(page.image)
            return FormulaResult(**origin(page), formula=text.text, score=text.score)

        return lambda pages: [read(page) for page in pages]
