"""Profiles and the cascade of recognisers: whose reading a line gets."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import ptocr
from ptocr.pipelines.config import load_pipeline
from ptocr.pipelines.draft import WITNESSES, Drafted
from ptocr.pipelines.profiles import PROFILES
from ptocr.predictors.recognition import GREEDY
from ptocr.spec.vocabulary import Text

HOW = GREEDY


class Recogniser:
    """Reads pictures whose first pixel is their number, from a list."""

    def __init__(self, texts, characters):
        self.texts, self.asked = texts, []
        self.charset = SimpleNamespace(characters=list(characters))

    def __call__(self, images, how):
        numbers = [int(image[0, 0, 0]) for image in images]
        self.asked += numbers
        return [self.texts[i] for i in numbers]


def text(value, score):
    return Text(value, score, np.full(len(value), score), None)


def pictures(count):
    return [np.full((4, 8, 3), i, np.uint8) for i in range(count)]


def test_what_the_draft_is_not_sure_of_is_read_again():
    draft = Recogniser([text("sure", 0.99), text("unsur", 0.9), text("", 0.0)], "abcdefghijklmnopqrstuvwxyz")
    other = Recogniser([text("SURE", 1.0), text("unsure", 0.8), text("x", 0.5)], "abcdefghijklmnopqrstuvwxyz")
    assert [t.text for t in Drafted(draft, other, 0.97)(pictures(3), HOW)] == ["sure", "unsure", "x"]
    assert other.asked == [1, 2]
    assert Drafted(draft, other, 0.97)([], HOW) == []


@pytest.mark.parametrize("rare", [False, True])
def test_a_page_with_characters_that_the_draft_lacks_gets_none_of_its_ideographs(rare):
    known = "一二三四五ab"
    lines = ["一" * (9 - i) for i in range(6)] + ["ab"]
    draft = Recogniser([text(line, 1.0) for line in lines], known)
    read = [text("嶒" if rare and i == 1 else "三", 0.7) for i in range(7)]
    other = Recogniser(read, known + "嶒")
    got = [t.text for t in Drafted(draft, other, 0.97)(pictures(7), HOW)]
    if rare:
        assert got == ["三", "嶒", "三", "三", "三", "三", "ab"] and sorted(other.asked) == list(range(6))
    else:
        assert other.asked == [0, 1, 2][:WITNESSES] and got[3:] == lines[3:]


def test_profiles_are_settings_that_calls_override():
    fast = ptocr.create_pipeline("OCR", profile="fast")
    modules = fast.spec.SubModules
    assert modules.TextDetection.model_name == PROFILES["fast"]["text_detection_model_name"]
    assert modules.TextRecognitionDraft.model_name == PROFILES["fast"]["text_recognition_draft_model_name"]
    assert modules.TextRecognition.model_name == ptocr.create_pipeline("OCR").spec.SubModules.TextRecognition.model_name
    other = ptocr.create_pipeline("OCR", profile="fast", text_detection_model_name="PP-OCRv4_mobile_det")
    assert other.spec.SubModules.TextDetection.model_name == "PP-OCRv4_mobile_det"
    assert ptocr.create_pipeline("OCR", profile="balanced").spec == load_pipeline("OCR")


def test_a_yaml_names_its_profile():
    data = load_pipeline("OCR").model_dump() | {"profile": "fast"}
    spec = ptocr.create_pipeline(config=data).spec
    assert spec.SubModules.TextRecognitionDraft.model_name == "PP-OCRv6_tiny_rec"
    assert ptocr.create_pipeline(config=data, profile="balanced").spec.SubModules.TextRecognitionDraft is None


def test_wrong_profiles_are_named():
    with pytest.raises(ptocr.SpecError, match="best, balanced, fast"):
        ptocr.create_pipeline("OCR", profile="quick")
    with pytest.raises(ptocr.SpecError, match="doc_preprocessor has no profiles"):
        ptocr.create_pipeline("doc_preprocessor", profile="fast")
    with pytest.raises(ptocr.SpecError, match="best, balanced, fast"):
        ptocr.create_pipeline(config=load_pipeline("OCR").model_dump() | {"profile": "quick"})


@pytest.mark.weights
def test_fast_reads(checkout):
    (page,) = ptocr.create_pipeline("OCR", profile="fast").predict(
        checkout / "docs" / "images" / "upside_down_line.png"
    )
    assert "Turn me around" in " ".join(page["rec_texts"])
