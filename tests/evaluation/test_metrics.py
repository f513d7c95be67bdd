"""Scores against values worked out by hand, and those of detectors against upstream's evaluator as well."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ptocr.evaluation.metrics import ClsMetric, DetMetric, EndToEndMetric, RecMetric, WordMetric


def box(x, y, width=10, height=10):
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], float)


def test_det_equals_upstreams_evaluator():
    golden = json.loads((Path(__file__).parents[1] / "data" / "det_metric.json").read_text("utf-8"))
    total = DetMetric()
    for number, page in enumerate(golden["pages"]):
        found, labels = ([np.array(p) for p in page[kind]] for kind in ("found", "labels"))
        metric = DetMetric()
        metric.add(found, labels, page["ignore"])
        assert list(metric.counts()) == page["counts"], f"page {number}"
        total.add(found, labels, page["ignore"])
    assert total.result() == pytest.approx(golden["total"])


def test_det_counts_one_to_one_matches():
    metric = DetMetric()
    # 0 is hit twice (one hit counts), 100 half covered (IoU 0.5 is no match), 200 missed
    found = [box(0, 0), box(0, 1), box(100, 0, 10, 5)]
    metric.add(found, [box(0, 0), box(100, 0), box(200, 0)], [False] * 3)
    assert metric.counts() == (1, 3, 3)
    assert metric.result() == pytest.approx({"precision": 1 / 3, "recall": 1 / 3, "hmean": 1 / 3})


def test_det_leaves_ignored_texts_out():
    metric = DetMetric()
    metric.add([box(0, 0), box(50, 0), box(54, 0)], [box(0, 0), box(50, 0)], [False, True])
    # 50 lies on ignored text wholly, 54 by 60 %: neither counts
    assert metric.counts() == (1, 1, 1)


def test_det_of_nothing_is_zero():
    metric = DetMetric()
    metric.add([], [], [])
    assert metric.result() == {"precision": 0.0, "recall": 0.0, "hmean": 0.0}
    metric.add([np.zeros((4, 2)), np.zeros((2, 2))], [box(0, 0)], [False])
    assert metric.counts() == (0, 0, 1)


def test_rec_scores():
    metric = RecMetric()
    for got, want in (("abc", "abc"), ("abd", "abc"), ("", "ab"), ("a b", "ab")):
        metric.add(got, want)
    assert metric.result() == pytest.approx(
        {"acc": 0.25, "1-NED": (1 + 2 / 3 + 0 + 2 / 3) / 4, "char_acc": 1 - (0 + 1 + 2 + 1) / (3 + 3 + 2 + 2)}
    )
    folded = RecMetric(ignore_space=True, ignore_case=True)
    folded.add("A b", "aB")
    assert folded.result()["acc"] == 1


def test_words_by_the_protocol_of_scene_text_recognition():
    """Pairs as PARSeq's and deep-text-recognition-benchmark's evaluation treats them."""
    pairs = [
        ("Hello!", "hello"), ("caf\u00e9", "CAFE"), ("don't", "dont"), ("A1", "a l"),
        ("x", "!!!"), ("x", "a" * 26), ("a" * 25, "A" * 25),
    ]  # fmt: skip
    for protocol, right in (("36", 4), ("62", 1), ("94", 0)):
        metric = WordMetric(protocol)
        for pair in pairs:
            metric.add(*pair)
        left_out = 1 if protocol == "94" else 2  # "!!!" is a word where punctuation counts
        assert (metric.lines, metric.right) == (len(pairs) - left_out, right), protocol


def test_counts_add_up_over_processes():
    one, other, both = RecMetric(), RecMetric(), RecMetric()
    for number, (got, want) in enumerate((("a", "a"), ("b", "c"), ("dd", "d"))):
        (one if number % 2 else other).add(got, want)
        both.add(got, want)
    total = [a + b for a, b in zip(one.counts(), other.counts(), strict=True)]
    assert RecMetric().with_counts(total).result() == both.result()


def test_end_to_end_wants_the_text_too():
    metric = EndToEndMetric(ignore_case=True)
    metric.add_read([box(0, 0), box(50, 0)], ["Ab", "x"], [box(0, 0), box(50, 0)], ["aB", "y"], [False, False])
    assert metric.counts() == (1, 2, 2)


def test_cls():
    metric = ClsMetric()
    for got, want in ((0, 0), (1, 0), (1, 1)):
        metric.add(got, want)
    assert metric.result() == {"acc": pytest.approx(2 / 3)}
