from __future__ import annotations

import numpy as np
import pytest

from ptocr.errors import InputError
from ptocr.processing import image as images
from tests.data import processing_inputs as inputs

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("order", ["bgr", "rgb"])
def test_normalize_is_the_formula(order: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8)
    channels = image if order == "bgr" else image[..., ::-1]
    expected = (channels.astype(np.float64) / 255 - MEAN) / STD
    result = images.normalize(image, MEAN, STD, order=order)
    np.testing.assert_allclose(result, expected.transpose(2, 0, 1), rtol=0, atol=1e-6)


def test_out_is_written_in_place_even_as_a_window() -> None:
    image = inputs.picture(0, 8, 10)
    batch = np.full((2, 3, 12, 20), 7.0, np.float32)
    window = batch[1, :, 2:10, 5:15]
    assert images.normalize(image, MEAN, STD, out=window) is window
    np.testing.assert_array_equal(window, images.normalize(image, MEAN, STD))
    window[:] = 7.0
    assert (batch == 7.0).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 3)])
def test_layouts_and_one_pixel_sizes(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    expected = images.normalize(image, MEAN, STD)
    views = [
        np.asfortranarray(image),
        image[..., ::-1].copy()[..., ::-1],
        image[::-1].copy()[::-1],
        np.repeat(image, 2, axis=1)[:, ::2],
    ]
    for view in views:
        np.testing.assert_array_equal(images.normalize(view, MEAN, STD), expected)
    column = np.empty((3, size[0], size[1] + 3), np.float32)
    images.normalize_line(image, column[:, :, : size[1]])
    np.testing.assert_array_equal(column[:, :, : size[1]], images.normalize_line(image))


@pytest.mark.parametrize(
    "bad",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_other_arrays_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="BGR uint8"):
        images.normalize(bad, MEAN, STD)


def test_rotate_is_numpy_rot90() -> None:
    image = inputs.picture(0, 20, 30)
    for angle in (0, 90, 180, 270, 360, -90):
        np.testing.assert_array_equal(images.rotate(image, angle), np.rot90(image, angle // 90))
    np.testing.assert_array_equal(images.rotate180(image), image[::-1, ::-1])
    with pytest.raises(InputError, match="45"):
        images.rotate(image, 45)


def test_resize_keeps_what_fits() -> None:
    image = inputs.picture(0, 20, 30)
    assert images.resize(image, 30, 20) is image
    assert images.resize(image, 7, 9).shape == (9, 7, 3)


def test_probabilities_of_logits_far_below_zero() -> None:
    with np.errstate(over="raise"):
        found = images.sigmoid(np.array([-200, -1, 0, 200], np.float32))
    assert found.tolist() == pytest.approx([0, 0.26894143, 0.5, 1])
