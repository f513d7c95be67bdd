"""Non-maximum suppression of quads and polygons against shapely's areas, all pairs compared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ptocr.processing import polygon_nms, quad_nms

shapely = pytest.importorskip("shapely")


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union."""
    first, second = (shapely.Polygon(points.reshape(-1, 2)).buffer(0) for points in (a, b))
    common = first.intersection(second).area
    return float(common / (first.area + second.area - common))


def suppressed(shapes: list[np.ndarray], scores: np.ndarray, thresh: float) -> list[int]:
    left, kept = np.argsort(scores, kind="stable")[::-1].tolist(), []
    while left:
        best, *left = left
        kept.append(best)
        left = [other for other in left if overlap(shapes[best], shapes[other]) <= thresh]
    return kept


def quads(rng: np.random.Generator, count: int) -> np.ndarray:
    """Slanted quads in groups of alike ones, with scores, (count, 9)."""
    middles = rng.uniform(0, 300, (count // 5, 2))[:, None].repeat(5, axis=1).reshape(-1, 1, 2)
    shape = np.array([[-30, -8], [30, -8], [30, 8], [-30, 8]])
    corners = middles + shape * rng.uniform(0.5, 1.5, (count, 1, 2)) + rng.normal(0, 2.5, (count, 4, 2))
    return np.column_stack([corners.reshape(count, 8), rng.uniform(0.5, 1, count)])


@pytest.mark.parametrize("thresh", [0.1, 0.2, 0.5])
def test_quads_along_rows(thresh: float) -> None:
    boxes = quads(np.random.default_rng(1), 200)
    wanted: list[np.ndarray] = []
    for box in boxes:
        if wanted and overlap(box[:8], wanted[-1][:8]) > thresh:
            last = wanted[-1]
            total = box[8] + last[8]
            wanted[-1] = np.append((box[8] * box[:8] + last[8] * last[:8]) / total, total)
        else:
            wanted.append(box)
    got = quad_nms.merged_along_rows(boxes, thresh)
    assert 30 < len(got) == len(wanted) < 190
    np.testing.assert_allclose(got, np.array(wanted), rtol=1e-12)


@pytest.mark.parametrize("thresh", [0.0, 0.2, 0.5])
def test_quads(thresh: float) -> None:
    boxes = quads(np.random.default_rng(2), 200)
    got = quad_nms.suppressed(boxes, thresh)
    wanted = suppressed(list(boxes[:, :8]), boxes[:, 8], thresh)
    assert 10 < len(wanted) < 190
    np.testing.assert_array_equal(got, boxes[wanted])


@pytest.mark.parametrize("thresh", [0.1, 0.4])
def test_polygons(thresh: float) -> None:
    rng = np.random.default_rng(3)
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False) + rng.uniform(-0.2, 0.2, (120, 12))
    ways = np.stack([np.cos(angles), np.sin(angles)], axis=2)
    shapes = (rng.uniform(0, 200, (120, 1, 2)) + ways * rng.uniform(12, 40, (120, 12, 1))).astype(np.int32)
    scores = rng.integers(0, 40, 120) / 40  # many are equal
    got = polygon_nms.suppressed(shapes, scores, thresh)
    assert got.tolist() == suppressed(list(shapes), scores, thresh) and 10 < len(got) < 119


@pytest.mark.parametrize("thresh", [0.0, 0.2, 0.6])
def test_what_surely_overlaps(thresh: float) -> None:
    """Quads whose corners are moved by less than the bound overlap by more than the threshold, whatever the way."""
    rng = np.random.default_rng(4)
    shape = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    corners = shape * rng.uniform(2, 60, (500, 1, 2)) + rng.normal(0, 3, (500, 4, 2))
    reach = quad_nms._sure_reach(np.column_stack([corners.reshape(-1, 8), np.ones(500)]), thresh)
    assert (reach > 0).mean() > 0.7
    angle = rng.uniform(0, 2 * np.pi, (500, 4, 1))
    moved = corners + reach[:, None, None] * np.concatenate([np.cos(angle), np.sin(angle)], axis=2)
    inwards = corners - reach[:, None, None] * shape / np.sqrt(2)
    for other in (moved, inwards):
        found = [overlap(a, b) for a, b, r in zip(corners, other, reach, strict=True) if r > 0]
        assert min(found) > thresh


def test_nothing() -> None:
    for suppress in (quad_nms.merged_along_rows, quad_nms.suppressed):
        assert suppress(np.zeros((0, 9)), 0.2).shape == (0, 9)
    nothing: Callable[..., np.ndarray] = polygon_nms.suppressed
    assert len(nothing(np.zeros((0, 8, 2), np.int32), np.zeros(0), 0.2)) == 0
