"""Augmentation of pages: pasted texts, colour, flip, turn, crop (upstream CopyPaste, IaaAugment, EastRandomCrop)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ptocr.data.label_settings import AugmentPart
from ptocr.processing.geometry import crop_quad


@dataclass(frozen=True)
class PageSample:
    """A page with its texts: image BGR uint8 (H, W, 3); polys (n, 2) float32 each; ignore: unreadable ones; texts: what
    they say, where that is learnt."""

    image: np.ndarray
    polys: tuple[np.ndarray, ...]
    ignore: tuple[bool, ...]
    texts: tuple[str, ...] = ()


def color_jitter(image: np.ndarray, amounts: tuple[float, float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Random brightness, contrast, saturation (factors within 1 +- amount) and hue (turns within +- amount)."""
    light, contrast, saturation, hue = amounts
    x = image.astype(np.float32) * rng.uniform(max(0, 1 - light), 1 + light)
    gray = float(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).mean())
    x = np.clip((x - gray) * rng.uniform(max(0, 1 - contrast), 1 + contrast) + gray, 0, 255).astype(np.uint8)
    if saturation or hue:
        hsv = cv2.cvtColor(x, cv2.COLOR_BGR2HSV).astype(np.float32)
        hsv[..., 0] = (hsv[..., 0] + 180 * rng.uniform(-hue, hue)) % 180  # OpenCV's hue has 180 steps
        hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(max(0, 1 - saturation), 1 + saturation), 0, 255)
        x = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)
    return x


def transform(page: PageSample, matrix: np.ndarray) -> PageSample:
    """An affine (2, 3) change of picture and polygons; the size stays, what comes in is black."""
    height, width = page.image.shape[:2]
    image = cv2.warpAffine(page.image, matrix, (width, height))
    polys = tuple((p @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32) for p in page.polys)
    return PageSample(image, polys, page.ignore)


def flip(page: PageSample) -> PageSample:
    """Mirror left to right. The text becomes unreadable, its place does not."""
    width = page.image.shape[1]
    polys = tuple(np.array([width, 0], np.float32) + p * np.array([-1, 1], np.float32) for p in page.polys)
    return PageSample(np.ascontiguousarray(page.image[:, ::-1]), polys, page.ignore)


def rotate(page: PageSample, degrees: float) -> PageSample:
    """Turn about the middle, counter-clockwise."""
    height, width = page.image.shape[:2]
    return transform(page, cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0))


def lose_detail(page: PageSample, factor: float) -> PageSample:
    """Shrink by a factor < 1. Upstream also enlarges; the crop brings everything to one size, so that has no effect."""
    height, width = page.image.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    scale = np.array([size[0] / width, size[1] / height], np.float32)
    return replace(page, image=cv2.resize(page.image, size), polys=tuple(p * scale for p in page.polys))


def _touches(poly: np.ndarray, box: tuple[float, float, float, float]) -> bool:
    """Whether a polygon's bounding box meets a box (x0, y0, x1, y1)."""
    (x0, y0), (x1, y1) = poly.min(0), poly.max(0)
    return not (x1 < box[0] or x0 > box[2] or y1 < box[1] or y0 > box[3])


def _free_runs(polys: list[np.ndarray], axis: int, length: int) -> list[np.ndarray]:
    """Runs of coordinates along an axis at which a cut hits no text."""
    free = np.ones(length, bool)
    for poly in polys:
        low, high = np.clip(np.round([poly[:, axis].min(), poly[:, axis].max()]).astype(int), 0, length)
        free[low:high] = False
    where = np.flatnonzero(free)
    return np.split(where, np.flatnonzero(np.diff(where) > 1) + 1) if len(where) else []


def _span(runs: list[np.ndarray], rng: np.random.Generator) -> tuple[int, int]:
    """Two cuts: from two runs where there are several, so that text lies between them."""
    picked = [runs[i] for i in rng.choice(len(runs), 2)] if len(runs) > 1 else [runs[0], runs[0]]
    cuts = [int(rng.choice(run)) for run in picked]
    return min(cuts), max(cuts)


