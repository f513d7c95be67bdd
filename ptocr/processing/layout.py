"""Layout networks: their input, and regions of a page from scores and boxes.

Upstream: ppdet/modeling/layers.py (MultiClassNMS), ppdet/modeling/post_process.py (DETRPostProcess).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ptocr.processing.image import checked, normalize
from ptocr.spec.tasks import DETRPostprocess, LayoutPostprocess, LayoutPreprocess, RegionPostprocess

INTERPOLATIONS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


@dataclass(frozen=True, eq=False)
class Region:
    """A region of a page: index and name of its class, probability, x0, y0, x1, y1 in pixels, (4,) float64, and how
    late it is read where the model says so."""

    index: int
    label: str
    score: float
    box: np.ndarray
    place: float | None = None

    @property
    def area(self) -> float:
        """In square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


def layout_input(image: np.ndarray, pre: LayoutPreprocess) -> np.ndarray:
    """(H, W, 3) uint8 BGR -> float32 of `pre.image_shape`."""
    _, height, width = pre.image_shape
    norm = pre.normalize
    resized = cv2.resize(checked(image), (width, height), interpolation=INTERPOLATIONS[pre.interpolation])
    return normalize(resized, norm.mean, norm.std, norm.scale, norm.order)


def layout_regions(
    outputs: Sequence[np.ndarray], size: tuple[int, int], pre: LayoutPreprocess, post: RegionPostprocess
) -> list[Region]:
    """The regions of a picture: in reading order where the model says it, else in the order of what chooses them.

    outputs: scores (cells or queries, classes), boxes (cells or queries, 4) in pixels of the network's input and
    perhaps how late each is read; size: (height, width) of the picture.
    """
    scores, boxes, *order = outputs
    height, width = size
    scale = np.array([width, height] * 2) / np.array([*pre.image_shape[:0:-1]] * 2)
    limit = np.array([width, height] * 2)
    found = CHOICES[type(post)](scores, boxes * scale, post)
    regions = [
        Region(index, post.labels[index], float(scores[cell, index]), np.clip(boxes[cell] * scale, 0, limit), *place)
        for index, cell in found
        for place in [[float(part[cell]) for part in order]]
    ]
    return in_order(regions)


def in_order(regions: list[Region]) -> list[Region]:
    """Regions as they are read, where the model says it; else as they are."""
    return sorted(regions, key=lambda region: region.place or 0.0)


def best_of_classes(scores: np.ndarray, boxes: np.ndarray, post: LayoutPostprocess) -> list[tuple[int, int]]:
    """(class, cell) of what is left of (cells, classes) scores and (cells, 4) boxes, by class and falling score."""
    left = []
    for index, column in enumerate(scores.T):
        cells = np.flatnonzero(column > post.least(index))
        cells = cells[np.argsort(-column[cells], kind="stable")][: post.nms_top_k]
        left += [(index, int(cells[i])) for i in suppress(boxes[cells], post.nms_threshold)]
    kept = sorted(left, key=lambda pair: -scores[pair[1], pair[0]])[: post.keep_top_k]
    return sorted(kept, key=lambda pair: pair[0])


def best_of_queries(scores: np.ndarray, boxes: np.ndarray, post: DETRPostprocess) -> list[tuple[int, int]]:
    """(class, query) of the largest of (queries, classes) scores, by falling score. boxes say nothing here."""
    flat = scores.ravel()
    best = np.argsort(-flat, kind="stable")[: post.top_k]
    pairs = ((int(place) % scores.shape[1], int(place) // scores.shape[1]) for place in best)
    return [(index, query) for index, query in pairs if scores[query, index] > post.least(index)]


# By the class of the settings.
CHOICES: dict[type[RegionPostprocess], Callable[[np.ndarray, np.ndarray, Any], list[tuple[int, int]]]] = {
    LayoutPostprocess: best_of_classes,
    DETRPostprocess: best_of_queries,
}


def suppress(boxes: np.ndarray, threshold: float) -> list[int]:
    """Greedy non-maximum suppression: which boxes (n, 4), the best first, overlap no better one by more than
    `threshold` (intersection over union)."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order, kept = np.arange(len(boxes)), []
    while len(order):
        first, order = int(order[0]), order[1:]
        kept.append(first)
        shared = np.minimum(boxes[order, 2:], boxes[first, 2:]) - np.maximum(boxes[order, :2], boxes[first, :2])
        overlap = np.clip(shared, 0, None).prod(axis=1)
        union = np.maximum(areas[order] + areas[first] - overlap, 1e-9)
        order = order[overlap / union <= threshold]
    return kept


def without_doubles(regions: list[Region], label: str, share: float = 0.5) -> list[Region]:
    """The regions without those of a class that overlap a likelier one of it by more than a share of the smaller."""
    kept: list[Region] = []
    for region in sorted(regions, key=lambda region: -region.score):
        rivals = [other for other in kept if other.label == region.label == label]
        if not any(shared_area(region, other) > share * min(region.area, other.area) for other in rivals):
            kept.append(region)
    return [region for region in regions if any(region is other for other in kept)]


def shared_area(region: Region, other: Region) -> float:
    """Square pixels that lie in both regions."""
    sides = np.minimum(region.box[2:], other.box[2:]) - np.maximum(region.box[:2], other.box[:2])
    return float(np.clip(sides, 0, None).prod())
