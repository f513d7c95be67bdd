"""Test-time augmentation: lines of middling score are read from three pictures, as they are, blurred and bolder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ptocr.predictors.recognition import Decoding, TextRecognizer
from ptocr.spec.vocabulary import Text

LOW, HIGH = 0.8, 0.98  # a line is read again if its score is from LOW up and less than HIGH: below is mostly no text
SHORTEST = 3  # characters
LESS = 0.02  # the mean of three readings scores a little less than one of them
Read = Callable[[Sequence[np.ndarray], Decoding], list[Text]]


class ReadTwice:
    """Reads lines, and those of middling score again from the mean of the probabilities of three pictures. What that
    says stands where it has as many letters, so that nothing is added or lost, and scores hardly less."""

    def __init__(self, read: Read, recognizer: TextRecognizer) -> None:
        self.read, self.recognizer = read, recognizer

    def __call__(self, images: Sequence[np.ndarray], how: Decoding) -> list[Text]:
        """Texts of line pictures (h, w, 3) uint8 BGR, in their order."""
        return [self._again(line, image, how) for line, image in zip(self.read(images, how), images, strict=True)]

    def _again(self, line: Text, image: np.ndarray, how: Decoding) -> Text:
        if not LOW <= line.score < HIGH or len(line.text) < SHORTEST:
            return line
        again = self.recognizer.averaged([image, _blurred(image), _bold(image)], how)
        alike = again is not None and len(_letters(again)) == len(_letters(line))
        return again if again is not None and alike and again.score >= line.score - LESS else line


def _blurred(line: np.ndarray) -> np.ndarray:
    """What is printed in dots runs together."""
    return cv2.GaussianBlur(line, (0, 0), 0.05 * line.shape[0])


def _bold(line: np.ndarray) -> np.ndarray:
    """Dark strokes are two pixels wider."""
    return cv2.erode(line, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))


def _letters(line: Text) -> str:
    return "".join(line.text.split())
