"""Augmentation for detectors whose texts have a direction: what is drawn on the page moves with its outline."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ptocr.data.augment_det import PageSample
from ptocr.data.augment_regions import LineAugment, QuadAugment, choose_empty, quarter_turned
from ptocr.data.label_settings import AugmentPart
from ptocr.data.targets.polygons import signed_area

PART = AugmentPart(crop_size=(160, 128), quarter_turns=0.5, background=0.0)


def page(size: tuple[int, int] = (200, 300)) -> PageSample:
    """Three texts in colours of their own, brighter where they begin."""
    image = np.zeros((*size, 3), np.uint8)
    polys = []
    for number in range(3):
        x, y = size[1] * 0.1, size[0] * (0.1 + 0.3 * number)
        width, height = size[1] * 0.7, size[0] * 0.16
        poly = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float32)
        polys.append(poly)
        cv2.fillPoly(image, [poly.astype(np.int32)], [80 * (channel == number) for channel in range(3)])
        start = poly.copy()
        start[1:3, 0] = x + width / 4
        cv2.fillPoly(image, [start.astype(np.int32)], [250 * (channel == number) for channel in range(3)])
    return PageSample(image, tuple(polys), (False, False, True), ("a", "b", "c"))


def color(sample: PageSample, poly: np.ndarray, share: float) -> np.ndarray:
    """The colour in the middle of a text, so far along it."""
    at = (poly[0] + poly[3]) / 2 * (1 - share) + (poly[1] + poly[2]) / 2 * share
    return sample.image[int(at[1]), int(at[0])].astype(int)


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_quarter_turns(times: int) -> None:
    before, after = page(), quarter_turned(page(), times)
    for old, new in zip(before.polys, after.polys, strict=True):
        np.testing.assert_array_equal(color(before, old, 0.1), color(after, new, 0.1))
        np.testing.assert_array_equal(color(before, old, 0.8), color(after, new, 0.8))
        assert signed_area(new) == pytest.approx(signed_area(old)) and signed_area(new) > 0
    assert (times == 4) == np.array_equal(before.image, after.image)


@pytest.mark.parametrize("kind", ["quad", "line", "uncut"])
def test_texts_keep_place_direction_and_label(kind: str) -> None:
    augment = QuadAugment(PART) if kind == "quad" else LineAugment(PART, cut=kind == "line")
    seen = set()
    for seed in range(40):
        sample = augment(page(), None, np.random.default_rng(seed))
        assert sample.image.shape == (128, 160, 3) and sample.image.dtype == np.uint8
        assert len(sample.polys) == len(sample.ignore)
        for number, poly in enumerate(sample.polys):
            inside = np.clip(poly, 0, [160, 128])
            if sample.ignore[number] or signed_area(inside) == 0:
                continue  # crops may cut through texts that nobody can read, and touch others
            if min(np.ptp(poly, axis=0)) > 8:
                first, later = color(sample, poly, 0.12), color(sample, poly, 0.8)
                assert first.argmax() == later.argmax() and first.max() > later.max() > 20
                if kind != "quad":
                    assert sample.texts[number] == "abc"[int(first.argmax())]
                seen.add(int(first.argmax()))
            np.testing.assert_array_equal(poly, inside)
            assert signed_area(poly) > 0
    assert seen == {0, 1}


def test_a_part_without_text() -> None:
    found = [choose_empty(page(), np.random.default_rng(seed), 50) for seed in range(20)]
    boxes = [box for box in found if box is not None]
    assert len(boxes) > 5
    for x, y, width, height in boxes:
        assert width >= 30 and height >= 20 and not page().image[y : y + height, x : x + width].any()
    everywhere = replace(page(), polys=(np.array([[0, 0], [300, 0], [300, 200], [0, 200]], np.float32),))
    assert choose_empty(everywhere, np.random.default_rng(0), 50) is None
    augment = QuadAugment(PART.model_copy(update={"background": 1.0}))
    samples = [augment(page(), None, np.random.default_rng(seed)) for seed in range(10)]
    assert sum(not sample.polys and not sample.image.any() for sample in samples) > 2


def test_long_pages_are_learnt_as_large_as_they_can_be() -> None:
    """Upstream leaves pages out whose shorter side would fill less than half of the picture."""
    for seed in range(10):
        sample = LineAugment(PART, cut=False)(page((60, 600)), None, np.random.default_rng(seed))
        assert len(sample.polys) == 3 and max(np.ptp(poly[:, 0]) for poly in sample.polys) > 0.65 * 160
