"""Locality-aware non-maximum suppression: text quads from the maps of EAST (arXiv 1704.03155).

Upstream: ppocr/postprocess/east_postprocess.py, locality_aware_nms.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pyclipper

from ptocr.processing.geometry import filter_quads
from ptocr.spec.settings import EASTPostprocess

STRIDE = 4  # the network's input is so many times as high and wide as its maps
SCALE = 2.0**12  # steps per pixel where quads are clipped in whole numbers
MIN_SIDE = 5.0  # pixels of the picture: quads with a shorter first or last side are dropped


def east_regions(
    maps: Sequence[np.ndarray], size: tuple[int, int], post: EASTPostprocess
) -> tuple[list[np.ndarray], list[float]]:
    """Text quads of EAST's maps in the picture, and their scores.

    maps: for one picture the score (1, H / 4, W / 4) and the offsets of the corners (8, H / 4, W / 4) in pixels of the
    network's input; size: (height, width) of the picture before it was resized. Quads as of `db_regions`.
    """
    score, offsets = maps[0][0], maps[1]
    rows, columns = np.nonzero(score > post.thresh)
    corners = np.tile(np.stack([columns, rows], axis=1) * STRIDE, 4) - offsets[:, rows, columns].T
    boxes = np.column_stack([corners, score[rows, columns]]).astype(np.float32).astype(np.float64)
    boxes = suppressed(merged_along_rows(boxes, post.nms_thresh), post.nms_thresh)
    scores = [_mean_inside(score, box) for box in boxes]
    ratio = np.array(size[::-1], np.float64) / (np.array(score.shape[::-1], np.float64) * STRIDE)
    quads, kept = [], []
    for box, mean in zip(boxes, scores, strict=True):
        quad = _from_top_left((box[:8].reshape(4, 2) * ratio).astype(np.int32))
        sides = np.linalg.norm(quad[[0, 3]] - quad[[1, 0]], axis=1)
        if mean > post.box_thresh and sides.min() >= MIN_SIDE:
            quads.append(quad)
            kept.append(mean)
    ordered, places = filter_quads(np.array(quads), size)
    return list(ordered), [kept[i] for i in places.tolist()]


def merged_along_rows(boxes: np.ndarray, thresh: float) -> np.ndarray:
    """Merge each quad with the one before it, weighted by their scores, as long as they overlap.

    boxes: (n, 9) float64, eight coordinates and a score, in the order of their pixels. Returns (m, 9).
    """
    merged: list[np.ndarray] = []
    last: np.ndarray | None = None
    for box in boxes:
        if last is not None and _overlap(box, last) > thresh:
            total = box[8] + last[8]
            last = np.append((box[8] * box[:8] + last[8] * last[:8]) / total, total)
        else:
            merged.append(box)
            last = box
            continue
        merged[-1] = last
    return np.array(merged).reshape(-1, 9)


def suppressed(boxes: np.ndarray, thresh: float) -> np.ndarray:
    """Non-maximum suppression: of quads that overlap by more than `thresh` the best stays; (n, 9) -> (m, 9)."""
    left = np.argsort(boxes[:, 8])[::-1]
    corners = boxes[:, :8].reshape(-1, 4, 2)
    low, high = corners.min(1, initial=np.inf), corners.max(1, initial=-np.inf)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        near = np.flatnonzero(((low[left] <= high[best]) & (high[left] >= low[best])).all(1))
        twins = [place for place in near if _overlap(boxes[best], boxes[left[place]]) > thresh]
        left = np.delete(left, twins)
    return boxes[kept]


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two quads."""
    if (a[0:8:2].min() > b[0:8:2].max()) or (b[0:8:2].min() > a[0:8:2].max()):
        return 0.0
    if (a[1:8:2].min() > b[1:8:2].max()) or (b[1:8:2].min() > a[1:8:2].max()):
        return 0.0
    first, second = a[:8].reshape(4, 2).astype(np.float32), b[:8].reshape(4, 2).astype(np.float32)
    if cv2.isContourConvex(first) and cv2.isContourConvex(second):
        common = cv2.intersectConvexConvex(first, second)[0]
        union = cv2.contourArea(first) + cv2.contourArea(second) - common
    else:
        common, union = _clipped(first, second)
    return common / union if union else 0.0


def _clipped(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Areas of intersection and union of quads of any form, also with crossing edges, which unsure networks make."""
    areas = []
    for kind in (pyclipper.CT_INTERSECTION, pyclipper.CT_UNION):
        clipper = pyclipper.Pyclipper()
        try:
            clipper.AddPath(pyclipper.scale_to_clipper(first.tolist(), SCALE), pyclipper.PT_SUBJECT, True)
            clipper.AddPath(pyclipper.scale_to_clipper(second.tolist(), SCALE), pyclipper.PT_CLIP, True)
        except pyclipper.ClipperException:  # without any area
            return 0.0, 0.0
        paths = clipper.Execute(kind, pyclipper.PFT_NONZERO, pyclipper.PFT_NONZERO)
        areas.append(sum(pyclipper.Area(path) for path in paths) / SCALE**2)
    return areas[0], areas[1]


def _mean_inside(score: np.ndarray, box: np.ndarray) -> float:
    """Mean of the score map inside a quad of the network's input."""
    mask = np.zeros(score.shape, np.uint8)
    cv2.fillPoly(mask, [box[:8].reshape(4, 2).astype(np.int32) // STRIDE], 1)
    return cv2.mean(score, mask)[0]


def _from_top_left(quad: np.ndarray) -> np.ndarray:
    """The corners (4, 2) from the one with the least x + y on, along the longer way to the right."""
    turned: np.ndarray = np.roll(quad, -int(np.argmin(quad.sum(1))), axis=0)
    across, down = np.abs(turned[0] - turned[1])
    return turned if across > down else turned[[0, 3, 2, 1]]
