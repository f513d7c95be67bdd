"""Augmentation of pages for detectors that see a page at its own scale, or all of it as a square (upstream
RandomCropImgMask, GroupRandomCropPadding; RandomScaling, RandomCropFlip, RandomCropPolyInstances,
RandomRotatePolyInstances, SquareResizePad)."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ptocr.data.augment_det import PageSample, color_jitter, flip, rotate
from ptocr.data.label_settings import AugmentPart

WITH_TEXT = 5 / 8  # share of the windows that are looked for where text is
LEAST_PATCH = 0.2  # of the page's area that is mirrored
AWAY = 2  # pixels between a cut and a text
FILL = 9  # a page is filled up with such a part of itself, enlarged


class WindowAugment:
    """A page of any size -> a window of `part.crop_size` of it, black where it is smaller (PSENet, CentripetalText).

    fit: at a scale of 1 the shorter side is as long as the window's; otherwise the page keeps its size, and grows until
    it fills the window.
    """

    def __init__(self, part: AugmentPart, fit: bool = False) -> None:
        self.part, self.fit = part, fit

    def __call__(self, page: PageSample, other: PageSample | None, rng: np.random.Generator) -> PageSample:
        """other: not used."""
        part = self.part
        page = _mirrored(_colored(page, part, rng), part, rng)
        if rng.random() < part.rotate_chance and any(part.rotate):
            page = rotate(page, float(rng.uniform(*part.rotate)))
        least = min(part.crop_size) / min(page.image.shape[:2])
        factor = float(rng.uniform(*part.scale))
        page = resized(page, factor * least if self.fit else max(factor, least))
        return window(page, part.crop_size, rng)


class SquareAugment:
    """A page of any size -> a square of `part.crop_size[0]` (FCENet, DRRG): parts mirrored, cut around texts, turned,
    and what is missing filled with the page's own colours."""

    def __init__(self, part: AugmentPart) -> None:
        self.part = part

    def __call__(self, page: PageSample, other: PageSample | None, rng: np.random.Generator) -> PageSample:
        """other: not used."""
        part, side = self.part, self.part.crop_size[0]
        page = _colored(page, part, rng)
        page = resized(page, float(rng.uniform(*part.scale)) * side / max(page.image.shape[:2]))
        if rng.random() < part.patch_flip:
            page = flip_patch(page, rng, part.crop_tries)
        if rng.random() < part.cut and page.polys:
            page = cut_around(page, rng, part.cut_least)
        if rng.random() < part.rotate_chance and any(part.rotate):
            page = rotate_filled(page, float(rng.uniform(*part.rotate)), rng)
        page = square(page, side, rng.random() < part.keep_ratio, rng)
        return _mirrored(page, part, rng)


def _colored(page: PageSample, part: AugmentPart, rng: np.random.Generator) -> PageSample:
    return replace(page, image=color_jitter(page.image, part.color, rng)) if any(part.color) else page


def _mirrored(page: PageSample, part: AugmentPart, rng: np.random.Generator) -> PageSample:
    return flip(page) if rng.random() < part.flip else page


def resized(page: PageSample, factor: float) -> PageSample:
    """A page enlarged or made smaller by a factor."""
    height, width = page.image.shape[:2]
    return _stretched(page, (max(1, round(width * factor)), max(1, round(height * factor))))


def _stretched(page: PageSample, size: tuple[int, int]) -> PageSample:
    """A page in the size (width, height)."""
    height, width = page.image.shape[:2]
    scale = np.array([size[0] / width, size[1] / height], np.float32)
    return replace(page, image=cv2.resize(page.image, size), polys=tuple(p * scale for p in page.polys))


def _moved(page: PageSample, shift: tuple[int, int], image: np.ndarray) -> PageSample:
    """The texts moved by (x, y) onto another picture; those that do not touch it are left out."""
    height, width = image.shape[:2]
    polys = [p + np.array(shift, np.float32) for p in page.polys]
    kept = [i for i, p in enumerate(polys) if (p.max(0) >= 0).all() and (p.min(0) <= (width, height)).all()]
    return PageSample(image, tuple(polys[i] for i in kept), tuple(page.ignore[i] for i in kept))


def window(page: PageSample, size: tuple[int, int], rng: np.random.Generator) -> PageSample:
    """A part of a page of the size (width, height), at any place or at one where text is, padded with black.

    Upstream's windows for text end within the rows and columns of the texts; these may also begin there.
    """
    height, width = page.image.shape[:2]
    texts = np.concatenate([*page.polys, np.zeros((0, 2), np.float32)])
    wanted = len(texts) > 0 and rng.random() < WITH_TEXT
    starts = []
    for axis, (length, side) in enumerate(zip((width, height), size, strict=True)):
        low, high = 0, max(0, length - side)
        if wanted:
            low = min(high, max(0, int(texts[:, axis].min()) - side))
            high = max(low, min(high, int(texts[:, axis].max())))
        starts.append(int(rng.integers(low, high + 1)))
    x, y = starts
    image = np.zeros((size[1], size[0], 3), np.uint8)
    part = page.image[y : y + size[1], x : x + size[0]]
    image[: part.shape[0], : part.shape[1]] = part
    return _moved(page, (-x, -y), image)


