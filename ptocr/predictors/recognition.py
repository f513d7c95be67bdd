"""Text recognition: line pictures -> texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ptocr.errors import WeightsError
from ptocr.predictors.predictor import Predictor
from ptocr.processing.rec import line_batch, line_width, paddle_batch_width, paddle_width, stepped_width
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import RecSpec
from ptocr.spec.settings import RecPreprocess
from ptocr.spec.vocabulary import Text, Vocabulary

RecPadding = Literal["invariant", "paddle"]


class TextRecognizer(Predictor):
    """Line pictures -> texts.

    padding "invariant": a line gets the same text and score whatever else is in the batch, because only lines of the
    same input width share one; "paddle": upstream's batches, all lines padded to the widest.
    """

    kind = RecSpec

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.pre: RecPreprocess = self.spec.preprocess
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
        batches = list(line_batches(images, pre or self.pre, padding, batch_size, self.runtime.prefers_single))
        for batch, outputs in zip(batches, self.runtime.stream(batch.make for batch in batches), strict=True):
            yield batch.chosen, batch.padded, outputs


Batch = tuple[list[int], list[int], int]  # which images, resized width of each, padded width


@dataclass(frozen=True)
class LineBatch:
    """Lines that go through a recogniser together. chosen: which images; widths: what each is resized to; padded: the
    width of the batch."""

    images: Sequence[np.ndarray]
    chosen: list[int]
    widths: list[int]
    padded: int
    height: int

    def make(self) -> np.ndarray:
        """The network's input, float32 (N, 3, height, padded)."""
        return line_batch([self.images[i] for i in self.chosen], self.height, self.widths, self.padded)

    def singly(self) -> Iterator[LineBatch]:
        """Each line alone, as wide as in the batch."""
        for i, width in zip(self.chosen, self.widths, strict=True):
            yield LineBatch(self.images, [i], [width], self.padded, self.height)


def line_batches(
    images: Sequence[np.ndarray], pre: RecPreprocess, padding: RecPadding, batch_size: int, single: bool = False
) -> Iterator[LineBatch]:
    """Line pictures (h, w, 3) uint8 BGR in batches; single: each alone, padded as in its batch."""
    plan = paddle_batches if padding == "paddle" else invariant_batches
    for chosen, widths, padded in plan(images, batch_size, pre):
        batch = LineBatch(images, chosen, widths, padded, pre.image_shape[1])
        yield from batch.singly() if single else (batch,)  # the same answers in a sixth of the memory


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
