"""Pages with texts, and inputs of losses, for the detectors PSENet, CentripetalText, FCENet and DRRG."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

Arrays = dict[str, np.ndarray]
SIZE = (160, 192)
DEGREE = 5
CHANNELS = 2  # of DRRG's features


def arc(center: tuple[float, float], radii: tuple[float, float], points: int, start: float, end: float) -> np.ndarray:
    """The outline of a text on a circle, its outer edge first."""
    angles = np.linspace(start, end, points)
    ways = np.stack([-np.cos(angles), -np.sin(angles)], axis=1)
    return np.concatenate([center + ways * radii[1], (center + ways * radii[0])[::-1]])


def pages() -> Iterator[tuple[list[np.ndarray], list[bool]]]:
    """Outlines (n, 2) float64, and which of them are not to be learnt."""
    quads = [
        [[10, 10], [90, 14], [88, 40], [8, 34]],
        [[100, 20], [150, 20], [150, 26], [100, 26]],
        [[110, 60], [170, 40], [180, 70], [120, 92]],
        [[-6, 60], [40, 58], [40, 76], [-6, 78]],  # leaves the page
        [[140, 110], [185, 112], [184, 138], [139, 135]],
        [[20.3, 90.2], [40.7, 90.9], [40.1, 150.2], [20.8, 149.3]],  # upright
        [[60, 110], [63, 110], [63, 111], [60, 111]],  # too small for a kernel
    ]
    yield [np.array(quad, float) for quad in quads], [False] * 4 + [True, False, False]
    yield [arc((96, 130), (60, 110), 7, 0.0, np.pi)], [False]
    small = arc((60.5, 80.2), (20.3, 50.1), 5, 0.3, 2.5), arc((140, 60), (14, 30), 6, 0.0, 3.0)
    yield [*small, np.array([[70.0, 120], [180, 118], [181, 150], [71, 153]])], [False, True, False]
    yield [np.array([[20.0, 20], [170, 30], [166, 90], [16, 80]])], [False]
    yield [], []


def kernel_case() -> Arrays:
    """PSENet: "maps" (2, 7, 8, 10); "kernels" (2, 7, 32, 40), "mask" (2, 32, 40)."""
    rng = np.random.default_rng(11)
    kernels, mask = np.zeros((2, 7, 32, 40), np.uint8), np.ones((2, 32, 40), np.uint8)
    for number in range(7):
        kernels[0, number, 4 + number : 22 - number, 4 + number : 30 - number] = 1
        kernels[1, number, 12 + number : 28 - number, 18 + number : 36 - number] = 1
    mask[0, 24:, :12] = mask[1, :8, 20:] = 0
    return {"maps": rng.normal(0, 2, (2, 7, 8, 10)).astype(np.float32), "kernels": kernels, "mask": mask}


def shift_case() -> Arrays:
    """CentripetalText: "maps" (2, 3, 10, 10); the maps of its target maker for pictures of 40 x 40."""
    rng = np.random.default_rng(12)
    size = (2, 40, 40)
    texts, kernels = np.zeros(size, np.int32), np.zeros(size, np.int32)
    for number, (top, left) in enumerate([(2, 3), (22, 20)], 1):
        texts[:, top : top + 14, left : left + 16] = number
        kernels[:, top + 4 : top + 10, left + 4 : left + 12] = number
    mask = ((texts == 0) | (kernels > 0)).astype(np.int32)
    shift_mask = np.ones(size, np.int32)
    shift_mask[1, 22:36, 20:36] = mask[1, 22:36, 20:36] = 0
    shifts = rng.normal(0, 0.3, (2, *size)).transpose(1, 0, 2, 3).astype(np.float32)
    maps = rng.normal(0, 1, (2, 3, 10, 10)).astype(np.float32)
    found = {"maps": maps, "texts": texts, "kernels": kernels, "mask": mask, "shift_mask": shift_mask}
    return found | {"shifts": np.ascontiguousarray(shifts)}


def contour_case() -> Arrays:
    """FCENet: "classes_i", "contours_i" and "maps_i" of three levels, on the last of which there is no text."""
    rng = np.random.default_rng(13)
    found: Arrays = {}
    for level, side in enumerate((8, 5, 3)):
        found[f"classes_{level}"] = rng.normal(0, 2, (2, 4, side, side)).astype(np.float32)
        found[f"contours_{level}"] = rng.normal(0, 1, (2, 22, side, side)).astype(np.float32)
        maps = rng.normal(0, 1, (2, 25, side, side)).astype(np.float32)
        maps[:, 0] = 0
        maps[:, 0, 1:4, : side - 1] = level < 2
        maps[:, 1] = maps[:, 0] * (rng.random((2, side, side)) < 0.5)
        maps[:, 2] = rng.random((2, side, side)) < 0.8
        found[f"maps_{level}"] = maps
    return found


def link_case() -> Arrays:
    """DRRG: "features" (2, C, 32, 36) and "maps" (2, 6, 32, 36), the maps of its target maker, "components" (2, 40, 7)
    with "count"."""
    rng = np.random.default_rng(14)
    size = (2, 32, 36)
    found = {"features": rng.normal(0, 1, (2, CHANNELS, 32, 36)), "maps": rng.normal(0, 1, (2, 6, 32, 36))}
    text, center = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    text[:, 4:16, 3:30] = center[:, 8:12, 5:28] = 1
    mask = np.ones(size, np.uint8)
    mask[:, 20:28, 10:30] = 0
    found |= {"text": text, "center": center, "mask": mask}
    found |= {name: rng.uniform(1, 9, size) * center for name in ("above", "below")}
    angle = rng.uniform(-3, 3, size)
    found |= {"sin": np.sin(angle) * center, "cos": np.cos(angle) * center}
    count = np.array([40, 31])
    components = np.zeros((2, 40, 7))
    for picture, some in enumerate(count):
        turn = rng.uniform(-3, 3, some)
        places = rng.uniform(-1, (37, 33), (some, 2))
        sides = rng.uniform((4, 8), (20, 16), (some, 2))
        numbers = rng.integers(0, 3, some)
        components[picture, :some] = np.column_stack([places, sides, np.cos(turn), np.sin(turn), numbers])
    found["components"] = components
    found = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in found.items()}
    return found | {"count": count}


def link_weights() -> Arrays:
    """Parameters of a graph network for `link_case`, of linear layers as Paddle has them."""
    rng = np.random.default_rng(15)
    widths = (12 * (CHANNELS + 6) + 120, 512, 256, 128, 64)
    found: Arrays = {}
    for number, (before, after) in enumerate(itertools.pairwise(widths), 1):
        found[f"conv{number}.weight"] = rng.normal(0, before**-0.5, (2 * before, after))
        found[f"conv{number}.bias"] = rng.normal(0, 0.1, after)
    found |= {"classifier.0.weight": rng.normal(0, 0.125, (64, 32)), "classifier.0.bias": rng.normal(0, 0.1, 32)}
    found |= {"classifier.1._weight": rng.uniform(0.1, 0.4, 32), "classifier.2.weight": rng.normal(0, 0.18, (32, 2))}
    found["classifier.2.bias"] = np.zeros(2)
    return {name: array.astype(np.float32) for name, array in found.items()}
