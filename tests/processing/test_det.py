from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ptocr.errors import InputError, SpecError
from ptocr.processing import det
from ptocr.spec.settings import DBPostprocess, DetPreprocess
from tests.data import processing_inputs as inputs

Golden = dict[str, np.ndarray]
CASES = list(inputs.db_cases())


def stacked(polys: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, 2)), *polys])


def regions(prob: np.ndarray, size: tuple[int, int], **settings: Any) -> tuple[list[np.ndarray], list[float]]:
    return det.REGIONS["db"]([prob[None]], size, DBPostprocess(**settings))


@pytest.mark.parametrize(("name", "prob", "size", "settings"), CASES, ids=[case[0] for case in CASES])
def test_db_equals_official(
    golden: Golden, name: str, prob: np.ndarray, size: tuple[int, int], settings: dict[str, Any]
) -> None:
    post = DBPostprocess(**settings)
    polys, scores = det.db_candidates(prob, size, post)
    np.testing.assert_allclose(scores, golden[f"{name}_scores"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(stacked(polys), golden[f"{name}_raw"].reshape(-1, 2))
    final, final_scores = regions(prob, size, **settings)
    np.testing.assert_array_equal(stacked(final), golden[f"{name}_final"].reshape(-1, 2))
    assert len(final_scores) == len(final)
    if f"{name}_lengths" in golden:
        assert [len(p) for p in polys] == golden[f"{name}_lengths"].tolist()


def test_db_goldens_reach_every_rule(golden: Golden) -> None:
    """The inputs must hold what they are made for: kept and filtered boxes, clipped ones, polygons of many corners."""
    assert sum(len(golden[f"{name}_scores"]) for name, *_ in CASES) > 150
    assert any(len(golden[f"{name}_final"]) < len(golden[f"{name}_raw"]) for name, *_ in CASES)
    assert any((golden[f"{name}_raw"] == 0).any() for name, *_ in CASES)
    assert max(golden["db_1_4_lengths"]) > 12


@pytest.mark.parametrize("box_type", ["quad", "poly"])
def test_scores_belong_to_their_boxes(box_type: Any) -> None:
    """Boxes that the side filter drops take their scores along."""
    prob = np.zeros((64, 96), np.float32)
    prob[5:10, 5:25] = 0.7
    prob[30:50, 30:80] = 0.9
    polys, scores = regions(prob, (64, 96), box_type=box_type)
    by_top = sorted(zip((int(p[:, 1].min()) for p in polys), scores, strict=True))
    assert [round(s, 3) for _, s in by_top] == [0.7, 0.9]
    quads, scores = regions(prob, (16, 48))  # the thin one shrinks to 2 px
    assert len(quads) == len(scores) == 1
    assert scores[0] == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize("box_type", ["quad", "poly"])
@pytest.mark.parametrize("prob", [np.zeros((32, 32)), np.full((32, 32), np.nan), np.eye(32), np.zeros((1, 1))])
def test_nothing_found_is_empty(box_type: Any, prob: np.ndarray) -> None:
    assert regions(prob.astype(np.float32), (300, 200), box_type=box_type, box_thresh=1.0) == ([], [])


@pytest.mark.parametrize("box_type", ["quad", "poly"])
def test_a_full_map_is_one_box(box_type: Any) -> None:
    polys, scores = regions(np.ones((64, 96), np.float32), (128, 192), box_type=box_type)
    assert len(polys) == 1
    assert scores == [1.0]
    assert polys[0].min(axis=0).tolist() == [0, 0]
    assert polys[0].max(axis=0).tolist() == [191, 127]


@pytest.mark.parametrize("box_type", ["quad", "poly"])
def test_db_ignores_memory_layout_and_leaves_its_input_alone(box_type: Any) -> None:
    prob = inputs.probability_map(1, 96, 160, 16)
    before = prob.copy()
    settings = {"box_type": box_type, "use_dilation": True}
    polys, scores = regions(prob, (193, 317), **settings)
    np.testing.assert_array_equal(prob, before)
    batch = np.stack([prob * 0, prob], axis=-1)
    for same in (np.asfortranarray(prob), batch[..., 1], prob[::-1].copy()[::-1], prob.astype(np.float64)):
        others, other_scores = regions(same, (193, 317), **settings)
        np.testing.assert_array_equal(stacked(others), stacked(polys))
        assert other_scores == scores
    assert len(polys) > 3


def test_boxes_of_padded_pictures_lie_on_the_text() -> None:
    """A 20x30 picture is padded to 32x32: one pixel of the map is one pixel of the picture."""
    prob = np.zeros((32, 32), np.float32)
    prob[6:12, 8:24] = 0.9
    (quad,), _ = regions(prob, (20, 30), unclip_ratio=0.0001)
    assert abs(quad - [[8, 6], [23, 6], [23, 11], [8, 11]]).max() <= 1


def test_unclip_adds_up_like_geos() -> None:
    """Official result for a box whose offset is exactly 12.5; 12.499999 drops four of its points and moves the side."""
    tiny = 7.65404276e-16
    grown = det._unclip([[tiny, 163.0], [25.0, 163.0], [25.0, 188.0], [-tiny, 188.0]], 2.0)
    right = [[34, 154], [37, 158], [38, 163], [38, 188], [37, 193], [34, 197], [30, 200], [25, 201], [0, 201]]
    left = [[-5, 200], [-9, 197], [-12, 193], [-13, 188], [-13, 163], [-12, 158], [-9, 154], [-5, 151], [30, 151]]
    assert grown.tolist() == right + left


def test_wrong_modes_are_refused() -> None:
    with pytest.raises(SpecError, match=r"score_mode: .*'medium'"):
        DBPostprocess().with_(score_mode="medium")
    with pytest.raises(SpecError, match=r"box_type: .*'circle'"):
        DBPostprocess().with_(box_type="circle")
    with pytest.raises(InputError, match="mean"):
        det.det_size(10, 10, 960, "mean")


def test_sizes_equal_official(golden: Golden) -> None:
    sizes = [det.det_size(*row) for row in inputs.det_sizes()]
    np.testing.assert_array_equal(sizes, golden["det_sizes"])
    limited = [det.det_size(*row) for row in inputs.LIMITED_SIZES]
    np.testing.assert_array_equal(limited, golden["det_limited"])


@pytest.mark.parametrize("limit_type", ["max", "min", "resize_long"])
@pytest.mark.parametrize("size", [(1, 20000), (20000, 1), (1, 1), (9000, 9000)])
def test_sizes_are_bounded(limit_type: str, size: tuple[int, int]) -> None:
    height, width = det.det_size(*size, 736, limit_type)
    assert height % 32 == width % 32 == 0
    assert 32 <= min(height, width) <= max(height, width) <= 4000
    assert max(det.det_size(*size, 736, limit_type, max_side_limit=1000)) <= 1024


@pytest.mark.parametrize("size", [(1, 20000), (20000, 1), (1, 1)])
def test_odd_pictures_are_resized(size: tuple[int, int]) -> None:
    image = det.resize_det(np.zeros((*size, 3), np.uint8), 736, "min")
    assert image.shape[:2] == det.det_size(*size, 736, "min")


@pytest.mark.parametrize("case", inputs.DET_PICTURES, ids=str)
def test_input_equals_official(golden: Golden, case: tuple[int, int, int, int, Any]) -> None:
    seed, height, width, limit, kind = case
    image = inputs.picture(seed, height, width)
    resized = det.resize_det(image, limit, kind)
    np.testing.assert_array_equal(resized, golden[f"det_image_{seed}"])
    pre = DetPreprocess(limit_side_len=limit, limit_type=kind)
    blob = det.det_input(image, pre)
    np.testing.assert_array_equal(blob[:, ::3, ::3], golden[f"det_input_{seed}"])
    assert blob.dtype == np.float32
    assert blob.flags.c_contiguous
    batch = np.full((2, *blob.shape), np.nan, np.float32)
    det.det_input(np.asfortranarray(image), pre, out=batch[1])
    np.testing.assert_array_equal(batch[1], blob)
    assert np.isnan(batch[0]).all()
