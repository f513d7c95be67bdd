"""Regions of which the detector is not sure: read, and kept where they read well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ptocr
from ptocr.document.tree import Line
from ptocr.pipelines.reader import Reader
from ptocr.predictors.detection import Detection

PLAQUE = "pages/scene_en_plaque.jpg"


def box(top: int) -> np.ndarray:
    return np.array([[20, top], [360, top], [360, top + 36], [20, top + 36]], np.int32)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Regions of scores 0.9, 0.5 (at 90), 0.5 (at 150), 0.5 (inside the first); those at 90 read well, others badly.
    Returns the thresholds that the detector was asked for."""
    thresholds: list[float] = []

    def detect(self: object, image: np.ndarray, pre: object, post: ptocr.spec.settings.DBPostprocess) -> Detection:
        thresholds.append(post.box_thresh)
        rows = [(box(30), 0.9), (box(90), 0.5), (box(150), 0.5), (box(32), 0.5)]
        kept = [row for row in rows if row[1] >= post.box_thresh]
        return Detection([poly for poly, _ in kept], [score for _, score in kept])

    def recognise(self: Reader, image: np.ndarray, polys: list[np.ndarray]) -> list[Line]:
        crop = np.zeros((10, 60, 3), np.uint8)
        return [
            Line(p, f"text at {p[0, 1]}", 0.95 if p[0, 1] in (30, 90) else 0.7, crop=crop, char_scores=np.ones(10))
            for p in polys
        ]

    monkeypatch.setattr("ptocr.pipelines.detect.TextDetector.__call__", detect)
    monkeypatch.setattr(Reader, "recognise", recognise)
    return thresholds


@pytest.mark.usefixtures("offline")
def test_doubtful_regions_stay_where_they_read_well(asked: list[float], page: np.ndarray) -> None:
    read: Callable[..., list[str]] = lambda **how: next(pipeline.predict(page, **how)).rec_texts  # noqa: E731
    pipeline = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu")
    assert read() == ["text at 30", "text at 90"] and asked == [0.3]
    sure = ["text at 30"]
    assert read(text_det_second_look=False) == read(rec_padding="paddle") == read(text_det_box_thresh=0.55) == sure
    assert asked[1:] == [0.6, 0.6, 0.55]
    assert read(rec_padding="paddle", text_det_second_look=True) == ["text at 30", "text at 90"]


@pytest.mark.weights("PP-OCRv6_small_det", "PP-OCRv6_small_rec", "ch_ppocr_mobile_v2.0_cls")
def test_a_faint_line_of_a_plaque_is_found(corpus: Path) -> None:
    pipeline = ptocr.create_pipeline("OCR", device="cpu")
    once, twice = (
        next(pipeline.predict(corpus / PLAQUE, text_det_second_look=look)).rec_texts for look in (False, True)
    )
    assert set(once) < set(twice) and {"Southwark", "Voted by the People"} <= set(twice) - set(once)
