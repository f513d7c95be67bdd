"""Augmentation of pages for detectors whose texts have a direction: nothing is mirrored (upstream EASTProcessTrain,
SASTProcessTrain, PGProcessTrain)."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from ptocr.data.augment_det import PageSample, choose_crop, crop, lose_detail
from ptocr.data.label_settings import AugmentPart

SIZES = (0.5, 1.0, 2.0, 3.0)  # of the page that is cut; only smaller ones lose anything
STRETCHES = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)  # ratio of width and height, or of height and width
SHARES = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.0, 1.0, 1.0, 1.0)  # of the picture that the page fills
CANVAS = (104, 116, 124)  # BGR: the mean colour, which networks are given as nothing
RARELY = 0.05  # chance of each change of light and sharpness


class QuadAugment:
    """A page -> a crop of `part.crop_size` for EAST: quarter turns, less detail, sometimes without any text."""

    def __init__(self, part: AugmentPart) -> None:
        self.part = part

    def __call__(self, page: PageSample, other: PageSample | None, rng: np.random.Generator) -> PageSample:
        part = self.part
        if rng.random() < part.quarter_turns:
            page = quarter_turned(page, int(rng.integers(1, 4)))
        factor = float(rng.choice(SIZES))
        if factor < 1:
            page = lose_detail(page, factor)
        empty = choose_empty(page, rng, part.crop_tries) if rng.random() < part.background else None
        return crop(page, empty or choose_crop(page, rng, part.crop_tries), part.crop_size)


class LineAugment:
    """A page, or with `cut` a crop of it, stretched and set somewhere on a canvas of `part.crop_size`: for texts of any
    form (SAST, PGNet).

    Upstream passes over pages that would fill less than half of a side, so that it never learns from long ones; here
    they get as large as they can.
    """

    def __init__(self, part: AugmentPart, cut: bool = True) -> None:
        self.part, self.cut = part, cut

    def __call__(self, page: PageSample, other: PageSample | None, rng: np.random.Generator) -> PageSample:
        height, width = page.image.shape[:2]
        box = choose_crop(page, rng, self.part.crop_tries) if self.cut else (0, 0, width, height)
        stretch = math.sqrt(float(rng.choice(STRETCHES)))
        page = placed(page, box, 1 / stretch if rng.random() < 0.5 else stretch, self.part.crop_size, rng)
        return replace(page, image=relit(page.image, rng))


def quarter_turned(page: PageSample, times: int) -> PageSample:
    """Turn counter-clockwise by so many quarters; the texts keep their first corner."""
    for _ in range(times):
        width = page.image.shape[1]
        polys = tuple(np.stack([p[:, 1], width - p[:, 0]], axis=1) for p in page.polys)
        page = replace(page, image=np.rot90(page.image), polys=polys)
    return replace(page, image=np.ascontiguousarray(page.image))


def choose_empty(
    page: PageSample, rng: np.random.Generator, tries: int, least: float = 0.1
) -> tuple[int, int, int, int] | None:
    """A box (x, y, width, height) without any text, None where none is found. least: share of each side of the page."""
    height, width = page.image.shape[:2]
    boxes = np.array([[*p.min(axis=0), *p.max(axis=0)] for p in page.polys]).reshape(-1, 4)
    for _ in range(tries):
        (x0, x1), (y0, y1) = (np.sort(rng.integers(0, side + 1, 2)).tolist() for side in (width, height))
        if x1 - x0 < max(1, least * width) or y1 - y0 < max(1, least * height):
            continue
        apart = (boxes[:, :2] > [x1, y1]) | (boxes[:, 2:] < [x0, y0])
        if apart.any(axis=1).all():
            return x0, y0, x1 - x0, y1 - y0
    return None


def placed(
    page: PageSample, box: tuple[int, int, int, int], stretch: float, size: tuple[int, int], rng: np.random.Generator
) -> PageSample:
    """A box of the page, its width multiplied and its height divided by `stretch`, at a random scale and place within
    `size` (width, height). Texts that lie outside of it are left out."""
    x, y, width, height = box
    wide, high = width * stretch, height / stretch
    most = min(size[0] / wide, size[1] / high)
    shares = [s for s in SHARES if min(wide * most * s / size[0], high * most * s / size[1]) >= 0.5] or [1.0]
    scale = most * float(rng.choice(shares))
    fitted = tuple(min(side, max(1, int(length * scale))) for side, length in zip(size, (wide, high), strict=True))
    left, top = (int(rng.random() * (side - length)) for side, length in zip(size, fitted, strict=True))
    corner = np.array([left, top], np.float32)
    image = np.full((size[1], size[0], 3), CANVAS, np.uint8)
    part = page.image[y : y + height, x : x + width]
    image[top : top + fitted[1], left : left + fitted[0]] = cv2.resize(part, fitted)
    factor = np.array([fitted[0] / width, fitted[1] / height])
    polys = [((p - [x, y]) * factor).astype(np.float32) for p in page.polys]
    kept = [i for i, p in enumerate(polys) if ((p.max(axis=0) >= 0) & (p.min(axis=0) <= fitted)).all()]
    moved = tuple(np.clip(polys[i], 0, fitted).astype(np.float32) + corner for i in kept)
    texts = tuple(page.texts[i] for i in kept) if page.texts else ()
    return PageSample(image, moved, tuple(page.ignore[i] for i in kept), texts)


def relit(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture that is rarely blurred, lighter by up to a half, or darker by up to a half."""
    if rng.random() < RARELY:
        image = cv2.GaussianBlur(image, [(1, 1), (3, 3), (3, 3), (5, 5), (5, 5)][int(rng.integers(5))], 0)
    for sign in (1, -1):
        if rng.random() < RARELY:
            image = np.clip(image * (1 + sign * rng.random() * 0.5), 0, 255).astype(np.uint8)
    return image
