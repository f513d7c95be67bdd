"""Locality-aware non-maximum suppression of quads (EAST, arXiv 1704.03155).

Upstream: ppocr/postprocess/locality_aware_nms.py.
"""

from __future__ import annotations

import cv2
import numpy as np
import pyclipper

SCALE = 2.0**12  # steps per pixel where quads are clipped in whole numbers


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
