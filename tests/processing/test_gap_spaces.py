"""Spaces that a recogniser lost, found in the picture of the line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from ptocr.document.fonts import font_of
from ptocr.evaluation import corpus as c
from ptocr.predictors.recognition import Decoding, TextRecognizer
from ptocr.processing.gap_spaces import with_gap_spaces
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import make_runtime
from ptocr.spec.vocabulary import Spans, Text

STEP = 8  # pixels per column of the recogniser


def read(words: str, font: ImageFont.FreeTypeFont | None = None, pitch: int = 0) -> tuple[Text, np.ndarray]:
    """A line with its spaces, and its reading without them. pitch: width of every character, of its own where 0."""
    drawn = font or font_of(40)
    words = words if pitch else words.replace(" ", "  ")  # spaces as wide as in justified print, whatever the font
    width = pitch * len(words) if pitch else int(drawn.getlength(words))
    picture = Image.new("RGB", (width + 20, 48), (250, 250, 250))
    pen, columns = ImageDraw.Draw(picture), []
    for i, char in enumerate(words):
        own = drawn.getlength(char)
        left = 10 + (i * pitch + (pitch - own) / 2 if pitch else drawn.getlength(words[:i]))
        pen.text((left, 0), char, font=drawn, fill=(10, 10, 10))
        if char != " ":
            columns.append(int((left + own / 2) / STEP))
    scores = np.full(len(columns), 0.9, np.float32)
    text = Text(words.replace(" ", ""), 0.9, scores, Spans(np.array(columns, np.int64), picture.width / STEP))
    return text, np.asarray(picture)[..., ::-1].copy()


@pytest.mark.parametrize("words", ["one two", "Clean hands with soap and water", "WELL", "illicit", "a"])
def test_gaps_between_words_become_spaces(words: str) -> None:
    assert with_gap_spaces(*read(words)).text == words


@pytest.mark.parametrize("words", ["TOTAL BILL 3 MILLILITRE", "9555060603162"])
def test_letters_that_are_set_alike_are_not_torn_apart(words: str) -> None:
    assert with_gap_spaces(*read(words, pitch=28)).text == words


def test_a_space_has_a_column_and_a_score() -> None:
    text, picture = read("one two")
    spaced = with_gap_spaces(text, picture)
    columns = text.columns.tolist()
    assert spaced.columns.tolist() == [*columns[:3], columns[3] - 1, *columns[3:]]
    assert spaced.char_scores.dtype == np.float32 and np.allclose(spaced.char_scores, 0.9) and spaced.score == 0.9
    assert spaced.steps == text.steps


def test_nothing_is_made_of_nothing_and_of_unknown_places() -> None:
    empty = Text("", 0.0, np.zeros(0, np.float32), Spans(np.zeros(0, np.int64), 10.0))
    placeless = Text("one", 0.9, np.ones(3, np.float32), None)
    picture = np.full((48, 80, 3), 255, np.uint8)
    assert with_gap_spaces(empty, picture) is empty and with_gap_spaces(placeless, picture) is placeless
    text, _ = read("one two")
    assert with_gap_spaces(text, picture[:3]).text  # a picture without any ink


@pytest.mark.weights("PP-OCRv4_mobile_rec")
def test_lines_with_lost_spaces_get_them_back(corpus: Path) -> None:
    wanted = ("lines en pdf", "lines en receipt", "lines zh pdf")
    lines = [truth for truth in c.load_truth(corpus) if truth.group in wanted]
    pictures = [cv2.imread(str(corpus / truth.key)) for truth in lines]
    recogniser = TextRecognizer(make_runtime("PP-OCRv4_mobile_rec", RuntimeOptions(device="cpu")))
    edits = []
    for spaces in (False, True):
        counts = Counter[str]()
        for truth, text in zip(lines, recogniser(pictures, Decoding(gap_spaces=spaces)), strict=True):
            counts.update(truth.count([text.text]))
        edits.append((counts["edits"], counts["edits_close"]))
    (before, same), (after, still) = edits
    assert after <= 0.75 * before and still == same
