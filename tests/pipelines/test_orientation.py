"""Votes about direction, on readings made up here, and on pictures that are turned here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import ptocr
from ptocr.document.tree import Line
from ptocr.pipelines import orientation as direction
from ptocr.predictors.classification import Classifier
from ptocr.spec.vocabulary import Text


def reading(text: str, probability: float) -> Text:
    return Text(text, probability, np.full(len(text), probability, np.float32))


def line(text: str, probability: float = 0.95, turned: bool = False, upside_down: bool = False) -> Line:
    scores = np.full(len(text), probability, np.float32)
    return Line(np.zeros((4, 2)), text, probability, turned, int(upside_down), char_scores=scores)


def test_the_clearly_better_reading_wins_against_any_page() -> None:
    good, bad = reading("upright text", 0.98), reading("uxt +?", 0.4)
    assert direction.decide([good], [bad], sure_upright=1000.0) == [True]
    assert direction.decide([bad], [good], sure_upright=0.0) == [False]


def test_an_ambiguous_line_goes_with_the_page() -> None:
    """NOON reads about as well on its head; the other lines know."""
    a, b = reading("NOON", 0.94), reading("NOON", 0.93)
    assert direction.decide([a], [b], sure_upright=200.0) == [False]
    good, bad = reading("a long clear line", 0.99), reading("0ug clen", 0.3)
    assert direction.decide([b, good, good], [a, bad, bad], sure_upright=0.0) == [True, True, True]


def test_log_odds_count_every_character_and_bound_each() -> None:
    assert direction.log_odds(reading("", 0.0)) == 0.0
    assert direction.log_odds(reading("ab", 0.5)) == pytest.approx(0.0)
    assert direction.log_odds(reading("a", 1.0)) == direction.HIGH
    assert direction.log_odds(reading("abcd", 0.9)) == pytest.approx(4 * np.log(9), rel=1e-5)


@pytest.mark.parametrize(
    ("lines", "angle"),
    [
        ([], 0),
        ([line("all is well here"), line("upside", upside_down=True)], 0),
        ([line("most of the page", upside_down=True), line("small")], 180),
        ([line("standing on its side", turned=True), line("1")], 90),
        ([line("standing on its side", turned=True, upside_down=True), line("1")], 270),
        ([line("no", turned=True)], 0),  # too little to go by
    ],
)
def test_how_a_page_should_be_turned(lines: list[Line], angle: int) -> None:
    assert direction.page_turn(lines) == angle


def test_characters_side_by_side_come_as_they_stand_on_the_page() -> None:
    column = np.zeros((90, 30, 3), np.uint8)  # three different cells from top to bottom
    column[:30], column[30:60], column[60:] = 50, 100, 200
    column[0] = 255  # the upper edge
    crop = cv2.rotate(column, cv2.ROTATE_90_COUNTERCLOCKWISE)
    level = direction.side_by_side(crop, [1 / 6, 3 / 6, 5 / 6])
    assert level.shape == (30, 90, 3)
    assert level[15, [15, 45, 75], 0].tolist() == [50, 100, 200]
    assert (level[0, :30] == 255).all() and (level[0, 30:] < 255).all()


@pytest.fixture(scope="module")
def pages(checkout: Path) -> dict[str, np.ndarray]:
    names = ("latin_page.png", "chinese_lines.png")
    return {name: cv2.imread(str(checkout / "docs" / "images" / name)) for name in names}


@pytest.fixture(scope="module")
def pipeline() -> ptocr.pipelines.OCRPipeline:
    return ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu")


TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def turned_back(points: np.ndarray, angle: int, size: tuple[int, int]) -> np.ndarray:
    """Where points of the page turned clockwise by `angle` lie in the page of `size` (height, width) before."""
    (height, width), (x, y) = size, np.moveaxis(np.asarray(points, float), -1, 0)
    return np.stack({90: (y, height - 1 - x), 180: (width - 1 - x, height - 1 - y), 270: (width - 1 - y, x)}[angle], -1)


@pytest.mark.weights
@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_turned_page_reads_as_the_upright_one(
    pipeline: ptocr.pipelines.OCRPipeline, pages: dict[str, np.ndarray], angle: int
) -> None:
    for image in pages.values():
        upright = next(pipeline.predict(image))
        turned = next(pipeline.predict(cv2.rotate(image, TURNS[angle])))
        assert sorted(turned.rec_texts) == sorted(upright.rec_texts)
        truth = dict(zip(upright.rec_texts, upright.rec_polys, strict=True))
        for text, poly in zip(turned.rec_texts, turned.rec_polys, strict=True):
            assert np.abs(turned_back(poly, angle, image.shape[:2]) - truth[text]).max() <= 3
        assert len(turned.polys_original) == len(turned.rec_polys)
        assert all((a == b).all() for a, b in zip(turned.polys_original, turned.rec_polys, strict=True))


@pytest.mark.weights
def test_upright_lines_stay_upright_whatever_the_classifier_says(
    pipeline: ptocr.pipelines.OCRPipeline, pages: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst classifier: everything is upside-down. Upstream's rule believes it, ours reads both ways."""
    image = pages["latin_page.png"]
    plain = next(pipeline.predict(image, use_textline_orientation=False)).rec_texts
    classifier = pipeline.models.get("TextLineOrientation", Classifier)
    always = lambda images, *_: [np.array([0.01, 0.99]) for _ in images]  # noqa: E731
    monkeypatch.setattr(classifier, "probabilities", always)
    assert next(pipeline.predict(image)).rec_texts == plain
    believed = next(pipeline.predict(image, textline_orientation="paddle"))
    assert believed.rec_texts != plain and set(believed.textline_orientation_angles) == {1}


@pytest.mark.weights
def test_a_line_that_reads_badly_is_tried_the_other_way_up(
    pipeline: ptocr.pipelines.OCRPipeline, checkout: Path
) -> None:
    """The classifier calls this upside-down line upright; as it stands it reads as one letter, at 0.25."""
    path = checkout / "docs" / "images" / "upside_down_line.png"
    result = next(pipeline.predict(path))
    (text,) = result.rec_texts  # this recogniser loses spaces
    assert text.replace(" ", "") == "Turnmearound,please:180degrees" and result.rec_scores[0] > 0.9
    assert result.textline_orientation_angles == [1] or result.page_angle == 180
    believed = next(pipeline.predict(path, textline_orientation="paddle"))  # PaddleOCR 2.x's rule asks nobody else
    assert believed.rec_scores[0] < 0.5 and believed.textline_orientation_angles == [0]
    plain = next(pipeline.predict(path, use_textline_orientation=False))
    assert plain.rec_texts == believed.rec_texts


@pytest.mark.weights
def test_what_reads_badly_both_ways_stays_as_it_is(pipeline: ptocr.pipelines.OCRPipeline, checkout: Path) -> None:
    image = cv2.imread(str(checkout / "docs" / "images" / "latin_page.png"))
    scribble = np.full((60, 600, 3), 255, np.uint8)
    rng = np.random.default_rng(1)
    cv2.polylines(scribble, [rng.integers(8, 50, (200, 2)) * np.array([11, 1])], False, (0, 0, 0), 2)
    page = np.vstack([image, np.pad(scribble, ((0, 0), (0, image.shape[1] - 600), (0, 0)), constant_values=255)])
    both = [next(pipeline.predict(page, use_textline_orientation=asked)) for asked in (False, True)]
    assert both[0].rec_texts == both[1].rec_texts and set(both[1].textline_orientation_angles) == {0}
