"""Targets against upstream's own classes (tests/data/targets.npz, made by make_loss_goldens.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptocr.data.targets import LabelEncoder, border_map, shrink_map
from ptocr.spec.vocabulary import Vocabulary

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "targets.npz")
PAGES = sorted({k.split(".")[0] for k in GOLDEN.files if k.startswith("page")})


@pytest.mark.parametrize("page", PAGES)
def test_maps_equal_upstream(page):
    polys, ignore = list(GOLDEN[f"{page}.polys"]), GOLDEN[f"{page}.ignore"]
    size = tuple(int(v) for v in GOLDEN[f"{page}.size"])
    shrink, shrink_mask = shrink_map(polys, ignore, size)
    np.testing.assert_array_equal(shrink, GOLDEN[f"{page}.shrink_map"])
    np.testing.assert_array_equal(shrink_mask, GOLDEN[f"{page}.shrink_mask"])
    threshold, threshold_mask = border_map(polys, ignore, size)
    np.testing.assert_allclose(threshold, GOLDEN[f"{page}.threshold_map"], atol=2e-6)
    np.testing.assert_array_equal(threshold_mask, GOLDEN[f"{page}.threshold_mask"])


def test_maps_do_not_change_their_input():
    polys = [np.array([[-5, 3], [40, 2], [41, 20], [-6, 22]], np.float32)]
    before = polys[0].copy()
    shrink_map(polys, np.array([False]), (30, 50))
    border_map(polys, np.array([False]), (30, 50))
    np.testing.assert_array_equal(polys[0], before)


@pytest.mark.parametrize("guide", ["nrtr", "sar"])
@pytest.mark.parametrize("number", range(6))
def test_labels_equal_upstream(guide, number):
    encoder = LabelEncoder(Vocabulary.from_lines("abcdefghij", space=True), 15, guide)
    got = encoder(str(GOLDEN[f"{guide}{number}.text"]))
    if f"{guide}{number}.ctc" not in GOLDEN:
        assert got is None
        return
    np.testing.assert_array_equal(got.ctc, GOLDEN[f"{guide}{number}.ctc"])
    np.testing.assert_array_equal(got.gtc, GOLDEN[f"{guide}{number}.gtc"])
    assert got.length == GOLDEN[f"{guide}{number}.length"]
