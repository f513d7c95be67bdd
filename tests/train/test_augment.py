"""Augmentation moves labels with the picture and stays within its bounds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ptocr.data import augment_det, augment_rec
from ptocr.data.augment_det import DetAugment, PageSample, choose_crop
from ptocr.data.label_settings import AugmentPart
from ptocr.data.samples import photometric


def marked_page(size=(200, 300)):
    """A grey page with two bright quads exactly where the polygons say."""
    image = np.full((*size, 3), 60, np.uint8)
    polys = (
        np.array([[40, 30], [120, 40], [118, 60], [38, 50]], np.float32),
        np.array([[180, 120], [260, 120], [260, 150], [180, 150]], np.float32),
    )
    for poly in polys:
        cv2.fillPoly(image, [poly.astype(np.int32)], (250, 250, 250))
    return PageSample(image, polys, (False, False))


def overlap(page: PageSample) -> float:
    """Intersection over union of the bright pixels and the polygons."""
    bright = page.image.max(2) > 155
    drawn = np.zeros(bright.shape, np.uint8)
    for poly in page.polys:
        cv2.fillPoly(drawn, [np.round(poly).astype(np.int32)], 1)
    return (bright & (drawn > 0)).sum() / max((bright | (drawn > 0)).sum(), 1)


@pytest.mark.parametrize("seed", range(12))
def test_polygons_follow_the_picture(seed):
    rng = np.random.default_rng(seed)
    part = AugmentPart(crop_size=(160, 160), rotate=(-20, 20), color=(0.1, 0.0, 0.0, 0.0), copy_paste=0)
    page = DetAugment(part)(marked_page(), None, rng)
    assert page.image.shape == (160, 160, 3) and len(page.polys) == len(page.ignore) >= 1
    assert overlap(page) > 0.8


def test_pasted_texts_are_where_their_polygons_say():
    blank = PageSample(np.full((200, 300, 3), 60, np.uint8), (), ())
    page = augment_det.paste_texts(blank, marked_page(), np.random.default_rng(0), share=1.0)
    assert len(page.polys) == 2 and page.ignore == (False, False)
    assert overlap(page) > 0.75
    assert blank.image.max() == 60


def test_crops_cut_no_text():
    page = marked_page()
    for seed in range(50):
        x, y, width, height = choose_crop(page, np.random.default_rng(seed))
        low, high = np.array([x, y]), np.array([x + width, y + height])
        inside = [((p >= low).all() and (p <= high).all()) for p in page.polys]
        outside = [((p.max(0) <= low).any() or (p.min(0) >= high).any()) for p in page.polys]
        assert all(i or o for i, o in zip(inside, outside, strict=True)) and any(inside)


def test_an_empty_page_stays_whole():
    page = PageSample(np.zeros((50, 60, 3), np.uint8), (), ())
    assert choose_crop(page, np.random.default_rng(0)) == (0, 0, 60, 50)
    assert DetAugment(AugmentPart(crop_size=(32, 32)))(page, page, np.random.default_rng(0)).polys == ()


def test_mls_without_movement_is_the_identity():
    points = np.array([[0, 0], [250, 0], [250, 40], [0, 40], [100, 0]], float)
    x, y = augment_rec.mls_map((41, 251), points, points)
    np.testing.assert_allclose(x, np.broadcast_to(np.arange(251), x.shape), atol=1e-3)
    np.testing.assert_allclose(y, np.broadcast_to(np.arange(41)[:, None], y.shape), atol=1e-3)


def test_mls_follows_a_similarity_transform_exactly():
    """Points moved by one rotation and scaling move the whole picture so (Schaefer et al., section 2.2)."""
    target = np.array([[3, 5], [240, 8], [230, 90], [7, 84]], float)
    turn = 1.1 * np.exp(0.2j)
    moved = (target @ [1, 1j]) * turn + (4 - 3j)
    x, y = augment_rec.mls_map((100, 251), np.stack([moved.real, moved.imag], 1), target)
    want = (np.arange(251) + 1j * np.arange(100)[:, None]) * turn + (4 - 3j)
    np.testing.assert_allclose(x + 1j * y, want, atol=0.02)


@pytest.mark.parametrize("size", [(48, 320), (32, 40), (10, 400), (300, 12), (1, 1), (20, 20)])
def test_lines_of_any_size_survive(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    every = AugmentPart(tia=1, crop=1, blur=1, hsv=1, jitter=1, noise=1, reverse=1)
    for seed in range(5):
        out = augment_rec.RecAugment(every)(image, np.random.default_rng(seed))
        assert out.dtype == np.uint8 and out.ndim == 3 and min(out.shape) >= 1
        assert photometric(image, 1.0, np.random.default_rng(seed)).shape == image.shape


def test_joined_lines_stay_within_their_limits():
    line = np.zeros((24, 48, 3), np.uint8)
    image, text = augment_rec.join_lines(line, "ab", [(line, "cd"), (line, "ef")], max_length=4, max_ratio=20)
    assert text == "abcd" and image.shape == (48, 192, 3)
    image, text = augment_rec.join_lines(line, "ab", [(line, "cd")], max_length=9, max_ratio=3)
    assert text == "ab" and image is line
