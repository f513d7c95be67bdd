"""Pages with texts as quads and as outlines of more corners, for the target makers of EAST, SAST and PGNet."""

from __future__ import annotations

import cv2
import numpy as np

SIZE = (256, 256)  # height, width: upstream's makers take squares alone
PAGES = ("quads", "curves")


def page(kind: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Polygons (n, k, 2) float32 that run clockwise, which are not to be learnt, and texts."""
    return _quads() if kind == "quads" else _curves()


def _quads() -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(5)
    boxes = []
    for row in range(5):
        for column in range(2):
            center = (66 + 112 * column + rng.uniform(-6, 6), 26 + 50 * row + rng.uniform(-5, 5))
            sides = (rng.uniform(40, 110), rng.uniform(12, 34))
            corners = cv2.boxPoints((center, sides, rng.uniform(-20, 20))) + rng.normal(0, 1.5, (4, 2))
            boxes.append(np.roll(corners, -int(corners.sum(1).argmin()), axis=0))
    boxes.append([[240, 10], [254, 12], [250, 120], [236, 118]])  # upright
    boxes.append([[20, 250], [44, 250], [44, 253], [20, 253]])  # too small
    boxes.append([[10, 10], [60, 10], [60, 30], [10, 30]])  # over another one
    ignore = np.zeros(len(boxes), bool)
    ignore[[3, 7]] = True
    texts = ["abc", "Hello", "x", "###", "no 1", "???", "a-b-c", "###", "longer8text", "zz", "up", "ab", "over"]
    return np.array(boxes, np.float32), ignore, texts


def _curves() -> tuple[np.ndarray, np.ndarray, list[str]]:
    found = []
    for middle, radius, height, start, end in (
        ((80, 110), 60, 22, 200, 340),
        ((180, 90), 70, 14, 185, 300),
        ((90, 150), 48, 30, 160, 20),
        ((185, 140), 55, 12, 170, 60),
        ((130, 280), 90, 18, 230, 320),
    ):
        angles = np.radians(np.linspace(start, end, 7))
        ways = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        outer, inner = middle + ways * (radius + height / 2), middle + ways * (radius - height / 2)
        upper, lower = (outer, inner) if end > start else (inner, outer)
        found.append(np.concatenate([upper, lower[::-1]]))
    return (
        np.array(found, np.float32),
        np.array([False, False, False, True, False]),
        ["curved", "q1", "ABCdef", "#", "w w"],
    )
