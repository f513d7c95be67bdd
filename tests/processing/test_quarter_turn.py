"""Whether a region was turned a quarter to be read: its crop, its words and its place on the page agree about it."""

from __future__ import annotations

import numpy as np
import pytest

from ptocr.document.results import OCRResult
from ptocr.processing.geometry import crop_quad, order_quads, text_quad
from ptocr.processing.words import word_boxes


def quads(count: int, seed: int) -> np.ndarray:
    """(count, 4, 2) int32 corners in upstream's order: parallelograms 1.2 to 1.8 times as high as wide, tilted."""
    rng = np.random.default_rng(seed)
    width = rng.uniform(8, 60, count)
    height = width * rng.uniform(1.2, 1.8, count)
    tilt, shear = rng.uniform(-0.6, 0.6, count), rng.uniform(-0.15, 0.15, count)
    across = np.stack([np.cos(tilt), np.sin(tilt)], -1) * width[:, None]
    down = np.stack([-np.sin(tilt + shear), np.cos(tilt + shear)], -1) * height[:, None]
    start = rng.uniform(60, 100, (count, 2))
    return order_quads(np.rint(np.stack([start, start + across, start + across + down, start + down], 1)).astype(int))


@pytest.mark.parametrize("seed", range(5))
def test_crop_line_and_words_agree(seed: int) -> None:
    """The shape of the crop tells what was done to it, whatever anybody says."""
    for quad in quads(1000, seed):
        image = np.full((300, 300, 3), 255, np.uint8)
        crop = crop_quad(image, quad)
        long_side_first = crop.image.shape[1] > crop.image.shape[0]
        assert crop.turned == long_side_first
        result = OCRResult(rec_texts=["ab"], rec_scores=[1.0], rec_polys=[quad], dt_polys=[quad])
        (line,) = result.page.lines
        assert line.turned == crop.turned
        np.testing.assert_array_equal(line.quad[0], quad[int(crop.turned)])
        _, words = word_boxes(["a", "中"], [0, 9], 10.0, quad, crop.turned)
        first, second = words.mean(axis=1)
        runs_down = second[1] - first[1] > second[0] - first[0]
        assert runs_down == crop.turned


def test_the_quad_that_was_decided_in_three_ways() -> None:
    """Sides 20.88 and 30.36: 1.454 as they are, 1.5 in whole pixels, which is what upstream counts in."""
    quad = np.array([[10, 0], [30, 6], [21, 35], [1, 29]])
    crop = crop_quad(np.zeros((50, 50, 3), np.uint8), quad)
    assert crop.turned and crop.image.shape == (20, 30, 3)


def test_corners_in_reading_direction() -> None:
    level = np.array([[10, 20], [210, 20], [210, 50], [10, 50]])
    np.testing.assert_array_equal(text_quad(level, turned=False), level)
    np.testing.assert_array_equal(text_quad(level, turned=False, upside_down=True)[0], level[2])
    standing = np.array([[10, 20], [40, 20], [40, 220], [10, 220]])  # its right edge becomes the top of the crop
    np.testing.assert_array_equal(text_quad(standing, turned=True)[:2], standing[1:3])
    np.testing.assert_array_equal(text_quad(standing, turned=True, upside_down=True)[:2], standing[[3, 0]])
