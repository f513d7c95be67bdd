"""Pages for the goldens of key information extraction: a picture, lines and their classes, the same for the same
number."""

from __future__ import annotations

from typing import Any

import numpy as np

SIZES = ((1400, 900), (800, 1700), (300, 260))  # the last is enlarged
TEXTS = ("TOTAL", "$ 12.50", "", "Müller & Söhne", "2017-03-05", "x" * 30)
DEGREES = (0.0, 0.0, 3.0, -8.0, 0.0, 75.0)


def page(number: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """(H, W, 3) uint8 RGB, and the lines as upstream's label files have them, points in any order."""
    rng = np.random.default_rng(number)
    height, width = SIZES[number]
    image = rng.integers(0, 256, (height // 20, width // 20, 3), np.uint8).repeat(20, 0).repeat(20, 1)
    lines = []
    for index, (text, degrees) in enumerate(zip(TEXTS, DEGREES, strict=True)):
        size = np.array([width * (0.15 + 0.05 * index), height * 0.04])
        centre = np.array([width * (0.3 + 0.08 * index), height * (0.1 + 0.15 * index)])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2
        angle = np.deg2rad(degrees)
        turned = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + centre
        points = np.roll(turned.clip(0, [width, height]), index, axis=0)[:: 1 if index % 2 else -1]
        lines.append({"transcription": text, "points": points.round(1).tolist(), "label": index, "edge": index // 2})
    return image, lines
