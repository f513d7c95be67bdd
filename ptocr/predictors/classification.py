"""Classification of pictures: direction of lines and pages."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ptocr.document.results import ClsResult, Result
from ptocr.inputs.page import Page
from ptocr.predictors.predictor import ModelOptions, Predictor, Reader, origin
from ptocr.processing.cls import cls_input
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import ClsSpec
from ptocr.spec.settings import Positive, Shape
from ptocr.spec.tasks import ClsPostprocess, ClsPreprocess


class ClsOptions(ModelOptions):
    """Options of classifiers. topk: so many classes, the likeliest first."""

    topk: Positive | None = None
    image_shape: Shape | None = None


@dataclass(frozen=True)
class Classification:
    """Best class of one picture: its index, its name (degrees the content is turned), its probability."""

    index: int
    label: str
    score: float


class Classifier(Predictor):
    """Pictures -> class with probability (direction of a line or a page)."""

    kind = ClsSpec
    options = ClsOptions

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.pre: ClsPreprocess = self.spec.preprocess
        self.post: ClsPostprocess = self.spec.postprocess

    def __call__(
        self, images: Sequence[np.ndarray], batch_size: int = 6, pre: ClsPreprocess | None = None
    ) -> list[Classification]:
        """images: (h, w, 3) uint8 BGR each."""
        best = ((int(probs.argmax()), probs) for probs in self.probabilities(images, batch_size, pre))
        return [Classification(i, self.post.labels[i], float(probs[i])) for i, probs in best]

    def probabilities(
        self, images: Sequence[np.ndarray], batch_size: int = 6, pre: ClsPreprocess | None = None
    ) -> list[np.ndarray]:
        """The probabilities (classes,) of each picture."""
        pre = pre or self.pre
        chunks = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
        make = (functools.partial(_cls_batch, chunk, pre) for chunk in chunks)
        return [probs for outputs in self.runtime.stream(make) for probs in outputs[0]]

    def reader(self, options: ClsOptions) -> Reader:
        """Classes of pictures."""
        given = options.given
        topk = given.pop("topk", 1)
        pre = self.pre.with_(**given)

        def result(page: Page, probs: np.ndarray) -> Result:
            best = probs.argsort()[::-1][:topk]
            return ClsResult(
                **origin(page),
                class_ids=[int(i) for i in best],
                scores=[float(probs[i]) for i in best],
                label_names=[_label(self.spec.name, self.post.labels[i]) for i in best],
            )

        def read(pages: list[Page]) -> list[Result]:
            probs = self.probabilities([page.image for page in pages], len(pages), pre)
            return [result(page, row) for page, row in zip(pages, probs, strict=True)]

        return read


def _label(name: str, label: str) -> str:
    """PaddleX names the classes of its line classifiers 0_degree and 180_degree, those of pages 0 to 270."""
    return f"{label}_degree" if name.endswith("_textline_ori") else label


def _cls_batch(images: Sequence[np.ndarray], pre: ClsPreprocess) -> np.ndarray:
    """float32 (N, *image_shape)."""
    batch = np.empty((len(images), *pre.image_shape), np.float32)
    for image, row in zip(images, batch, strict=True):
        cls_input(image, pre, row)
    return batch
