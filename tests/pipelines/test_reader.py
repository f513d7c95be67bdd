"""Words and characters of a line: where they are, also on lines that stand on their head."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import ptocr


@pytest.fixture(scope="module")
def page(checkout: Path) -> np.ndarray:
    return cv2.imread(str(checkout / "docs" / "images" / "latin_page.png"))


@pytest.fixture(scope="module")
def read(page: np.ndarray) -> ptocr.OCRResult:
    pipeline = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu")
    return next(pipeline.predict(page, return_word_box=True, return_char_box=True))


@pytest.mark.weights
def test_characters_are_where_the_ink_is(page: np.ndarray, read: ptocr.OCRResult) -> None:
    """Under the box of every letter there is more ink than under that of the gaps between lines."""
    dark = (page.mean(axis=2) < 128).astype(np.float64)
    for text, boxes, scores in zip(read.rec_texts, read.char_boxes, read.char_scores, strict=True):
        assert boxes.shape == (len(text), 4, 2) and len(scores) == len(text)
        centers = boxes.mean(axis=1)[:, 0]
        assert (np.diff(centers) > 0).all()
        inked = []
        for character, box in zip(text, boxes, strict=True):
            if character.isalnum():
                (x0, y0), (x1, y1) = np.floor(box.min(axis=0)).astype(int), np.ceil(box.max(axis=0)).astype(int)
                inked.append(dark[y0:y1, x0:x1].mean() > 0.05)
        assert np.mean(inked) > 0.95


@pytest.mark.weights
def test_words_of_an_upside_down_line_run_the_other_way(page: np.ndarray, read: ptocr.OCRResult) -> None:
    """One line of the page is turned in place: its words must be found at their mirrored places."""
    number = next(i for i, text in enumerate(read.rec_texts) if text.startswith("Chapter"))
    x0, y0, x1, y1 = (int(v) for v in read.rec_boxes[number])
    turned = page.copy()
    turned[y0:y1, x0:x1] = cv2.rotate(page[y0:y1, x0:x1], cv2.ROTATE_180)
    pipeline = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu")
    result = next(pipeline.predict(turned, return_word_box=True, return_char_box=True))
    found = next(i for i, text in enumerate(result.rec_texts) if text.startswith("Chapter"))
    assert result.page_angle == 0 and result.textline_orientation_angles[found] == 1
    assert sum(result.textline_orientation_angles) == 1
    upright = dict(zip(read.text_word[number], read.text_word_boxes[number], strict=True))
    for word, box in zip(result.text_word[found], result.text_word_boxes[found], strict=True):
        if word in upright and word.isalpha():
            mirrored = x0 + x1 - (box[0] + box[2]) / 2
            assert abs(mirrored - (upright[word][0] + upright[word][2]) / 2) < 14, word
    first = result.char_boxes[found][0]  # the C, from its own top left: at the right end, upside down
    assert first[0, 0] > first[1, 0] and first[0, 1] > first[3, 1] and first[:, 0].min() > (x0 + x1) / 2
