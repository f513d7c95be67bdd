"""Line pictures to texts, with everything a call may ask of the decoding."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ptocr.predictors.recognition import RecPadding, TextRecognizer, line_batches
from ptocr.processing import ctc_search as ctc
from ptocr.spec.settings import RecPreprocess
from ptocr.spec.vocabulary import Spans, Text, Vocabulary

LEXICON_BEAMS = 48  # readings of a line among which one that matches is looked for
OVERLAP = 4.0  # of the windows of a very long line, in line heights


@dataclass(frozen=True)
class ReadLine:
    """One line as read. alternatives: other readings and their probabilities, the likeliest first."""

    text: Text
    alternatives: tuple[tuple[str, float], ...] = ()

    @property
    def steps(self) -> float:
        """Length of the line in the cells of its spans, 0 where nothing is known of places."""
        return 0.0 if self.text.spans is None else self.text.spans.count


@dataclass(frozen=True)
class Decoding:
    """How lines are batched and decoded; see `OCROptions`."""

    padding: RecPadding = "invariant"
    batch_size: int = 6
    image_shape: tuple[int, int, int] | None = None
    allow: str | None = None
    deny: str | None = None
    lexicon: str | None = None
    alternatives: int = 0
    gap_spaces: bool = False

    @property
    def needs_all_classes(self) -> bool:
        """Whether the best class per step is not enough."""
        return self.alternatives > 0 or any(v is not None for v in (self.allow, self.deny, self.lexicon))


def read_lines(recognizer: TextRecognizer, images: Sequence[np.ndarray], how: Decoding) -> list[ReadLine]:
    """Texts of line pictures (h, w, 3) uint8 BGR, in their order. Lines too long for the network go in windows."""
    pre = recognizer.pre
    if how.image_shape is not None:
        pre = pre.with_(image_shape=how.image_shape)
    pieces: list[np.ndarray] = []
    spans: list[list[tuple[int, int]]] = []
    for image in images:
        windows = line_windows(image.shape[1], image.shape[0], pre) if how.padding == "invariant" else []
        spans.append(windows)
        pieces += [image[:, a:b] for a, b in windows] if windows else [image]
    found = dict(_readings(recognizer, pieces, how, pre))
    read = (found[i] for i in range(len(pieces)))
    lines = []
    for image, windows in zip(images, spans, strict=True):
        parts = [next(read) for _ in range(max(1, len(windows)))]
        line = merge_windows(parts, windows, image.shape[1]) if windows else parts[0]
        lines.append(replace(line, text=ctc.with_gap_spaces(line.text)) if how.gap_spaces else line)
    return lines


def _share(image: np.ndarray, padded: int, pre: RecPreprocess) -> float:
    """How much of the padded picture's width a line fills (upstream: its aspect ratio over that of the picture)."""
    return min(1.0, (image.shape[1] / image.shape[0]) / (padded / pre.image_shape[1]))


def _readings(
    recognizer: TextRecognizer, images: list[np.ndarray], how: Decoding, pre: RecPreprocess
) -> Iterator[tuple[int, ReadLine]]:
    """Each line's number and reading, batch by batch."""
    charset = recognizer.charset
    if not how.needs_all_classes:
        for chosen, padded, (indices, probs) in recognizer.outputs(images, how.padding, how.batch_size, pre):
            for i, row, scores in zip(chosen, indices, probs, strict=True):
                yield i, ReadLine(charset.decode(row, scores, _share(images[i], padded, pre)))
        return
    masked = ~ctc.permitted(charset, how.allow, how.deny)
    for batch in line_batches(images, pre, how.padding, how.batch_size):
        for i, probs in zip(batch.chosen, recognizer.runtime.raw(batch.make()), strict=True):
            probs[:, masked] = 0.0
            yield i, decode(charset, probs, how, _share(images[i], batch.padded, pre))


def decode(charset: Vocabulary, probs: np.ndarray, how: Decoding, share: float) -> ReadLine:
    """One line from its probabilities (T, classes), of which those of characters that may not be read are zero."""
    text = ctc.greedy(charset, probs, share)
    if not how.alternatives and how.lexicon is None:
        return ReadLine(text)
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
    alternatives = tuple((reading, float(np.exp(p))) for reading, _, p in found[: how.alternatives])
    return ReadLine(text, alternatives)


# ------------------------------------------------------------------------------------------------------ very long lines


def line_windows(width: int, height: int, pre: RecPreprocess) -> list[tuple[int, int]]:
    """Overlapping spans of x in which a line is read that would be squeezed otherwise; empty for lines that fit."""
    longest = int(pre.max_width / pre.image_shape[1] * height)
    if width <= longest:
        return []
    overlap = int(OVERLAP * height)
    count = -(-(width - overlap) // (longest - overlap))
    starts = np.linspace(0, width - longest, count).astype(int).tolist()
    return [(a, a + longest) for a in starts]


def merge_windows(parts: Sequence[ReadLine], windows: Sequence[tuple[int, int]], width: int) -> ReadLine:
    """One line from the readings of its windows: of each overlap the left half belongs to the left window."""
    texts: list[str] = []
    positions: list[float] = []
    scores: list[float] = []
    for n, (part, (start, end)) in enumerate(zip(parts, windows, strict=True)):
        low = (start + windows[n - 1][1]) / 2 if n else -1.0
        high = (windows[n + 1][0] + end) / 2 if n + 1 < len(windows) else width + 1.0
        if len(part.text.text) != len(part.text.columns):  # entries of several characters: no way to cut between them
            texts.append(part.text.text)
            continue
        for character, column, score in zip(part.text.text, part.text.columns, part.text.char_scores, strict=True):
            x = start + (column + 0.5) / part.steps * (end - start)
            if low <= x < high:
                texts.append(character)
                positions.append(x)
                scores.append(float(score))
    steps = sum(part.steps for part in parts) * width / sum(b - a for a, b in windows)
    columns = np.array([min(int(x / width * steps), int(steps)) for x in positions], np.int64)
    score = float(np.mean(scores)) if scores else 0.0
    return ReadLine(Text("".join(texts), score, np.array(scores, np.float32), Spans(columns, steps)))
