"""Key information extraction: pages and their lines -> what each line is (SDMGR)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ptocr.document.kie_result import FormField, KIEResult
from ptocr.document.results import OCRResult
from ptocr.errors import InputError, SpecError
from ptocr.inputs.page import Page
from ptocr.predictors.predictor import ModelOptions, Predictor, Reader, origin
from ptocr.processing.form_fields import form_input, softmax
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import KIESpec
from ptocr.spec.tasks import KIEPostprocess, KIEPreprocess

Lines = tuple[list[np.ndarray], list[str]]  # regions (n, 2) in pixels, texts


class KIEOptions(ModelOptions):
    """lines: what is written on the page, as a result of an OCR pipeline or as `{"points": ..., "transcription": ...}`
    for each line; of several pages, one of these for each."""

    lines: Any = None


class FormReader(Predictor):
    """Pages with their lines -> the class of each line, and which lines belong together."""

    kind = KIESpec
    options = KIEOptions

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.pre: KIEPreprocess = self.spec.preprocess
        self.post: KIEPostprocess = self.spec.postprocess
        wanted = self.spec.architecture["network"].get("characters", 92)
        if wanted != len(self.pre.characters) + 1:
            raise SpecError(
                f"{self.spec.name}: the network knows {wanted - 1} characters, "
                f"preprocess.characters has {len(self.pre.characters)}"
            )

    def __call__(self, image: np.ndarray, lines: Lines) -> tuple[np.ndarray, np.ndarray]:
        """image: (H, W, 3) uint8 BGR. Probabilities of the lines' classes (M, classes), and (M, M) that two lines
        belong together."""
        polys, texts = lines
        if not polys:
            return np.zeros((0, len(self.post.labels)), np.float32), np.zeros((0, 0), np.float32)
        nodes, pairs = self.runtime.run(*(array[None] for array in form_input(image, polys, texts, self.pre)))
        return softmax(nodes[0]), softmax(pairs[0])[..., 1]

    def result(self, page: Page, lines: Lines) -> KIEResult:
        """What each line of a page is."""
        nodes, pairs = self(page.image, lines)
        fields = [
            FormField(poly, text, int(best), self.post.labels[best], float(row[best]))
            for poly, text, row, best in zip(*lines, nodes, nodes.argmax(1), strict=True)
        ]
        return KIEResult(**origin(page), fields=fields, pairs=pairs)

    def reader(self, options: KIEOptions) -> Reader:
        """Fields of pages."""
        given = _pages_of(options.lines, self.spec.name)

        def read(pages: list[Page]) -> list[Any]:
            found = []
            for page in pages:
                lines = next(given, None)
                if lines is None:
                    raise InputError(f"{page.input_path}: no lines were given for this page; lines= has one for each")
                found.append(self.result(page, lines))
            return found

        return read


def _pages_of(lines: Any, name: str) -> Iterator[Lines]:
    """The lines of each page.

    Raises:
        SpecError: none, or not in one of the forms that `KIEOptions` names.
    """
    if lines is None:
        raise SpecError(f"{name}: give lines=..., a result of an OCR pipeline or the regions and texts of the page")
    one_page = isinstance(lines, OCRResult) or (
        isinstance(lines, Sequence) and all(isinstance(line, Mapping) and "points" in line for line in lines)
    )
    return iter([_lines_of(page, name) for page in ([lines] if one_page else lines)])


def _lines_of(page: Any, name: str) -> Lines:
    if isinstance(page, OCRResult):
        return list(page.rec_polys), list(page.rec_texts)
    try:
        polys = [np.asarray(line["points"], np.float64).reshape(-1, 2) for line in page]
        texts = [str(line["transcription"]) for line in page]
    except (KeyError, TypeError, ValueError):
        raise SpecError(f"{name}: each line is {{'points': [[x, y], ...], 'transcription': text}}") from None
    if any(len(poly) < 2 or not np.isfinite(poly).all() for poly in polys):
        raise SpecError(f"{name}: the points of a line are at least two pairs of numbers")
    return polys, texts
