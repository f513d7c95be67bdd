"""Training targets of recognisers: texts as rows of classes, in the layout of the vocabulary that a decoder has.

Equal to what upstream's label encoders give (tests/train/test_targets.py, tests/spec/test_vocabulary.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptocr.data.targets.base_targets import Arrays, LineTargets
from ptocr.spec.vocabulary import Vocabulary


class TokenLabels(LineTargets):
    """Texts to label rows of `length` classes in the layout of a vocabulary, special tokens and padding included."""

    def __init__(self, charset: Vocabulary, length: int = 25) -> None:
        self.charset, self.length = charset, length
        self.longest = length - charset.frame
        self.limit = (
            f"texts of more than {self.longest} characters ({length} places less {charset.frame} of special tokens) or "
            "without a character that the charset has"
        )

    def arrays(self, text: str) -> Arrays | None:
        """ "tokens": (length,) classes; "length": number of characters."""
        tokens = self.charset.label(text, self.length)
        if tokens is None:
            return None
        return {"tokens": np.array(tokens), "length": len(self.charset.encode(text))}


@dataclass(frozen=True)
class RecTarget:
    """One line's labels: ctc (max_length,) classes with 0 behind the text; gtc (max_length,) of the guide; length."""

    ctc: np.ndarray
    gtc: np.ndarray
    length: int


class LabelEncoder(LineTargets):
    """Texts to label rows of a charset, for CTC and a guide, whose layout of the vocabulary is named `guide`.

    max_length: of the rows; `longest` is less by the two places of the guide's row that start and end take.
    """

    def __init__(self, charset: Vocabulary, max_length: int = 25, guide: str = "nrtr") -> None:
        self.charset, self.max_length, self.guide = charset, max_length, guide
        self.longest = max_length - 2
        self.limit = (
            f"texts of more than {self.longest} characters (max_text_length {max_length} less two) or "
            "without a character that the charset has"
        )
        self.guided = charset.with_layout(guide)
        self.sar_padding = self.guided.token("pad")

    def __call__(self, text: str) -> RecTarget | None:
        """Labels of a text, or None where it does not fit (`accepts`)."""
        ctc, gtc = self.charset.label(text, self.max_length), self.guided.label(text, self.max_length)
        if ctc is None or gtc is None:
            return None
        return RecTarget(np.array(ctc), np.array(gtc), len(self.charset.encode(text)))

    def arrays(self, text: str) -> Arrays | None:
        """ "label_ctc", "label_gtc", "length" of a `RecTarget`."""
        target = self(text)
        if target is None:
            return None
        return {"label_ctc": target.ctc, "label_gtc": target.gtc, "length": target.length}
