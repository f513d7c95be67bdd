"""Text recognition: line pictures -> texts."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import Field

from ptocr.document.results import RecResult, Result
from ptocr.errors import SpecError, WeightsError
from ptocr.inputs.page import Page
from ptocr.predictors.predictor import ModelOptions, Predictor, Reader, origin
from ptocr.processing import ctc_search as ctc
from ptocr.processing.fixed_line import fixed_line, inverted_picture
from ptocr.processing.gap_spaces import with_gap_spaces
from ptocr.processing.long_lines import line_windows, merge_windows
from ptocr.processing.rec import line_batch, line_width, paddle_batch_width, paddle_width, stepped_width
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import RecSpec
from ptocr.spec.settings import RecPreprocess, Shape
from ptocr.spec.vocabulary import LAYOUTS, Spans, Text, Vocabulary

log = logging.getLogger(__name__)

RecPadding = Literal["invariant", "paddle"]
LEXICON_BEAMS = 48  # readings of a line among which one that matches is looked for


class RecOptions(ModelOptions):
    """Options of recognisers; see `Decoding`."""

    allow: str | None = None
    deny: str | None = None
    lexicon: str | None = None
    alternatives: int | None = Field(default=None, ge=0, le=50)
    padding: RecPadding | None = None
    image_shape: Shape | None = None


@dataclass(frozen=True)
class Decoding:
    """How lines are batched and decoded; see `OCROptions`.

    padding "invariant": a line gets the same text and score whatever else is in the batch, because only lines of the
    same input width share one; "paddle": upstream's batches, all lines padded to the widest.
    """

    padding: RecPadding = "invariant"
    batch_size: int = 6
    image_shape: tuple[int, int, int] | None = None
    allow: str | None = None
    deny: str | None = None
    lexicon: str | None = None
    alternatives: int = 0
    gap_spaces: bool = False

    @property
    def restricted(self) -> bool:
        """Whether the caller says what may be read."""
        return any(v is not None for v in (self.allow, self.deny, self.lexicon))

    @property
    def needs_all_classes(self) -> bool:
        """Whether the best class per step is not enough."""
        return self.alternatives > 0 or self.restricted

    @property
    def adds_spaces(self) -> bool:
        """Whether spaces are put into gaps: asked for, and a space may be read."""
        allowed = self.allow is None or " " in self.allow
        return self.gap_spaces and allowed and " " not in (self.deny or "") and self.lexicon is None


GREEDY = Decoding()


class TextRecognizer(Predictor):
    """Line pictures -> texts."""

    kind = RecSpec
    options = RecOptions

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.pre: RecPreprocess = self.spec.preprocess
        if runtime.checkpoint.charset is None:
            raise WeightsError(f"{self.spec.name}: weights without a character set; convert them with --charset FILE")
        self.charset: Vocabulary = runtime.checkpoint.charset

    def __call__(self, images: Sequence[np.ndarray], how: Decoding = GREEDY) -> list[Text]:
        """Texts of line pictures (h, w, 3) uint8 BGR, in their order. Lines too long for the network go in windows.

        Raises:
            SpecError: what is asked of the decoding wants the probabilities of a CTC decoder, and this is another.
        """
        pre = self._preprocess(how)
        windows = [line_windows(image.shape[1], image.shape[0], pre) for image in images]
        if how.padding == "paddle" or pre.fixed:
            windows = [self._squeezed(image, cuts) for image, cuts in zip(images, windows, strict=True)]
        pieces: list[np.ndarray] = []
        for image, cuts in zip(images, windows, strict=True):
            pieces += [image[:, a:b] for a, b in cuts] if cuts else [image]
        decode = self._decoder(how)
        texts: dict[int, Text] = {}
        batches = list(line_batches(pieces, pre, how.padding, how.batch_size, self.runtime.prefers_single))
        outputs = self.runtime.stream((batch.make for batch in batches), how.needs_all_classes)
        for batch, arrays in zip(batches, outputs, strict=True):
            for i, *row in zip(batch.chosen, *arrays, strict=True):
                texts[i] = decode(row, _share(pieces[i], batch.padded, pre))
        parts = (texts[i] for i in range(len(pieces)))
        lines = [
            merge_windows([next(parts) for _ in cuts], cuts, image.shape[1]) if cuts else next(parts)
            for image, cuts in zip(images, windows, strict=True)
        ]
        rows = zip(lines, images, strict=True)
        return [with_gap_spaces(line, image) for line, image in rows] if how.adds_spaces else lines

    def averaged(self, pictures: Sequence[np.ndarray], how: Decoding = GREEDY) -> Text | None:
        """The text of one line from the mean of the probabilities of several pictures of it, all of one size; None for
        decoders other than CTC and for lines that are too long to be read in one piece."""
        pre, (height, width) = self._preprocess(how), pictures[0].shape[:2]
        if not LAYOUTS[self.charset.layout].collapses or line_windows(width, height, pre):
            return None
        batches = list(line_batches(pictures, pre, how.padding, len(pictures), self.runtime.prefers_single))
        rows = [row for (probs,) in self.runtime.stream((b.make for b in batches), True) for row in probs]
        line = ctc.greedy(self.charset, np.mean(rows, axis=0), _share(pictures[0], batches[0].padded, pre))
        return with_gap_spaces(line, pictures[0]) if how.adds_spaces else line

    def _preprocess(self, how: Decoding) -> RecPreprocess:
        return self.pre if how.image_shape is None else self.pre.with_(image_shape=how.image_shape)

    def _squeezed(self, image: np.ndarray, windows: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """No windows: upstream, and networks of one width, squeeze lines of any length."""
        if windows:
            height, width = image.shape[:2]
            log.warning(
                "%s: a line of %d x %d pixels is squeezed; much of it may be lost", self.spec.name, width, height
            )
        return []

    def reader(self, options: RecOptions) -> Reader:
        """Texts of line pictures."""
        self.pre.with_(**{key: value for key, value in options.given.items() if key == "image_shape"})  # checked

        def result(page: Page, line: Text) -> Result:
            alternatives = list(line.alternatives) or None
            return RecResult(**origin(page), rec_text=line.text, rec_score=line.score, alternatives=alternatives)

        def read(pages: list[Page]) -> list[Result]:
            lines = self([page.image for page in pages], Decoding(**options.given, batch_size=len(pages)))
            return [result(page, line) for page, line in zip(pages, lines, strict=True)]

        return read

    def _decoder(self, how: Decoding) -> Callable[[list[np.ndarray], float], Text]:
        """What makes a text of the network's output for one line and of the share of its width that the line fills."""
        if not how.needs_all_classes:
            return lambda row, share: self.charset.decode(row[0], row[1], share)
        if not LAYOUTS[self.charset.layout].collapses:
            raise SpecError(
                f"{self.spec.name}: allowed and denied characters, lexicons and alternatives want a CTC decoder; "
                f"this one is {self.charset.layout!r}"
            )
        masked = ~ctc.permitted(self.charset, how.allow, how.deny)

        def decode(row: list[np.ndarray], share: float) -> Text:
            (probs,) = row
            probs[:, masked] = 0.0
            return search(self.charset, probs, how, share)

        return decode


