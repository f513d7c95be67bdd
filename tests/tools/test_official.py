"""Matching of boxes and the counting of differences, on rows whose answer is plain to see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ptocr.errors import InputError
from tools.parity import official as o


def quad(x: float, y: float, w: float = 40, h: float = 10) -> list[list[float]]:
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


def theirs(x: float, y: float, text: str, score: float = 0.9) -> dict[str, Any]:
    return {"poly": quad(x, y), "text": text, "score": score}


def ours(x: float, y: float, text: str, score: float = 0.9) -> dict[str, Any]:
    return {"box": quad(x, y), "text": text, "score": score}


def test_a_page_against_itself_has_no_differences(corpus: Path) -> None:
    reference = json.loads((corpus / "peers" / "paddleocr-2.10.json").read_text(encoding="utf-8"))
    for name, page in reference["pages"].items():
        for variant in o.VARIANTS:
            lines = page[variant]
            same = [{"box": line["poly"], "text": line["text"], "score": line["score"]} for line in lines]
            tally, differences = o.compare_page(name, lines, same)
            assert tally == o.Tally(*[len(lines)] * 5)
            assert differences == []


def test_each_kind_of_difference_is_counted() -> None:
    official = [theirs(0, 0, "same"), theirs(0, 50, "word"), theirs(0, 100, "gone"), theirs(0, 150, "score", 0.9)]
    mine = [ours(1, -2, "same", 0.9005), ours(0, 50, "ward"), ours(2.5, 100, "gone"), ours(0, 150, "score", 0.902)]
    tally, differences = o.compare_page("p.png", official, mine)
    assert tally == o.Tally(official=4, ours=4, matched=3, texts=2, scores=2)
    assert [(d.kind, d.official, d.ours) for d in differences] == [
        ("missing", "gone", ""),
        ("extra", "", "gone"),
        ("text", "word", "ward"),
        ("score", "score", "score"),
    ]
    assert differences[0].box == (0, 100, 40, 110) and "2 px" in differences[0].note


def test_matching_is_one_to_one_and_nearest_first() -> None:
    a, b, c = (np.array(quad(x, 0)) for x in (0, 1, 2))
    assert o.match([a, b], [c, b]) == {1: 1, 0: 0}
    assert o.match([a, a], [a]) == {0: 0}
    assert o.match([a], [a[[1, 2, 3, 0]]]) == {}  # same box, other first corner: not the same answer


def test_lines_and_totals() -> None:
    official = {"a": {"text": "x", "score": 0.5}, "b": {"text": "y", "score": 0.5}, "c": {"text": "z", "score": 0.5}}
    read = {"a": {"text": "x", "score": 0.5}, "b": {"text": "Y", "score": 0.4}}
    tally, differences = o.compare_lines(official, read)
    assert tally == o.Tally(3, 2, 2, 1, 1)
    assert [d.kind for d in differences] == ["text+score", "missing"]
    rows = o.table({"all": tally + o.Tally(1, 1, 1, 1, 1)}).splitlines()
    assert rows[-1] == "| all | 4 | 3 | 3 (75.00 %) | 2 (66.67 %) | 2 (66.67 %) |"


def test_settings_become_our_options() -> None:
    settings = {"det_limit_side_len": 736, "det_limit_type": "min", "drop_score": 0.0, "use_angle_cls": True}
    assert o.pipeline_options(settings) == {
        **o.MODELS,
        "text_det_limit_side_len": 736,
        "text_det_limit_type": "min",
        "text_rec_score_thresh": 0.0,
    }


def test_official_pixels_have_the_recorded_size(corpus: Path) -> None:
    reference = json.loads((corpus / "peers" / "paddleocr-2.10.json").read_text(encoding="utf-8"))
    for name, page in reference["pages"].items():
        assert list(o.read_as_official(corpus / "pages" / name).shape) == page["shape"], name


def test_reading_drops_alpha_and_names_broken_files(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 5, 4), (10, 20, 30, 0), np.uint8))
    assert o.read_as_official(tmp_path / "a.png").tolist() == np.full((4, 5, 3), (10, 20, 30)).tolist()
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"b\.png"):
        o.read_as_official(tmp_path / "b.png")
