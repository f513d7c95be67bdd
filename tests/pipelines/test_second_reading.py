"""Lines of middling score are read again from the mean of several pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import ptocr
from ptocr.pipelines.second_reading import ReadTwice
from ptocr.predictors.recognition import GREEDY, Decoding, TextRecognizer
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime
from ptocr.spec.vocabulary import Text
from tests.random_models import random_checkpoint

PLACE = "pages/receipt_photo_en_254.jpg"


def text(characters: str, score: float = 0.9) -> Text:
    return Text(characters, score, np.full(len(characters), score, np.float32))


class Second:
    """Answers in turn; remembers the pictures."""

    def __init__(self, *answers: Text | None) -> None:
        self.answers, self.seen = list(answers), list[list[np.ndarray]]()

    def averaged(self, pictures: Sequence[np.ndarray], how: Decoding) -> Text | None:
        self.seen.append(list(pictures))
        return self.answers.pop(0)


def test_only_lines_of_middling_score_are_read_again() -> None:
    lines = [text("sure", 0.99), text("FO0D"), text("none", 0.5), text("ab"), text("1 C0DE")]
    second = Second(text("FOOD", 0.89), text("1CODE"))
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20, 60 + i, 3), dtype=np.uint8) for i in range(5)]
    read = ReadTwice(lambda images, how: lines, second)  # type: ignore[arg-type]
    assert [line.text for line in read(pictures, GREEDY)] == ["sure", "FOOD", "none", "ab", "1CODE"]
    (plain, blurred, bold), (other, *_) = second.seen
    assert plain is pictures[1] and other is pictures[4]
    assert blurred.shape == bold.shape == plain.shape and blurred.std() < plain.std()
    assert np.all(bold <= plain) and np.any(bold < plain)


@pytest.mark.parametrize("again", [text("FOODS"), text("FOD"), text("FOOD", 0.87), None])
def test_what_adds_loses_or_scores_less_does_not_stand(again: Text | None) -> None:
    read = ReadTwice(lambda images, how: [text("FO0D")], Second(again))  # type: ignore[arg-type]
    assert [line.text for line in read([np.zeros((9, 30, 3), np.uint8)], GREEDY)] == ["FO0D"]


def test_the_mean_of_one_picture_is_its_reading() -> None:
    recognizer = TextRecognizer(Runtime(random_checkpoint("PP-OCRv4_mobile_rec"), RuntimeOptions(device="cpu")))
    picture = np.random.default_rng(3).integers(0, 256, (40, 200, 3), dtype=np.uint8)
    (plain,) = recognizer([picture])
    same = recognizer.averaged([picture, picture])
    assert same is not None and same.text == plain.text and same.score == pytest.approx(plain.score, abs=1e-5)
    assert same.spans is not None and plain.spans is not None and same.spans.count == plain.spans.count
    assert recognizer.averaged([np.zeros((20, 30000, 3), np.uint8)]) is None  # read in windows


@pytest.mark.weights("PP-OCRv6_small_det", "PP-OCRv6_small_rec", "ch_ppocr_mobile_v2.0_cls")
def test_a_receipt_reads_better(corpus: Path) -> None:
    pipeline = ptocr.create_pipeline("OCR", device="cpu")
    once, twice = (
        next(pipeline.predict(corpus / PLACE, text_rec_second_reading=again)).rec_texts for again in (False, True)
    )
    assert once.count("1 FOOD") < twice.count("1 FOOD")
    assert [t.replace("0", "O") for t in once] == [t.replace("0", "O") for t in twice]
