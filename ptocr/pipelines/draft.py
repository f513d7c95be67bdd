"""Cascade of two recognisers: a quick one reads every line first, the accurate one again what that is not sure of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ptocr.predictors.recognition import Decoding, TextRecognizer
from ptocr.spec.vocabulary import Text

WITNESSES = 3  # accepted lines of a page that are read again to learn whether it has characters which the draft lacks
IDEOGRAPHS = "\u2e80"  # and all characters above


class Drafted:
    """Reads the lines of a page with two recognisers. A draft stands where its mean score reaches `thresh`.

    Of a page with characters that the draft recogniser does not know, which it takes for others without doubt, no line
    in ideographs stands: the longest such lines say which pages those are.
    """

    def __init__(self, draft: TextRecognizer, recognizer: TextRecognizer, thresh: float) -> None:
        self.draft, self.recognizer, self.thresh = draft, recognizer, thresh

    def __call__(self, images: Sequence[np.ndarray], how: Decoding) -> list[Text]:
        """Texts of the lines of one page, pictures (h, w, 3) uint8 BGR, in their order."""
        lines = self.draft(images, how)
        unsure = {i for i, line in enumerate(lines) if not line.text or line.score < self.thresh}
        read = _read(self.recognizer, images, sorted(unsure), how)
        drawn = [i for i, line in enumerate(lines) if i not in unsure and any(c >= IDEOGRAPHS for c in line.text)]
        witnesses = sorted(drawn, key=lambda i: -len(lines[i].text))[:WITNESSES]
        read |= _read(self.recognizer, images, witnesses, how)
        known = frozenset(self.draft.charset.characters)
        if any(char not in known for line in read.values() for char in line.text):
            read |= _read(self.recognizer, images, [i for i in drawn if i not in read], how)
        return [read.get(i, line) for i, line in enumerate(lines)]


def _read(
    recognizer: TextRecognizer, images: Sequence[np.ndarray], chosen: Sequence[int], how: Decoding
) -> dict[int, Text]:
    return dict(zip(chosen, recognizer([images[i] for i in chosen], how), strict=True)) if chosen else {}
