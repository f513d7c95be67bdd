"""Training targets of recognisers: texts as rows of classes, in the layout of the vocabulary that a decoder has.

Equal to what upstream's label encoders give (tests/train/test_targets.py, tests/spec/test_vocabulary.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ptocr.data.targets.base_targets import Arrays, LineTargets
from ptocr.errors import InputError
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


class HiddenLabels(TokenLabels):
    """The same, and "hidden": the place of one character, drawn by chance (upstream VLLabelEncode)."""

    def arrays(self, text: str) -> Arrays | None:
        """As of `TokenLabels`; the first character is hidden."""
        made = super().arrays(text)
        return None if made is None else {**made, "hidden": 0}

    def drawn(self, text: str, rng: np.random.Generator) -> Arrays | None:
        made = super().arrays(text)
        return None if made is None else {**made, "hidden": int(rng.integers(int(made["length"])))}


class MeaningLabels(TokenLabels):
    """The same, and "meaning": the vector of the word, "meant": 1, or zeros where it has none.

    vectors: of words, as `read_vectors` gives them; a word is looked up as it is written, then in small letters.
    """

    def __init__(self, charset: Vocabulary, length: int, vectors: Mapping[str, np.ndarray], size: int) -> None:
        super().__init__(charset, length)
        self.vectors, self.none = vectors, np.zeros(size, np.float32)

    def arrays(self, text: str) -> Arrays | None:
        """As of `TokenLabels`; "meaning": (size,) float32."""
        made = super().arrays(text)
        vector = self.vectors.get(text, self.vectors.get(text.lower()))
        if made is None:
            return None
        return {**made, "meaning": self.none if vector is None else vector, "meant": float(vector is not None)}


def read_vectors(path: Path, size: int) -> dict[str, np.ndarray]:
    """Word vectors in fastText's text format, a word and `size` numbers a line; a first line with their counts is
    passed over. `fasttext print-word-vectors MODEL.bin < words.txt` writes it for any words.

    Raises:
        InputError: no such file, or a line of another form; names file and line.
    """
    vectors: dict[str, np.ndarray] = {}
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                word, *values = line.rstrip().split(" ")
                if number == 1 and len(values) == 1:
                    continue
                if len(values) != size:
                    raise InputError(f"{path}:{number}: {len(values)} numbers behind a word; {size} are needed")
                vectors[word] = np.array(values, np.float32)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: no word vectors in fastText's text format ({error})") from None
    return vectors


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