def choose_crop(
    page: PageSample, rng: np.random.Generator, tries: int = 50, least: float = 0.1
) -> tuple[int, int, int, int]:
    """A box (x, y, width, height) that cuts through no readable text and holds at least one; else the whole page.

    least: share of each side that a crop must have.
    """
    height, width = page.image.shape[:2]
    whole = 0, 0, width, height
    care = [p for p, ignored in zip(page.polys, page.ignore, strict=True) if not ignored]
    columns, rows = _free_runs(care, 0, width), _free_runs(care, 1, height)
    if not columns or not rows:
        return whole
    for _ in range(tries):
        (x0, x1), (y0, y1) = _span(columns, rng), _span(rows, rng)
        if x1 - x0 < max(1, least * width) or y1 - y0 < max(1, least * height):
            continue
        if any(_touches(p, (x0, y0, x1, y1)) for p in care):
            return x0, y0, x1 - x0, y1 - y0
    return whole


def crop(page: PageSample, box: tuple[int, int, int, int], size: tuple[int, int]) -> PageSample:
    """A box of the page at the scale that fits `size` (width, height), black to the right or below."""
    x, y, width, height = box
    scale = min(size[0] / width, size[1] / height)
    fitted = max(1, int(width * scale)), max(1, int(height * scale))
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[: fitted[1], : fitted[0]] = cv2.resize(page.image[y : y + height, x : x + width], fitted)
    moved = [((p - np.array([x, y], np.float32)) * np.float32(scale)) for p in page.polys]
    kept = [i for i, p in enumerate(moved) if _touches(p, (0, 0, *fitted))]
    return PageSample(image, tuple(moved[i] for i in kept), tuple(page.ignore[i] for i in kept))


def paste_texts(
    page: PageSample, other: PageSample, rng: np.random.Generator, share: float = 0.2, most: int = 30, tries: int = 50
) -> PageSample:
    """Put texts of another page, turned at random, on places that hold no text."""
    usable = [i for i, skip in enumerate(other.ignore) if not skip and len(other.polys[i]) == 4]
    count = max(1, min(int(share * len(other.polys)), most))
    image, polys, ignore = page.image.copy(), list(page.polys), list(page.ignore)
    for number in rng.permutation(usable)[:count] if usable else []:
        patch, mask, box = _turned(crop_quad(other.image, other.polys[number]).image, rng)
        (height, width), (page_height, page_width) = patch.shape[:2], image.shape[:2]
        if width > page_width or height > page_height:
            continue
        for _ in range(tries):
            x, y = int(rng.integers(page_width - width + 1)), int(rng.integers(page_height - height + 1))
            if not any(_touches(p, (x, y, x + width, y + height)) for p in polys):
                image[y : y + height, x : x + width][mask] = patch[mask]
                polys.append((box + np.array([x, y], np.float32)).astype(np.float32))
                ignore.append(False)
                break
    return PageSample(image, tuple(polys), tuple(ignore))


def _turned(patch: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A patch turned by any angle: picture, mask of its pixels, corners (4, 2)."""
    height, width = patch.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.integers(360)), 1.0)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) @ matrix[:, :2].T + matrix[:, 2]
    matrix[:, 2] -= corners.min(0)
    corners = corners - corners.min(0)
    size = tuple(int(v) + 1 for v in corners.max(0))
    mask = cv2.warpAffine(np.full((height, width), 255, np.uint8), matrix, size) > 127
    return cv2.warpAffine(patch, matrix, size), mask, corners.astype(np.float32)


class DetAugment:
    """A page of any size -> a crop of `part.crop_size` with its texts."""

    def __init__(self, part: AugmentPart) -> None:
        self.part = part

    def __call__(self, page: PageSample, other: PageSample | None, rng: np.random.Generator) -> PageSample:
        """other: a page to take texts from, for copy and paste."""
        part = self.part
        if other is not None:
            page = paste_texts(page, other, rng)
        if any(part.color):
            page = replace(page, image=color_jitter(page.image, part.color, rng))
        if rng.random() < part.flip:
            page = flip(page)
        if rng.random() < part.rotate_chance and any(part.rotate):
            page = rotate(page, float(rng.uniform(*part.rotate)))
        factor = float(rng.uniform(*part.scale))
        if factor < 1:
            page = lose_detail(page, factor)
        return crop(page, choose_crop(page, rng, part.crop_tries), part.crop_size)
