"""How RapidOCR prepares a page, and the way back: bounded sides, black bars above and below very low pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ptocr.compat.rapid_results import Word
from ptocr.document.results import OCRResult


@dataclass(frozen=True)
class Frame:
    """A prepared page. image: resized; padded: with bars of `bar` pixels above and below; scale: (x, y) factors back;
    size: (width, height) of the page as given."""

    image: np.ndarray
    padded: np.ndarray
    bar: int
    scale: tuple[float, float]
    size: tuple[int, int]

    @classmethod
    def of(cls, page: np.ndarray, settings: Mapping[str, Any]) -> Frame:
        """page: (H, W, 3) uint8 BGR; settings: RapidOCR's Global section."""
        height, width = page.shape[:2]
        image = page
        if settings["use_preprocess_img"]:
            if max(image.shape[:2]) > settings["max_side_len"]:
                image = _resized(image, settings["max_side_len"] / max(image.shape[:2]))
            if min(image.shape[:2]) < settings["min_side_len"]:
                image = _resized(image, settings["min_side_len"] / min(image.shape[:2]))
        bar = _bar(image, settings) if settings["use_vertical_padding"] else 0
        padded = cv2.copyMakeBorder(image, bar, bar, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0)) if bar else image
        return cls(image, padded, bar, (width / image.shape[1], height / image.shape[0]), (width, height))

    def back(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the padded picture in the page as given, float32, kept within it."""
        moved = (np.asarray(points, np.float32) - (0, self.bar)) * np.asarray(self.scale, np.float32)
        return np.clip(moved, 0, np.asarray(self.size, np.float32)).astype(np.float32)


def _resized(image: np.ndarray, ratio: float) -> np.ndarray:
    """Resized by about `ratio`, to sides that are multiples of 32."""
    height, width = (max(32, round(int(side * ratio) / 32) * 32) for side in image.shape[:2])
    return cv2.resize(image, (width, height))


def _bar(image: np.ndarray, settings: Mapping[str, Any]) -> int:
    height, width = image.shape[:2]
    limit = settings["width_height_ratio"]
    if height > settings["min_height"] and (limit == -1 or width / height <= limit):
        return 0
    wanted = max(int(width / limit), settings["min_height"]) * 2
    return abs(wanted - height) // 2


def word_results(
    result: OCRResult, keep: Sequence[int], frame: Frame, single: bool, spaces: bool = False
) -> tuple[tuple[Word, ...], ...]:
    """Words of the kept lines with their scores and corners: single ideographs, whole words of lines without any.

    Of a line with ideographs, and with `single`, every character is one, with `spaces` every space too. A word's score
    is the mean of its characters'.
    """
    assert result.char_boxes is not None and result.char_scores is not None
    lines = []
    for i in keep:
        boxes = frame.back(np.asarray(result.char_boxes[i]).reshape(-1, 4, 2))
        characters = list(result.rec_texts[i])
        if len(characters) != len(boxes):  # entries of several characters share a column
            characters = [result.rec_texts[i]] if len(boxes) == 1 else []
        apart = single or any("\u4e00" <= c <= "\u9fff" for c in characters)
        groups = [[n] for n, c in enumerate(characters) if spaces or not c.isspace()] if apart else _runs(characters)
        lines.append(tuple(_word(group, characters, boxes, result.char_scores[i]) for group in groups))
    return tuple(lines)


def _runs(characters: Sequence[str]) -> list[list[int]]:
    """Indices of the characters between spaces."""
    groups: list[list[int]] = [[]]
    for n, character in enumerate(characters):
        if character.isspace():
            groups.append([])
        else:
            groups[-1].append(n)
    return [group for group in groups if group]


def _word(group: Sequence[int], characters: Sequence[str], boxes: np.ndarray, scores: Sequence[float]) -> Word:
    first, last = boxes[group[0]], boxes[group[-1]]
    corners = np.rint([first[0], last[1], last[2], first[3]]).astype(int).tolist()
    score = round(float(np.mean([scores[n] for n in group])), 5)
    return "".join(characters[n] for n in group), score, corners
