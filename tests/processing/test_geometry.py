from __future__ import annotations

import numpy as np
import pytest

from ptocr.errors import InputError
from ptocr.processing import geometry
from ptocr.processing.image import rotate
from tests.data import processing_inputs as inputs

Golden = dict[str, np.ndarray]


def test_filter_quads_equals_official(golden: Golden) -> None:
    quads, kept = geometry.filter_quads(inputs.quads(30, 300, 400, 300), (400, 300))
    np.testing.assert_array_equal(quads, golden["filter"])
    assert len(kept) == len(quads) < 300
    assert quads.dtype == np.int32


def test_filter_quads_of_nothing() -> None:
    quads, kept = geometry.filter_quads(np.zeros((0, 4, 2)), (10, 10))
    assert quads.shape == (0, 4, 2)
    assert len(kept) == 0


def test_sort_boxes_equals_official(golden: Golden) -> None:
    quads = inputs.quads(31, 200, 400, 300)
    order = geometry.sort_boxes(list(quads))
    assert sorted(order) == list(range(200))
    np.testing.assert_array_equal(quads[order], golden["sorted"])


def test_sort_boxes_row_rule() -> None:
    def box(x: int, y: int) -> np.ndarray:
        return np.array([[x, y], [x + 5, y], [x + 5, y + 5], [x, y + 5]])

    assert geometry.sort_boxes([box(50, 0), box(0, 9)]) == [1, 0]  # one row
    assert geometry.sort_boxes([box(50, 0), box(0, 10)]) == [0, 1]  # two rows
    assert geometry.sort_boxes([]) == []


def test_crops_equal_official(golden: Golden) -> None:
    image = inputs.picture(*inputs.CROP_PICTURE)
    for i, quad in enumerate(inputs.crop_quads()):
        np.testing.assert_array_equal(geometry.crop_quad(image, quad).image, golden[f"crop_{i}"])
        np.testing.assert_array_equal(geometry.crop_poly(image, quad).image, golden[f"crop_area_{i}"])
    for i, poly in enumerate(inputs.crop_polys()):
        np.testing.assert_array_equal(geometry.crop_poly(image, poly).image, golden[f"crop_poly_{i}"])


def test_some_golden_crops_were_turned(golden: Golden) -> None:
    """Otherwise the rotation rule would go untested."""
    quads = inputs.crop_quads()
    heights = np.linalg.norm(quads[:, 0] - quads[:, 3], axis=1)
    assert any(abs(golden[f"crop_{i}"].shape[1] - heights[i]) < 1 for i in range(len(quads)))


def test_crop_ignores_memory_layout_and_number_type() -> None:
    image = inputs.picture(*inputs.CROP_PICTURE)
    mirrored = np.ascontiguousarray(image[:, ::-1])[:, ::-1]
    fortran = np.asfortranarray(image)
    for quad in inputs.crop_quads():
        crop = geometry.crop_quad(image, quad).image
        assert crop.flags.c_contiguous
        for same in (mirrored, fortran):
            np.testing.assert_array_equal(geometry.crop_quad(same, quad.astype(np.int16)).image, crop)


@pytest.mark.parametrize("points", [np.zeros((4, 2)), np.full((4, 2), 500), np.array([[0, 0], [9, 0], [9, 0], [0, 0]])])
def test_degenerate_quads_give_a_crop(points: np.ndarray) -> None:
    image = inputs.picture(1, 20, 20)
    for crop, _ in (geometry.crop_quad(image, points), geometry.crop_poly(image, points)):
        assert crop.size > 0
        assert max(crop.shape) <= 9


def test_crop_quad_needs_four_corners() -> None:
    with pytest.raises(InputError, match=r"\(5, 2\)"):
        geometry.crop_quad(inputs.picture(1, 20, 20), np.zeros((5, 2)))


@pytest.mark.parametrize("y", [0, 20000, 39930])
def test_crop_from_a_huge_picture(y: int) -> None:
    """Beyond the 32767 px that OpenCV's warp takes: equal to the crop from a cut-out."""
    part = inputs.picture(3, 70, 60)
    image = np.zeros((40000, 60, 3), np.uint8)
    image[y : y + 70] = part
    quad = np.array([[10, 20], [50, 24], [49, 44], [9, 40]], np.float32)
    np.testing.assert_array_equal(
        geometry.crop_quad(image, quad + np.float32([0, y])).image, geometry.crop_quad(part, quad).image
    )


def test_bounding_boxes() -> None:
    quads = inputs.quads(2, 5, 90, 90)
    boxes = geometry.bounding_boxes(list(quads))
    for quad, (left, top, right, bottom) in zip(quads, boxes, strict=True):
        assert quad[:, 0].min() == left
        assert quad[:, 1].min() == top
        assert quad[:, 0].max() == right
        assert quad[:, 1].max() == bottom
    assert geometry.bounding_boxes([]).shape == (0, 4)
    assert geometry.bounding_boxes([np.zeros((3, 2)), np.ones((7, 2))]).shape == (2, 4)


@pytest.mark.parametrize("angle", [0, 90, 180, 270, -90])
def test_rotate_points_follows_rotate(angle: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 11, 3), np.uint8)
    turned = rotate(image, angle)
    points = np.array([[x, y] for x in range(11) for y in range(7)])
    there = geometry.rotate_points(points, angle, (7, 11))
    np.testing.assert_array_equal(turned[there[:, 1], there[:, 0]], image[points[:, 1], points[:, 0]])
    back = geometry.rotate_points(there, -angle, turned.shape[:2])
    np.testing.assert_array_equal(back, points)


def test_rotate_points_refuses_other_angles() -> None:
    with pytest.raises(InputError, match="45"):
        geometry.rotate_points(np.zeros((1, 2)), 45, (3, 3))
