"""Training targets of DRRG (arXiv 2003.07493): maps of a text's middle, and components along it for the graph network.

The maps are equal to what upstream's DRRGTargets gives, and the components, before they are changed at random, where
none of those that overlap are equally good (tests/train/test_kernel_targets.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ptocr.data.augment_det import PageSample
from ptocr.data.augment_windows import SquareAugment
from ptocr.data.label_settings import AugmentPart
from ptocr.data.targets.base_targets import Arrays, PageAugment, PageTargets
from ptocr.data.targets.sidelines import EPS, band, lengths, sidelines
from ptocr.processing.drrg_components import WIDTHS, corners_around
from ptocr.processing.quad_nms import merged_along_rows, suppressed

STEP = 8.0  # pixels between points along a text
NARROW = 0.3  # of a text's height that its middle has
SHAPE = 0.3  # width of a component by its height
OVERLAP = 0.25  # from which on components are one
FEWEST, MOST = 9, 600  # components of a page
HALF = (8.0, 24.0)  # pixels above and below the middle of components that lie on no text
JITTER = 0.2  # largest change of a component, as a share of it

Maps = dict[str, np.ndarray]


class DRRGMaps(PageTargets):
    """The maps of the DRRG loss, and the components of which its graph network learns."""

    def augment(self, part: AugmentPart) -> PageAugment:
        return SquareAugment(part)

    def __call__(self, page: PageSample, rng: np.random.Generator) -> Arrays:
        """The maps of `drrg_maps`; "components" (600, 7) as `components` gives them, behind the last one zeros; "count"
        of them."""
        maps, lines = drrg_maps(page.polys, page.ignore, page.image.shape[:2])
        found = components(maps, lines, rng)
        padded = np.pad(found, ((0, MOST - len(found)), (0, 0)))
        return {**maps, "components": padded, "count": len(found)}


def drrg_maps(
    polys: Sequence[np.ndarray], ignore: Sequence[bool], size: tuple[int, int]
) -> tuple[Maps, list[np.ndarray]]:
    """Maps of a page of `size` (height, width), and the middle line (n, 2) int32 of each text.

    polys: (n, 2) pixel points each; ignore: which do not count.
    "text", "center" (the middle of a text), "mask" (where the loss counts): uint8; "sin", "cos" of the way from
    a text's lower to its upper edge, "above", "below" (pixels to these edges): float32. Upstream means to leave out
    ignored texts, but compares NumPy's truth values by `is`, and learns them; and it shortens the middle at both ends
    by the length of the text where its height is meant, which the bound of the width makes harmless.
    """
    maps = {name: np.zeros(size, np.uint8) for name in ("text", "center", "mask")}
    maps |= {name: np.zeros(size, np.float32) for name in ("sin", "cos", "above", "below")}
    maps["mask"][:] = 1
    lines = []
    for poly, skip in zip(polys, ignore, strict=True):
        cv2.fillPoly(maps["mask" if skip else "text"], [poly.astype(np.int32)], 0 if skip else 1)
        if not skip:
            top, center, bottom = _lines(poly.astype(np.float64))
            lines.append(center.astype(np.int32))
            _draw(maps, top, bottom, band(top, center, bottom, NARROW))
    return maps, lines


def _lines(outline: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (n, 2) along the upper edge, the middle and the lower edge of a text, from left to right or downwards."""
    top, bottom = sidelines(outline)
    ends = [np.clip(np.linalg.norm(top[end] - bottom[end]) * SHAPE, *WIDTHS) / 2 for end in (0, -1)]
    count = max(int((lengths(top)[1][-1] + lengths(bottom)[1][-1]) / 2 / STEP) + 1, 3)
    top, bottom = _points(top, count), _points(bottom, count)[::-1]
    center = (top + bottom) / 2
    x, y = center[-1] - center[0]
    if (y if abs(y / (x + EPS)) > 2 else x) < 0:
        top, center, bottom = top[::-1], center[::-1], bottom[::-1]
    before, behind = (int(end // STEP) for end in ends)
    if count > before + behind + 2:
        top, center, bottom = (line[before : count - behind] for line in (top, center, bottom))
    return top, center, bottom


def _points(line: np.ndarray, count: int) -> np.ndarray:
    """`count` points at equal distances along a line (n, 2); shares are rounded as upstream's, on which pixels hang."""
    edges, upto = lengths(line)
    places = np.arange(1, count - 1, dtype=np.float32) * (upto[-1] / (count - 1))
    edge = np.searchsorted(upto[1:-1], places)
    shares = np.stack([upto[edge + 1] - places, places - upto[edge]], axis=1).astype(np.float32)
    shares = shares / (edges[edge] + EPS)[:, None]
    inner = shares[:, :1] * line[edge] + shares[:, 1:] * line[edge + 1]
    return np.concatenate([line[:1], inner, line[-1:]])


def _draw(maps: Maps, top: np.ndarray, bottom: np.ndarray, boxes: np.ndarray) -> None:
    """A text's middle into the maps; boxes: (n - 1, 4, 2) between the n points of its edges."""
    height, width = maps["center"].shape
    up = (top[:-1] + top[1:]) / 2 - (bottom[:-1] + bottom[1:]) / 2
    up = up / (np.linalg.norm(up, axis=1, keepdims=True) + EPS)
    for number, (box, (cos, sin)) in enumerate(zip(boxes, up.tolist(), strict=True)):
        cv2.fillPoly(maps["center"], [box], 1)
        cv2.fillPoly(maps["sin"], [box], sin)
        cv2.fillPoly(maps["cos"], [box], cos)
        box = np.clip(box, 0, (width - 1, height - 1))
        (left, upper), (right, lower) = box.min(axis=0), box.max(axis=0)
        inside = np.zeros((lower - upper + 1, right - left + 1), np.uint8)
        cv2.fillPoly(inside, [box - (left, upper)], 1)
        rows, columns = np.nonzero(inside)
        pixels = np.stack([columns + left, rows + upper], axis=1)
        for name, edge in (("above", top), ("below", bottom)):
            maps[name][pixels[:, 1], pixels[:, 0]] = _distances(pixels, edge[number], edge[number + 1])


def _distances(pixels: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distances (n,) of pixels (n, 2) from the line through two points."""
    (x, y), away = end - start, pixels - start
    return np.abs(x * away[:, 1] - y * away[:, 0]) / (np.hypot(x, y) + EPS)


def components(maps: Maps, lines: Sequence[np.ndarray], rng: np.random.Generator, jitter: float = JITTER) -> np.ndarray:
    """Text components (n, 7) float32 along the middle lines, changed at random, and others that lie on no text until
    there are nine: x, y, height, width, cosine, sine, and the number of the connected middle, 0 for no text."""
    line = np.zeros_like(maps["center"])
    cv2.polylines(line, list(lines), False, 1, 1)
    y, x = np.nonzero(line * maps["center"])
    angle = maps["sin"][y, x], maps["cos"][y, x]
    corners = corners_around(y, x, angle, maps["above"][y, x], maps["below"][y, x], SHAPE)
    scored = np.column_stack([corners, np.ones(len(y))]).astype(np.float64)
    boxes = suppressed(merged_along_rows(scored, OVERLAP), OVERLAP)
    height, width = line.shape
    corners = np.clip(boxes[:, :8].reshape(-1, 4, 2), 0, (width - 1, height - 1))
    x, y = corners.mean(axis=1).astype(np.int32).T
    tall = maps["above"][y, x] + maps["below"][y, x]
    _, numbers = cv2.connectedComponents(maps["center"], connectivity=8)
    rows = [x, y, tall, np.clip(tall * SHAPE, *WIDTHS), maps["cos"][y, x], maps["sin"][y, x], numbers[y, x]]
    found = _changed(np.stack(rows, axis=1), rng, jitter)
    if len(found) < FEWEST:
        found = np.concatenate([found, _elsewhere(FEWEST - len(found), maps["text"] == 0, rng)])
    return found[:MOST].astype(np.float32)


def _changed(found: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Components (n, 7) moved, stretched and turned at random."""
    x, y, tall, wide, cos, sin, number = found.T
    moves = (rng.random((6, len(found))) - 0.5) * amount
    x = x + moves[0] * (tall * np.abs(cos) + wide * np.abs(sin))
    y = y + moves[1] * (tall * np.abs(sin) + wide * np.abs(cos))
    cos, sin = cos + 2 * moves[4], sin + 2 * moves[5]
    scale = np.sqrt(1 / (cos**2 + sin**2 + 1e-8))
    return np.stack([x, y, tall * (1 + moves[2]), wide * (1 + moves[3]), cos * scale, sin * scale, number], axis=1)


def _elsewhere(count: int, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Components (count, 7) of any size and angle whose middles lie well within what is free of text.

    Upstream fails where there is no such place; here they may then touch a text or the page's edge.
    """
    height, width = free.shape
    low, high = HALF
    if 2 * _reach(high) + 1 > min(free.shape):
        high = max(min(free.shape) / 4, WIDTHS[0] / 2 + 1)
        low = max(high / 4, WIDTHS[0] / 2)
    margin, size = _reach(high), int(np.clip(high, 7, 21))
    inner = np.zeros(free.shape, np.uint8)
    inner[margin : height - margin, margin : width - margin] = free[margin : height - margin, margin : width - margin]
    well = cv2.erode(inner, np.ones((size, size), np.uint8))
    places = next(p for p in (np.argwhere(well), np.argwhere(free), np.argwhere(free | True)) if len(p))
    places = places[rng.integers(len(places), size=count)]
    tall = rng.integers(int(low), int(high), size=(2, count)).sum(axis=0)
    cos, sin = 2 * rng.random((2, count)) - 1
    scale = np.sqrt(1 / (cos**2 + sin**2 + 1e-8))
    wide = np.clip(tall * SHAPE, *WIDTHS)
    return np.stack([places[:, 1], places[:, 0], tall, wide, cos * scale, sin * scale, np.zeros(count)], axis=1)


def _reach(half: float) -> int:
    """Pixels from the middle of a component to beyond its corners."""
    return int(np.hypot(half, np.clip(2 * half * SHAPE, *WIDTHS) / 2)) + 1
