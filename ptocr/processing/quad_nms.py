"""Locality-aware non-maximum suppression of quads (EAST, arXiv 1704.03155).

Upstream: ppocr/postprocess/locality_aware_nms.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pyclipper

SCALE = 2.0**12  # steps per pixel where quads are clipped in whole numbers


def merged_along_rows(boxes: np.ndarray, thresh: float) -> np.ndarray:
    """Merge each quad with the one before it, weighted by their scores, as long as they overlap.

    boxes: (n, 9) float64, eight coordinates and a score, in the order of their pixels. Returns (m, 9).
    """
    quads, convex = _forms(boxes)
    merged: list[list[float]] = []
    last: list[float] = []
    last_quad, last_convex = np.zeros((4, 2), np.float32), False
    # plain numbers: of arrays as small as these, NumPy's calls would take most of the time
    for box, quad, is_convex in zip(boxes.tolist(), quads, convex.tolist(), strict=True):
        both = is_convex and last_convex  # which are compared faster than their surroundings
        if last and (both or not _apart(box, last)) and _overlap(quad, last_quad, both) > thresh:
            total = box[8] + last[8]
            last = [(box[8] * a + last[8] * b) / total for a, b in zip(box[:8], last[:8], strict=True)]
            last.append(total)
            merged[-1] = last
            last_quad = np.array(last[:8], np.float32).reshape(4, 2)
            last_convex = cv2.isContourConvex(last_quad)
        else:
            merged.append(box)
            last, last_quad, last_convex = box, quad, is_convex
    return np.array(merged).reshape(-1, 9)


def suppressed(boxes: np.ndarray, thresh: float) -> np.ndarray:
    """Non-maximum suppression: of quads that overlap by more than `thresh` the best stays; (n, 9) -> (m, 9)."""
    quads, convex = _forms(boxes)
    left = np.argsort(boxes[:, 8])[::-1]
    corners = boxes[:, :8].reshape(-1, 4, 2)
    low, high = corners.min(1, initial=np.inf), corners.max(1, initial=-np.inf)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        near = np.flatnonzero(((low[left] <= high[best]) & (high[left] >= low[best])).all(1))
        others = left[near]
        both = (convex[others] & convex[best]).tolist()
        twins = [
            place
            for place, other, is_convex in zip(near.tolist(), others.tolist(), both, strict=True)
            if _overlap(quads[best], quads[other], is_convex) > thresh
        ]
        left = np.delete(left, twins)
    return boxes[kept]


def _forms(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The quads of boxes (n, 9) as (n, 4, 2) float32, and which are convex, as OpenCV says."""
    quads = boxes[:, :8].reshape(-1, 4, 2).astype(np.float32)
    return quads, np.array([cv2.isContourConvex(quad) for quad in quads], bool)


def _apart(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether the upright boxes around two quads do not touch."""
    return (
        min(a[0], a[2], a[4], a[6]) > max(b[0], b[2], b[4], b[6])
        or min(b[0], b[2], b[4], b[6]) > max(a[0], a[2], a[4], a[6])
        or min(a[1], a[3], a[5], a[7]) > max(b[1], b[3], b[5], b[7])
        or min(b[1], b[3], b[5], b[7]) > max(a[1], a[3], a[5], a[7])
    )


def _overlap(first: np.ndarray, second: np.ndarray, convex: bool) -> float:
    """Intersection over union of two quads (4, 2) float32. convex: both are."""
    if convex:
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