def _free(polys: tuple[np.ndarray, ...], axis: int, length: int) -> np.ndarray:
    """Coordinates along an axis (0: x) at which a cut stays away from all texts."""
    free = np.ones(length, bool)
    for poly in polys:
        low, high = np.clip([poly[:, axis].min() - AWAY, poly[:, axis].max() + AWAY + 1], 0, length).astype(int)
        free[low:high] = False
    return np.flatnonzero(free)


def flip_patch(page: PageSample, rng: np.random.Generator, tries: int) -> PageSample:
    """A part of a page that cuts no text mirrored, from left to right, upside down, or both; its texts with it.

    Upstream takes the last part that it looked at, whatever it cuts, where no try succeeds; here the page stays.
    """
    height, width = page.image.shape[:2]
    columns, rows = (np.concatenate([[0], _free(page.polys, axis, n), [n]]) for axis, n in enumerate((width, height)))
    for _ in range(tries):
        (x0, x1), (y0, y1) = np.sort(rng.choice(columns, 2)).tolist(), np.sort(rng.choice(rows, 2)).tolist()
        if (x1 - x0) * (y1 - y0) >= LEAST_PATCH * height * width:
            break
    else:
        return page
    across, down = [(True, False), (False, True), (True, True)][int(rng.integers(3))]
    image = page.image.copy()
    image[y0:y1, x0:x1] = page.image[y0:y1, x0:x1][:: -1 if down else 1, :: -1 if across else 1]
    sign = np.array([-1 if across else 1, -1 if down else 1], np.float32)
    shift = np.array([x0 + x1 if across else 0, y0 + y1 if down else 0], np.float32)
    inside = [((p >= (x0, y0)) & (p <= (x1, y1))).all() for p in page.polys]
    polys = tuple(p * sign + shift if own else p for p, own in zip(page.polys, inside, strict=True))
    return replace(page, image=image, polys=polys)


def cut_around(page: PageSample, rng: np.random.Generator, least: float) -> PageSample:
    """A part of a page with one of its texts and no piece of any; each side at least such a share of the page's."""
    height, width = page.image.shape[:2]
    chosen = page.polys[int(rng.integers(len(page.polys)))]
    ends = []
    for axis, length in enumerate((width, height)):
        free, shortest = _free(page.polys, axis, length), int(length * least)
        low, high = chosen[:, axis].min(), chosen[:, axis].max()
        start = _pick(free[(free < low) & (free <= length - shortest)], rng, 0)
        ends.append((start, _pick(free[(free > high) & (free >= start + shortest)], rng, length)))
    (x0, x1), (y0, y1) = ends
    inside = _moved(page, (-x0, -y0), page.image[y0:y1, x0:x1])
    return replace(inside, polys=tuple(np.clip(p, 0, (x1 - x0, y1 - y0)).astype(np.float32) for p in inside.polys))


def _pick(places: np.ndarray, rng: np.random.Generator, default: int) -> int:
    """One of some coordinates, from each run of them as likely as from any other."""
    if not len(places):
        return default
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    return int(rng.choice(runs[int(rng.integers(len(runs)))]))


def _piece(page: PageSample, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Some part of the page, made as large as `size` (width, height)."""
    height, width = page.image.shape[:2]
    y, x = (int(rng.integers(max(1, side * 7 // 8))) for side in (height, width))
    return cv2.resize(page.image[y : y + max(1, height // FILL), x : x + max(1, width // FILL)], size)


def rotate_filled(page: PageSample, degrees: float, rng: np.random.Generator) -> PageSample:
    """A page turned counter-clockwise on a picture that has room for it, filled up with a part of the page."""
    height, width = page.image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    (cos, sin) = np.abs(matrix[0, :2])
    size = max(1, int(width * cos + height * sin)), max(1, int(width * sin + height * cos))
    matrix[:, 2] = matrix[:, 2] + (np.array(size) - (width, height)) / 2
    there = cv2.warpAffine(np.full((height, width), 255, np.uint8), matrix, size)[..., None] > 127
    image = np.where(
        there, cv2.warpAffine(page.image, matrix, size, borderMode=cv2.BORDER_REPLICATE), _piece(page, size, rng)
    )
    polys = tuple((p @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32) for p in page.polys)
    return replace(page, image=image, polys=polys)


def square(page: PageSample, side: int, keep_ratio: bool, rng: np.random.Generator) -> PageSample:
    """A page as a square: stretched, or in the middle of a part of itself."""
    if not keep_ratio:
        return _stretched(page, (side, side))
    page = resized(page, side / max(page.image.shape[:2]))
    height, width = page.image.shape[:2]
    x, y = (side - width) // 2, (side - height) // 2
    image = _piece(page, (side, side), rng)
    image[y : y + height, x : x + width] = page.image
    return _moved(page, (x, y), image)
