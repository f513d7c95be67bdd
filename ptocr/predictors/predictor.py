"""Predictors: preprocessing, runtime and postprocessing of one task. Stateless: options come with each call."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ptocr.errors import SpecError, WeightsError
from ptocr.processing.cls import cls_input, unwarp_input, unwarp_output
from ptocr.processing.det import REGIONS, det_input
from ptocr.processing.rec import line_batch, line_width, paddle_batch_width, paddle_width, stepped_width
from ptocr.runtime.runtime import Runtime
from ptocr.spec.settings import (
    ClsPostprocess,
    ClsPreprocess,
    DBPostprocess,
    DetPreprocess,
    RecPreprocess,
)
from ptocr.spec.vocabulary import Text, Vocabulary

RecPadding = Literal["invariant", "paddle"]


@dataclass(frozen=True)
class Detection:
    """Text regions of one picture: polys (n, 2) pixel corners clockwise from the top left, and their scores."""

    polys: list[np.ndarray]
    scores: list[float]


@dataclass(frozen=True)
class Classification:
    """Best class of one picture: its index, its name (degrees the content is turned), its probability."""

    index: int
    label: str
    score: float


class Predictor:
    """What all predictors share: a runtime of the right task."""

    task = ""

    def __init__(self, runtime: Runtime) -> None:
        spec = runtime.checkpoint.spec
        if spec.task != self.task:
            raise SpecError(f"{spec.name} is a model for {spec.task!r}, but one for {self.task!r} is needed here")
        self.runtime = runtime
        self.spec = spec


class TextDetector(Predictor):
    """Pictures -> text regions (DB)."""

    task = "det"

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        assert isinstance(self.spec.preprocess, DetPreprocess) and isinstance(self.spec.postprocess, DBPostprocess)
        self.pre, self.post = self.spec.preprocess, self.spec.postprocess

    def __call__(
        self, image: np.ndarray, pre: DetPreprocess | None = None, post: DBPostprocess | None = None
    ) -> Detection:
        """image: (H, W, 3) uint8 BGR; `pre`, `post`: settings of this call, the spec's where None."""
        post = post or self.post
        outputs = self.runtime.run(det_input(image, pre or self.pre)[None])
        return Detection(*REGIONS[post.name]([output[0] for output in outputs], image.shape[:2], post))

    def probabilities(self, image: np.ndarray, pre: DetPreprocess | None = None) -> np.ndarray:
        """The probability map (h, w) float32 of the resized picture."""
        return self.runtime.run(det_input(image, pre or self.pre)[None])[0][0, 0]


class TextRecognizer(Predictor):
    """Line pictures -> texts.

    padding "invariant": a line gets the same text and score whatever else is in the batch, because only lines of the
    same input width share one; "paddle": upstream's batches, all lines padded to the widest.
    """

    task = "rec"

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        assert isinstance(self.spec.preprocess, RecPreprocess)
        self.pre = self.spec.preprocess
        if runtime.checkpoint.charset is None:
            raise WeightsError(f"{self.spec.name}: weights without a character set; convert them with --charset FILE")
        self.charset: Vocabulary = runtime.checkpoint.charset

    def __call__(
        self,
        images: Sequence[np.ndarray],
        padding: RecPadding = "invariant",
        batch_size: int = 6,
        pre: RecPreprocess | None = None,
    ) -> list[Text]:
        """images: (h, w, 3) uint8 BGR each. Texts in the order of the images."""
        texts: list[Text | None] = [None] * len(images)
        for chosen, _, (indices, probs) in self.outputs(images, padding, batch_size, pre):
            for i, row, scores in zip(chosen, indices, probs, strict=True):
                texts[i] = self.charset.decode(row, scores)
        return [text for text in texts if text is not None]

    def outputs(
        self, images: Sequence[np.ndarray], padding: RecPadding, batch_size: int, pre: RecPreprocess | None = None
    ) -> Iterator[tuple[list[int], int, list[np.ndarray]]]:
        """Batch by batch: which images, the padded width in pixels, the runtime's outputs."""
        pre = pre or self.pre
        height = pre.image_shape[1]
        plan = paddle_batches if padding == "paddle" else invariant_batches
        batches = list(plan(images, batch_size, pre))
        if self.runtime.prefers_single:  # the same answers in a sixth of the memory
            batches = [
                ([i], [width], padded)
                for chosen, widths, padded in batches
                for i, width in zip(chosen, widths, strict=True)
            ]
        make = (
            functools.partial(line_batch, [images[i] for i in chosen], height, widths, padded)
            for chosen, widths, padded in batches
        )
        for (chosen, _, padded), outputs in zip(batches, self.runtime.stream(make), strict=True):
            yield chosen, padded, outputs


Batch = tuple[list[int], list[int], int]  # which images, resized width of each, padded width


def paddle_batches(images: Sequence[np.ndarray], batch_size: int, pre: RecPreprocess) -> Iterator[Batch]:
    """Upstream's batches: sorted by aspect ratio, cut into equal numbers, padded to the widest."""
    order = np.argsort([image.shape[1] / float(image.shape[0]) for image in images])
    for start in range(0, len(order), batch_size):
        chosen = [int(i) for i in order[start : start + batch_size]]
        lines = [images[i] for i in chosen]
        padded = min(paddle_batch_width(lines, pre.image_shape), pre.max_width)
        yield chosen, [paddle_width(line, pre.image_shape[1], padded) for line in lines], padded


def invariant_batches(images: Sequence[np.ndarray], batch_size: int, pre: RecPreprocess) -> Iterator[Batch]:
    """Batches of lines whose padded width is equal, so that batch mates cannot matter: it depends on the line alone.
    Narrow lines all pad to the width of `image_shape`, as upstream pads a line that is alone."""
    groups: dict[int, list[int]] = {}
    widths = [line_width(image, pre.image_shape, pre.max_width) for image in images]
    for i, width in enumerate(widths):
        groups.setdefault(stepped_width(width, pre.image_shape, pre.max_width), []).append(i)
    for padded in sorted(groups, reverse=True):  # the longest first: batches run side by side and should end together
        for start in range(0, len(groups[padded]), batch_size):
            chosen = groups[padded][start : start + batch_size]
            yield chosen, [widths[i] for i in chosen], padded


class Classifier(Predictor):
    """Pictures -> class with probability (direction of a line or a page)."""

    task = "cls"

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        assert isinstance(self.spec.preprocess, ClsPreprocess) and isinstance(self.spec.postprocess, ClsPostprocess)
        self.pre, self.post = self.spec.preprocess, self.spec.postprocess

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


def _cls_batch(images: Sequence[np.ndarray], pre: ClsPreprocess) -> np.ndarray:
    """float32 (N, *image_shape)."""
    batch = np.empty((len(images), *pre.image_shape), np.float32)
    for image, row in zip(images, batch, strict=True):
        cls_input(image, pre, row)
    return batch


class Unwarper(Predictor):
    """A photographed page -> the flat page."""

    task = "unwarp"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """image: (H, W, 3) uint8 BGR; so is what comes back."""
        return self.flat_and_grid(image)[0]

    def flat_and_grid(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The flat page, and where it came from: (2, 45, 31), x and y in [-1, 1] of a regular grid's points."""
        flat, grid = self.runtime.run(unwarp_input(image)[None])
        return unwarp_output(flat[0]), grid[0]
