"""Inputs of the processing goldens, rebuilt from seeds with numpy alone: used by the script and by the tests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """A patchwork with ramps, (height, width, 3) uint8: it compresses, yet every pixel shift shows."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 200, (height // 9 + 1, width // 9 + 1, 3))
    rows, columns = np.arange(height), np.arange(width)
    ramp = (rows[:, None] * 3 + columns[None] * 2) % 56
    return (patches[rows[:, None] // 9, columns[None] // 9] + ramp[..., None]).astype(np.uint8)


def _rectangle(
    shape: tuple[int, int], center: tuple[float, float], half: tuple[float, float], angle: float
) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    dx, dy = x - center[0], y - center[1]
    along = dx * math.cos(angle) + dy * math.sin(angle)
    across = dy * math.cos(angle) - dx * math.sin(angle)
    return (abs(along) <= half[0]) & (abs(across) <= half[1])


def _ring(
    shape: tuple[int, int], center: tuple[float, float], inner: float, outer: float, open_below: bool
) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius = np.hypot(x - center[0], y - center[1])
    ring = (radius >= inner) & (radius <= outer)
    return ring & (y < center[1]) if open_below else ring


def probability_map(seed: int, height: int, width: int, cell: int) -> np.ndarray:
    """(height, width) float32: bars in cells of `cell` px height and four times that width, jittered so that some run
    together or over the border; tilted, tiny, thin and faint ones; at last a ring and an arc over them.
    """
    rng = np.random.default_rng(seed)
    shape = (height, width)
    prob = rng.integers(0, 40, shape) / 256
    for y in range(0, height, cell):
        for x in range(0, width, 4 * cell):
            center = (x + cell * rng.uniform(1.0, 3.0), y + cell * rng.uniform(0.2, 0.8))
            half = (cell * rng.uniform(0.1, 2.0), cell * rng.uniform(0.05, 0.4))
            inside = _rectangle(
                shape, center, half, rng.choice([0.0, 0.0, rng.uniform(-0.3, 0.3), rng.uniform(-1.6, 1.6)])
            )
            prob[inside] = (rng.integers(120, 330) + rng.integers(-40, 1, shape)[inside]).clip(0, 255) / 256
    ring = _ring(shape, (width * 0.75, height * 0.5), width * 0.08, width * 0.11, False)
    arc = _ring(shape, (width * 0.3, height * 0.6), width * 0.16, width * 0.2, True)
    prob[ring | arc] = 0.875
    return prob.astype(np.float32)


# seed, map height, map width, cell, picture height, picture width
MAPS = [(1, 96, 160, 16, 193, 317), (2, 224, 128, 11, 224, 128), (3, 64, 64, 13, 1000, 1500), (4, 128, 224, 16, 53, 91)]
DB_SETTINGS: list[dict[str, Any]] = [
    {},
    {"score_mode": "slow", "unclip_ratio": 2.0},
    {"use_dilation": True, "box_thresh": 0.7},
    {"max_candidates": 7, "thresh": 0.2, "box_thresh": 0.5},
    {"box_type": "poly"},
    {"box_type": "poly", "use_dilation": True, "unclip_ratio": 2.0, "box_thresh": 0.4},
]


def db_cases() -> Iterator[tuple[str, np.ndarray, tuple[int, int], dict[str, Any]]]:
    """Name, map, picture size, settings."""
    for seed, height, width, cell, rows, columns in MAPS:
        prob = probability_map(seed, height, width, cell)
        for number, settings in enumerate(DB_SETTINGS):
            yield f"db_{seed}_{number}", prob, (rows, columns), {"box_thresh": 0.6, "unclip_ratio": 1.5, **settings}


def quads(seed: int, count: int, height: int, width: int) -> np.ndarray:
    """(count, 4, 2) int32 quads in random corner order, many small, some outside the picture; first corners in rows."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(count):
        center = np.array([rng.uniform(0, width), rng.integers(0, height // 12 + 1) * 12 + rng.uniform(-5, 5)])
        half = np.array([rng.uniform(1, width / 4), rng.uniform(1, height / 10)])
        angle = rng.choice([0.0, rng.uniform(-3.1, 3.1)])
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half + rng.uniform(-2, 2, (4, 2))
        result.append(np.round(corners @ turn + center))
    return np.array(result).astype(np.int32)


CROP_PICTURE = (5, 90, 120)


def crop_quads() -> np.ndarray:
    """(n, 4, 2) float32, clockwise, at least 4 px a side: what detectors give; upright where no angle is."""
    shapes = [
        (50, 30, 30, 8, 0.0),
        (50, 40, 28, 6, 0.3),
        (60, 45, 5, 30, 0.05),
        (20, 20, 12, 12, 0.7),
        (110, 80, 20, 9, -0.4),
    ]
    shapes += [(8, 50, 4, 6, 0.0), (60, 5, 40, 6, -0.05), (70, 60, 9, 6.1, 0.2), (70, 60, 6, 9, 0.0)]
    result = []
    for x, y, a, b, angle in shapes:
        c, s = math.cos(angle), math.sin(angle)
        corners = [(-a, -b), (a, -b), (a, b), (-a, b * 0.9 if angle else b)]
        result.append([[round(x + p * c - q * s), round(y + p * s + q * c)] for p, q in corners])
    return np.array(result, np.float32)


def crop_polys() -> list[np.ndarray]:
    """Polygons (n, 2) int32 around words on arcs."""
    result = []
    for x, y, radius, thick, start, end, points in [(60, 60, 30, 12, 3.6, 5.6, 5), (50, 30, 60, 9, 1.2, 1.9, 4)]:
        angles = np.linspace(start, end, points)
        rim = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        outline = np.concatenate([rim * radius, rim[::-1] * (radius - thick)]) + np.array([x, y])
        result.append(np.round(outline).astype(np.int32))
    return result


def det_sizes() -> list[tuple[int, int, int, str]]:
    """height, width, limit_side_len, limit_type: few large ones, as the official code resizes for real."""
    rng = np.random.default_rng(6)
    sides = [1, 5, 31, 32, 33, 47, 48, 49, 63, 64, 80, 112, 200, 333, 640, 959, 960, 961, 1500]
    rows = [(h, w, 960, "max") for h, w in zip(sides, sides[::-1], strict=True)]
    rows += [(int(h), int(w), 736, "min") for h, w in rng.integers(200, 1300, (12, 2))]
    rows += [(int(h), int(w), int(limit), "max") for h, w, limit in rng.integers(20, 1300, (40, 3))]
    rows += [(int(h), int(w), int(limit), "resize_long") for h, w, limit in rng.integers(20, 800, (20, 3))]
    rows += [(h, w, 64, "min") for h, w in ((1, 1), (20, 43), (20, 44), (31, 32), (32, 32), (10, 300), (64, 65))]
    return rows


LIMITED_SIZES = [(1, 20000, 736, "min"), (20000, 1, 736, "min"), (700, 5000, 736, "min"), (30, 900, 64, "min")]
DET_PICTURES = [(7, 45, 61, 96, "min"), (8, 70, 100, 64, "max"), (9, 21, 30, 64, "max"), (10, 64, 96, 960, "max")]
LINES = [(11, 20, 90), (12, 48, 300), (13, 31, 17), (14, 60, 400), (15, 25, 171), (16, 3, 1), (17, 7, 52)]
CLS_LINES = [(18, 20, 50), (19, 30, 200), (20, 48, 192), (21, 9, 1)]
DOCS = [(22, 300, 217), (23, 100, 333), (24, 256, 256)]
WIDE_LINES = [(25, 10, 900), (26, 12, 805), (27, 3, 200), (28, 3, 199)]

WORD_LINES = [
    "Hello, world 3.14 state-of-the-art!",
    "北京大学 PKU 1898年",
    "价格:￥12.50元/kg",
    "a-b -c 1. x.",
    "中",
    "中 文",
    "...",
    "x",
    "   ",
    "3.x 3.5 v2.0-beta é-1",
    "竖排文字测试abc",
]


def word_cases() -> Iterator[tuple[str, np.ndarray, int, float, np.ndarray]]:
    """Text, CTC column of each character, all columns, part of them that is no padding, (4, 2) int16 box."""
    rng = np.random.default_rng(29)
    for text in WORD_LINES:
        for vertical in (False, True):
            steps = int(rng.integers(max(40, len(text) + 1), 120))
            columns = np.sort(rng.choice(steps, len(text), replace=False))
            x, y = (int(v) for v in rng.integers(0, 300, 2))
            long, short = (int(v) for v in rng.integers([200, 12], [700, 40]))
            width, height = (short, long) if vertical else (long, short)
            tilt = int(rng.integers(0, 6))
            box = np.array([[x, y], [x + width, y + tilt], [x + width, y + height + tilt], [x, y + height]], np.int16)
            yield text, columns, steps, float(rng.choice([1.0, 0.8, 0.55])), box
