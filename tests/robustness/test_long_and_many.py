"""A line of 30,000 pixels and a page of 3,000 lines: read whole, or it is said what is not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest

import ptocr
from ptocr.checkpoint import save_checkpoint
from ptocr.predictors.detection import Detection, TextDetector
from ptocr.predictors.recognition import Decoding, TextRecognizer
from ptocr.processing.det import db_candidates
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime
from ptocr.spec.settings import DBPostprocess
from ptocr.spec.vocabulary import Text
from ptocr.weights import store
from tests.random_models import random_checkpoint

Engine = Literal["torch", "native"]
COPIES = 46  # of a line of 643 pixels
ROWS, COLUMNS = 300, 10  # of the page of many lines, each 60 x 12 pixels of one grey


@pytest.fixture(scope="module")
def long_line(checkout: Path) -> np.ndarray:
    """'Chapter 7, section 12: 98.6% of 1,024 lines agree.' of the example page, again and again."""
    page = cv2.imread(str(checkout / "docs" / "images" / "latin_page.png"))
    boxes = next(ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu").predict(page)).rec_boxes
    x0, y0, x1, y1 = boxes[5]
    gap = np.full((y1 - y0, y1 - y0, 3), 250, np.uint8)
    return np.concatenate([page[y0:y1, x0:x1], gap] * COPIES, axis=1)


def copies(text: str) -> int:
    return text.replace(" ", "").count("section12")


@pytest.mark.weights
@pytest.mark.parametrize("engine", ["torch", pytest.param("native", marks=pytest.mark.slow)])
def test_a_line_of_30000_pixels_is_read_whole(engine: Engine, long_line: np.ndarray, caplog: Any) -> None:
    """Upstream's way (`padding="paddle"`) loses it, and says so."""
    assert 29_000 < long_line.shape[1] < 31_000
    reader = TextRecognizer(Runtime(store.load("PP-OCRv4_mobile_rec"), RuntimeOptions(device="cpu", engine=engine)))
    assert copies(reader([long_line])[0].text) == COPIES and caplog.text == ""
    assert copies(reader([long_line], Decoding(padding="paddle"))[0].text) == 0
    assert f"a line of {long_line.shape[1]} x {long_line.shape[0]} pixels is squeezed" in caplog.text


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "native"])
def test_a_page_that_is_one_long_line(engine: Engine, long_line: np.ndarray) -> None:
    """Shrunk to the detector's size it would be three pixels high."""
    page = cv2.copyMakeBorder(long_line, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(250, 250, 250))
    (result,) = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu", engine=engine).predict(page)
    assert copies("".join(result["rec_texts"])) >= COPIES - 2


def boxes() -> list[np.ndarray]:
    """In no order."""
    places = np.random.default_rng(0).permutation(ROWS * COLUMNS)
    corners, steps = np.array([[0, 0], [60, 0], [60, 12], [0, 12]]), np.array([80, 20])
    return [(corners + steps * (n % COLUMNS, n // COLUMNS)).astype(np.int32) for n in places.tolist()]


def grey(number: int) -> int:
    return 20 + number * 37 % 200


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """(engine) -> a pipeline with random weights, whose detector finds 3,000 lines."""
    monkeypatch.setenv("PTOCR_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("ptocr.paths.checkout_weights", lambda: None)
    for name in ("PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec", "ch_ppocr_mobile_v2.0_cls"):
        save_checkpoint(tmp_path / f"{name}.pth", random_checkpoint(name))
    found = Detection(boxes(), [1.0] * ROWS * COLUMNS)
    monkeypatch.setattr(TextDetector, "__call__", lambda self, *args, **options: found)
    return lambda engine: ptocr.create_pipeline(
        "PP-OCRv4_mobile", device="cpu", engine=engine, use_textline_orientation=False
    )


def page() -> np.ndarray:
    sheet = np.full((ROWS * 20, COLUMNS * 80, 3), 255, np.uint8)
    for n in range(ROWS * COLUMNS):
        top, left = n // COLUMNS * 20, n % COLUMNS * 80
        sheet[top : top + 12, left : left + 60] = grey(n)
    return sheet


def test_a_page_of_3000_lines_is_put_in_order(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read is how grey each line is; the rest of the pipeline may not take long."""

    def read(self: TextRecognizer, images: list[np.ndarray], *args: Any) -> list[Text]:
        return [Text(f"{image[4:8, 10:-10].mean():.0f}", 1.0, np.ones(1)) for image in images]

    monkeypatch.setattr(TextRecognizer, "__call__", read)
    began = time.monotonic()
    (result,) = pipeline("torch").predict(page())
    assert result["rec_texts"] == [str(grey(n)) for n in range(ROWS * COLUMNS)]
    assert time.monotonic() - began < 60


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "native"])
def test_a_page_of_3000_lines_is_read(engine: Engine, pipeline: Any) -> None:
    (result,) = pipeline(engine).predict(page(), text_rec_score_thresh=0.0)
    assert len(result["dt_polys"]) == ROWS * COLUMNS


def test_regions_that_are_not_looked_at_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """Upstream looks at the first 1,000 contours and says nothing of others."""
    prob = np.zeros((ROWS * 20, COLUMNS * 80), np.float32)
    for box in boxes():
        (left, top), (right, bottom) = box[0], box[2]
        prob[top + 2 : bottom, left + 2 : right] = 0.9
    found, _ = db_candidates(prob, prob.shape, DBPostprocess(max_candidates=1000))
    assert len(found) == 1000
    assert "2000 are left out (text_det_max_candidates=1000)" in caplog.text
    caplog.clear()
    found, _ = db_candidates(prob, prob.shape, DBPostprocess(max_candidates=ROWS * COLUMNS))
    assert len(found) == ROWS * COLUMNS and caplog.text == ""