def _share(image: np.ndarray, padded: int, pre: RecPreprocess) -> float:
    """How much of the padded picture's width a line fills (upstream: its aspect ratio over that of the picture)."""
    if pre.resize == "stretch":
        return 1.0
    return min(1.0, (image.shape[1] / image.shape[0]) / (padded / pre.image_shape[1]))


def search(charset: Vocabulary, probs: np.ndarray, how: Decoding, share: float) -> Text:
    """One line from its probabilities (T, classes), of which those of characters that may not be read are zero: the
    greedy reading, or the likeliest of a beam search that a lexicon holds."""
    text = ctc.greedy(charset, probs, share)
    if not how.alternatives and how.lexicon is None:
        return text
    count = max(how.alternatives, LEXICON_BEAMS if how.lexicon is not None else 0)
    found = [
        ("".join(charset.characters[k - charset.first] for k in classes), classes, p)
        for classes, p in ctc.n_best(probs, count)
    ]
    if how.lexicon is not None:
        pattern = re.compile(how.lexicon)
        found.sort(key=lambda entry: pattern.fullmatch(entry[0]) is None)  # stable: the best match comes first
        if found and pattern.fullmatch(found[0][0]) and found[0][0] != text.text:
            columns, scores = ctc.align(probs, found[0][1])
            score = float(scores.mean()) if len(scores) else 0.0
            text = Text(found[0][0], score, scores, Spans(columns, len(probs) * share))
    return replace(text, alternatives=tuple((t, float(np.exp(p))) for t, _, p in found[: how.alternatives]))


Batch = tuple[list[int], list[int], int]  # which images, resized width of each, padded width


@dataclass(frozen=True)
class LineBatch:
    """Lines that go through a recogniser together. chosen: which images; widths: what each is resized to; padded: the
    width of the batch."""

    images: Sequence[np.ndarray]
    chosen: list[int]
    widths: list[int]
    padded: int
    pre: RecPreprocess

    def make(self) -> np.ndarray:
        """The network's input, float32 (N, C, height, padded)."""
        lines = [self.images[i] for i in self.chosen]
        if self.pre.resize == "inverted":
            return np.stack([inverted_picture(line, self.pre) for line in lines])
        if self.pre.fixed:
            return np.stack([fixed_line(line, self.pre) for line in lines])
        return line_batch(lines, self.pre.image_shape[1], self.widths, self.padded)

    def singly(self) -> Iterator[LineBatch]:
        """Each line alone, as wide as in the batch."""
        for i, width in zip(self.chosen, self.widths, strict=True):
            yield LineBatch(self.images, [i], [width], self.padded, self.pre)


def line_batches(
    images: Sequence[np.ndarray], pre: RecPreprocess, padding: RecPadding, batch_size: int, single: bool = False
) -> Iterator[LineBatch]:
    """Line pictures (h, w, 3) uint8 BGR in batches; single: each alone, padded as in its batch."""
    plan = fixed_batches if pre.fixed else paddle_batches if padding == "paddle" else invariant_batches
    for chosen, widths, padded in plan(images, batch_size, pre):
        batch = LineBatch(images, chosen, widths, padded, pre)
        yield from batch.singly() if single else (batch,)  # the same answers in a sixth of the memory


def fixed_batches(images: Sequence[np.ndarray], batch_size: int, pre: RecPreprocess) -> Iterator[Batch]:
    """Batches of pictures that are all of one size."""
    width = pre.image_shape[2]
    batch_size = 1 if pre.resize == "inverted" else batch_size  # each of its own size
    for start in range(0, len(images), batch_size):
        chosen = list(range(start, min(start + batch_size, len(images))))
        yield chosen, [width] * len(chosen), width


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
