"""PGNet's input and postprocessing against paddleocr 2.10's own class (`make_detector_goldens.py`)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ptocr.processing.geometry import clip_points
from ptocr.processing.pgnet import e2e_input, e2e_size, gapless, pgnet_lines
from ptocr.processing.thinning import thinned
from ptocr.spec.model import load_spec
from ptocr.spec.tasks import E2EPreprocess, PGNetPostprocess
from ptocr.spec.vocabulary import Vocabulary
from tests.data import detector_inputs as inputs

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "detectors.npz"
POSTS = {
    "poly": PGNetPostprocess(),
    "quad": PGNetPostprocess(valid_set="partvgg"),
    "align": PGNetPostprocess(point_gather_mode="align"),
    "slow": PGNetPostprocess(mode="slow"),
    "flat": PGNetPostprocess(mode="slow", valid_set="partvgg"),
}


@pytest.fixture(scope="module")
def charset() -> Vocabulary:
    charset = load_spec("e2e_r50_vd_pg").load_charset()
    assert charset is not None and charset.classes == 37 and charset.token("blank") == 36
    return charset


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", POSTS)
def test_lines(kind: str, seed: int, charset: Vocabulary) -> None:
    with np.load(GOLDEN) as file:
        name = f"pgnet_{kind}_{seed}"
        polys = np.split(file[name], np.cumsum(file[f"{name}_lengths"])[:-1])
        texts = file[f"{name}_texts"].tolist()
    lines = pgnet_lines(inputs.pgnet(seed), inputs.PICTURE, POSTS[kind], charset)
    assert [line.text.text for line in lines] == texts and len(texts) in (9, 10)
    for line, poly in zip(lines, polys, strict=True):
        np.testing.assert_array_equal(line.poly, clip_points(poly, inputs.PICTURE))
    assert all(0.9 < line.text.score <= 1 for line in lines)


def test_an_empty_page(charset: Vocabulary) -> None:
    maps = [np.zeros((channels, 32, 64), np.float32) for channels in (1, 4, 37, 2)]
    assert pgnet_lines(maps, (100, 200), PGNetPostprocess(), charset) == []
    everything = [np.ones((channels, 32, 64), np.float32) for channels in (1, 4, 37, 2)]
    assert pgnet_lines(everything, (100, 200), PGNetPostprocess(), charset) == []  # a line, and no text


def test_what_leaves_the_picture_is_cut(charset: Vocabulary) -> None:
    """A centre line up to the picture's edge, whose direction leads out of it."""
    score, borders, logits, direction = inputs.pgnet(0)
    score[:], score[0, 10, :40] = 0, 1
    direction[:] = np.array([120, 0])[:, None, None]
    lines = pgnet_lines([score, borders, logits, direction], inputs.PICTURE, PGNetPostprocess(), charset)
    assert len(lines) <= 1 and all((line.poly >= 0).all() for line in lines)


def test_points_between() -> None:
    line = np.array([[0, 0], [0, 1], [3, 4], [3, 4]])
    np.testing.assert_array_equal(gapless(line), [[0, 0], [0, 1], [1, 2], [2, 3], [3, 4], [3, 4]])


def test_thinned_is_a_line() -> None:
    """Of OpenCV's shapes: nothing is added, pieces stay pieces, and no square of four pixels is left."""
    mask = np.zeros((120, 160), np.uint8)
    cv2.ellipse(mask, (50, 60), (40, 20), 30, 0, 360, 1, -1)
    cv2.line(mask, (100, 20), (140, 100), 1, 9)
    cv2.circle(mask, (100, 90), 12, 1, 3)
    thin = thinned(mask > 0)
    assert not (thin & (mask == 0)).any() and 0 < thin.sum() < mask.sum() / 5
    assert cv2.connectedComponents(thin.astype(np.uint8))[0] == cv2.connectedComponents(mask)[0]
    squares = thin[:-1, :-1] & thin[1:, :-1] & thin[:-1, 1:] & thin[1:, 1:]
    assert not squares.any()
    np.testing.assert_array_equal(thinned(thin), thin)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((600, 790), (768, 1024)), ((480, 640), (640, 896)), ((2000, 1000), (768, 384)), ((20, 30), (128, 128))],
)
def test_size(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """By hand from E2EResizeForTest: 600 * 1.28 = 768, 790 * 1.28 = 1011 -> 1024; 480 * 1.25 = 600 -> 640; ..."""
    assert e2e_size(*size, E2EPreprocess()) == wanted
    assert e2e_input(np.zeros((*size, 3), np.uint8), E2EPreprocess()).shape == (3, *wanted)


@pytest.mark.parametrize(
    ("size", "wanted"), [((600, 790), (640, 768)), ((2000, 1000), (768, 384)), ((20, 30), (512, 768))]
)
def test_size_of_the_longer_side(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """E2EResizeForTest for "partvgg", by hand: 600 * 768 / 790 = 583 -> 640; ..."""
    assert e2e_size(*size, E2EPreprocess(resize="partvgg")) == wanted


def test_huge_pages_are_bounded() -> None:
    height, width = e2e_size(700, 60000, E2EPreprocess())
    assert max(height, width) <= 4096 and height * width <= 4.6e6
