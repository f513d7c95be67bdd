"""Outlines of texts as quads in reading order: the first corner is where the text begins, the second where its upper
border ends."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ptocr.data.targets.polygons import signed_area


def readable(
    polys: Sequence[np.ndarray], ignore: Sequence[bool], size: tuple[int, int]
) -> tuple[list[np.ndarray], list[int], list[bool]]:
    """Polygons (n, 2) cut to a picture of `size` (height, width), their numbers, and which are not to be learnt.

    Those of less than a pixel are left out. What runs counter-clockwise is mirrored, so it is turned around and not
    learnt. (Upstream means to do that for polygons of any form, but asks the smallest rectangle around them, which
    always runs clockwise, and would turn those of 16 corners alone.)
    """
    found: list[np.ndarray] = []
    numbers, skip = [], []
    for number, (poly, ignored) in enumerate(zip(polys, ignore, strict=True)):
        poly = np.clip(poly, 0, [size[1] - 1, size[0] - 1]).astype(np.float32)
        area = signed_area(poly)
        if abs(area) >= 1:
            found.append(poly if area > 0 else np.concatenate([poly[:1], poly[:0:-1]]))
            numbers.append(number)
            skip.append(bool(ignored) or area < 0)
    return found, numbers, skip


def text_quad(poly: np.ndarray) -> np.ndarray:
    """A polygon (n, 2) of four corners itself, else the smallest rectangle around its whole pixels, (4, 2) float32,
    which begins where the polygon does."""
    if len(poly) == 4:
        return poly.astype(np.float32)
    box = cv2.boxPoints(cv2.minAreaRect(poly.astype(np.int32)))
    half = len(poly) // 2
    ends = poly[[0, half - 1, half, -1]]
    turns = [np.roll(box, -turn, axis=0) for turn in range(4)]
    return min(turns, key=lambda turned: float(np.linalg.norm(turned - ends, axis=1).sum()))


def side_lengths(quad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the upper and lower side, (2,), and of the left and right side, (2,)."""
    corners = quad.astype(np.float64)
    return np.linalg.norm(corners[[1, 2]] - corners[[0, 3]], axis=1), np.linalg.norm(
        corners[[3, 2]] - corners[[0, 1]], axis=1
    )
