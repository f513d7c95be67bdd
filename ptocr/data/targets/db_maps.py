"""Training targets of DB detectors: maps of shrunk texts and of their borders.

Equal to what upstream's MakeShrinkMap and MakeBorderMap give (tests/train/test_targets.py).
"""

from __future__ import annotations

import cv2
import numpy as np

from ptocr.data.augment_det import PageSample
from ptocr.data.targets.base_targets import Arrays, PageTargets
from ptocr.data.targets.polygons import offset, offset_distance, signed_area


class DBMaps(PageTargets):
    """The four maps of the DB loss. ratio: how much texts are shrunk."""

    def __init__(self, ratio: float = 0.4) -> None:
        self.ratio = ratio

    def __call__(self, page: PageSample, rng: np.random.Generator) -> Arrays:
        """ "shrink_map", "shrink_mask", "threshold_map", "threshold_mask" (H, W) float32."""
        size, polys, ignore = page.image.shape[:2], list(page.polys), np.array(page.ignore, bool)
        shrink, shrink_mask = shrink_map(polys, ignore, size, self.ratio)
        threshold, threshold_mask = border_map(polys, ignore, size, self.ratio)
        return {
            "shrink_map": shrink,
            "shrink_mask": shrink_mask,
            "threshold_map": threshold,
            "threshold_mask": threshold_mask,
        }


def shrink_map(
    polys: list[np.ndarray], ignore: np.ndarray, size: tuple[int, int], ratio: float = 0.4, min_text_size: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Text regions shrunk towards their middle, and where the loss counts.

    polys: (n, 2) pixel points each; ignore: (len(polys),) bool; size: (height, width).
    Returns the map and the mask, both (height, width) float32 of 0 and 1.
    """
    height, width = size
    target, mask = np.zeros(size, np.float32), np.ones(size, np.float32)
    for poly, skip in zip(polys, ignore, strict=True):
        poly = np.clip(poly, 0, [width - 1, height - 1]).astype(np.float32)
        shrunk: list[np.ndarray] = []
        too_small = np.ptp(poly, axis=0).min() < min_text_size
        if not (skip or too_small or abs(signed_area(poly)) < 1):
            # a text that falls apart when shrunk is shrunk less
            for attempt in np.arange(ratio, 1, ratio):
                shrunk = offset(poly, -offset_distance(poly, attempt))
                if len(shrunk) == 1:
                    break
        if not shrunk:
            cv2.fillPoly(mask, [poly.astype(np.int32)], 0.0)
        for part in shrunk:
            cv2.fillPoly(target, [part.astype(np.int32)], 1.0)
    return target, mask


def border_map(
    polys: list[np.ndarray],
    ignore: np.ndarray,
    size: tuple[int, int],
    ratio: float = 0.4,
    low: float = 0.3,
    high: float = 0.7,
) -> tuple[np.ndarray, np.ndarray]:
    """Threshold targets: `high` on a text's outline, falling to `low` at the offset distance, and where they count.

    Returns the map and the mask, both (height, width) float32.
    """
    canvas, mask = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for poly, skip in zip(polys, ignore, strict=True):
        if not skip and signed_area(poly) != 0:
            _draw_border(np.asarray(poly), canvas, mask, ratio)
    return canvas * np.float32(high - low) + np.float32(low), mask


def _draw_border(poly: np.ndarray, canvas: np.ndarray, mask: np.ndarray, ratio: float) -> None:
    distance = offset_distance(poly, ratio)
    grown = offset(poly, distance)
    if not grown:
        return
    outline = grown[0]
    cv2.fillPoly(mask, [outline.astype(np.int32)], 1.0)
    height, width = canvas.shape
    origin = outline.min(0)
    x0, y0 = np.clip(origin, 0, [width - 1, height - 1])
    x1, y1 = np.clip(outline.max(0), 0, [width - 1, height - 1])
    # relative to the outline and in the points' own precision: the distance jumps where an angle is right, so rounding
    # has to be upstream's
    xs, ys = np.arange(x0, x1 + 1) - float(origin[0]), np.arange(y0, y1 + 1) - float(origin[1])
    poly = (poly - origin).astype(poly.dtype)
    near = np.ones((len(ys), len(xs)), np.float32)
    for start, end in zip(poly, np.roll(poly, -1, axis=0), strict=True):
        ratio_map = np.clip(_edge_distance(xs, ys, start, end) / distance, 0, 1).astype(np.float32)
        near = np.minimum(near, ratio_map)
    window = canvas[y0 : y1 + 1, x0 : x1 + 1]
    np.fmax(1 - near, window, out=window)


def _edge_distance(xs: np.ndarray, ys: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distance of each pixel to an edge, (len(ys), len(xs)).

    As upstream: the distance to the line where the pixel sees the edge under more than a right angle, to the nearer end
    elsewhere.
    """
    a = (xs - start[0])[None] ** 2 + (ys - start[1])[:, None] ** 2
    b = (xs - end[0])[None] ** 2 + (ys - end[1])[:, None] ** 2
    c = np.square(start - end).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        minus_cos = (c - a - b) / (2 * np.sqrt(a * b))
        to_line = np.sqrt(a * b * np.nan_to_num(1 - minus_cos**2) / c)
    return np.where(minus_cos < 0, np.sqrt(np.fmin(a, b)), to_line)
