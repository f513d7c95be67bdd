"""Lines in scripts that the recogniser does not know, told from others; probabilities that mean what they say."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image, ImageDraw

import ptocr
from ptocr.document.fonts import draw_text
from ptocr.document.tree import Line
from ptocr.pipelines import doubt

GERMAN = ("Der Datenträger ist voll", "Bitte wählen Sie eine Datei", "Schriftgröße und Farbe", "Verbindung getrennt")
RUSSIAN = ("Выберите файл для открытия", "Размер и цвет шрифта", "Соединение разорвано", "Носитель переполнен")


def line(text: str, scores: list[float], heights: float) -> Line:
    """A line so many heights long."""
    crop = np.zeros((10, round(10 * heights), 3), np.uint8)
    return Line(
        np.zeros((4, 2), np.int32), text, sum(scores) / max(1, len(scores)), char_scores=np.array(scores), crop=crop
    )


def drawn(texts: tuple[str, ...]) -> np.ndarray:
    page = Image.new("RGB", (760, 60 * len(texts) + 40), (255, 255, 255))
    for number, text in enumerate(texts):
        draw_text(ImageDraw.Draw(page), (40, 30 + 60 * number), text, 30)
    return np.asarray(page)[..., ::-1].copy()


def test_few_sure_characters_on_a_long_line_are_an_unknown_script() -> None:
    read = line("Twenty letters in it", [0.99] * 20, 10)
    blank = line("- 2", [0.99] * 3, 10)  # the rest of it was read as nothing
    guessed = line("Twenty letters in it", [0.7] * 20, 10)
    ideographs = line("十个字的一行汉字呢", [0.99] * 9, 10)
    for one, known in ((read, True), (blank, False), (guessed, False), (ideographs, True)):
        doubt.mark([one])
        assert one.known_script is known, one.text


def test_short_lines_are_judged_by_their_page() -> None:
    page = [line("Twenty letters in it", [0.99] * 20, 10) for _ in range(5)] + [line("SR", [0.8, 0.8], 1.2)]
    doubt.mark(page)
    assert all(one.known_script for one in page)
    foreign = [line("- 2", [0.99] * 3, 10) for _ in range(5)] + [line("HO", [0.95, 0.95], 1.5)]
    doubt.mark(foreign)
    assert not any(one.known_script for one in foreign)
    assert "6 of 6 lines" in doubt.warning(foreign, "some_rec") and "some_rec" in doubt.warning(foreign, "some_rec")
    assert doubt.warning(page, "some_rec") == doubt.warning(foreign[:2], "some_rec") == ""
    doubt.mark(foreign, restricted=True)  # only some characters might be read
    assert all(one.known_script for one in foreign)
    doubt.mark([])


def test_confidence_falls_with_the_least_sure_character() -> None:
    lines = [line("abcdefghij", [0.999] * 9 + [last], 5) for last in (0.999, 0.9, 0.6, 0.3)]
    doubt.mark(lines)
    found = [one.confidence for one in lines]
    assert found == sorted(found, reverse=True) and 1 > found[0] > 0.95 > 0.85 > found[-1] > 0
    nothing = line("", [], 3)
    doubt.mark([nothing])
    assert 0 < nothing.confidence < 0.2


@pytest.mark.weights("PP-OCRv6_small_det", "PP-OCRv6_small_rec", "ch_ppocr_mobile_v2.0_cls")
def test_russian_is_flagged_and_german_is_read(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = ptocr.create_pipeline("OCR", device="cpu")
    with caplog.at_level(logging.WARNING, "ptocr"):
        (german,) = pipeline.predict(drawn(GERMAN), return_confidence=True)
        assert not caplog.records
        (russian,) = pipeline.predict(drawn(RUSSIAN), return_confidence=True)
    assert german.rec_texts == list(GERMAN) and german.known_script == [True] * 4
    assert min(german.confidences) > 0.7
    assert not any(one.known_script for one in russian.page.regions) and max(russian.confidences) < 0.5
    assert german.json["res"]["known_script"] == [True] * 4
    assert [round(p, 6) for p in german.json["res"]["confidences"]] == [round(p, 6) for p in german.confidences]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "PP-OCRv6_small_rec does not know" in said and "lang" in said
    assert "known_script" not in next(pipeline.predict(drawn(GERMAN[:1]))).json["res"]


def test_a_language_that_the_default_does_not_read_is_routed() -> None:
    for lang, model in (("ru", "eslav_PP-OCRv5_mobile_rec"), ("th", "th_PP-OCRv5_mobile_rec")):
        pipeline = ptocr.create_pipeline("OCR", lang=lang, device="cpu")
        assert pipeline.spec.SubModules.TextRecognition.model_name == model
    with pytest.raises(ptocr.SpecError, match="unknown language 'am'"):
        ptocr.create_pipeline("OCR", lang="am")
    with pytest.raises(ptocr.SpecError, match="no recogniser reads ru and th together"):
        ptocr.create_pipeline("OCR", lang="ru,th")
