"""Locality-aware non-maximum suppression of quads (EAST, arXiv 1704.03155).

Upstream: ppocr/postprocess/locality_aware_nms.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot

import cv2
import numpy as np
import pyclipper

from ptocr.processing.near_boxes import NearBoxes, suppressed_by

SCALE = 2.0**12  # steps per pixel where quads are clipped in whole numbers


def merged_along_rows(boxes: np.ndarray, thresh: float) -> np.ndarray:
    """Merge each quad with the one before it, weighted by their scores, as long as they overlap.

    boxes: (n, 9) float64, eight coordinates and a score, in the order of their pixels. Returns (m, 9).
    """
    merged: list[list[float]] = []
    last: list[float] = []
    quads = boxes[:, :8].reshape(-1, 4, 2).astype(np.float32)
    # plain numbers: of arrays as small as these, NumPy's calls would take most of the time
    for box, quad, reach in zip(boxes.tolist(), quads, _sure_reach(boxes, thresh).tolist(), strict=True):
        if last and (_distance(box, last) < reach or _overlap(quad, _quad(last)) > thresh):
            total = box[8] + last[8]
            new, old = box[8] / total, last[8] / total
            last = [new * a + old * b for a, b in zip(box, last, strict=True)]
            last[8] = total
            merged[-1] = last
        else:
            last = box
            merged.append(box)
    return np.array(merged).reshape(-1, 9)


def _sure_reach(boxes: np.ndarray, thresh: float) -> np.ndarray:
    """How far the corners of another quad may be from those of each box (n, 9), so that both surely overlap by more
    than `thresh`, (n,); 0 for quads that are not convex.

    A quad whose corners are within d of those of a convex one, with area A and perimeter P, holds what lies deeper than
    d in it, at least A - P d, and lies within what d reaches around it, A + P d + pi d^2. So their intersection over
    union is more than t where A - P d > t (A + 2 P d + pi d^2).
    """
    corners = boxes[:, :8].reshape(-1, 4, 2)
    sides = np.roll(corners, -1, axis=1) - corners
    after = np.roll(sides, -1, axis=1)
    turns = sides[..., 0] * after[..., 1] - sides[..., 1] * after[..., 0]
    convex = (turns > 0).all(axis=1) | (turns < 0).all(axis=1)
    area = np.abs(turns[:, 0] + turns[:, 2]) / 2
    linear, square = np.linalg.norm(sides, axis=2).sum(axis=1) * (1 + 2 * thresh), np.pi * thresh
    constant = area * (1 - thresh)
    root = np.sqrt(linear**2 + 4 * square * constant)
    reach = np.divide(2 * constant, linear + root, out=np.zeros_like(area), where=convex)
    return reach * 0.999  # far more than rounding takes


def _distance(a: Sequence[float], b: Sequence[float]) -> float:
    """The largest distance between corners of the same number of two boxes."""
    return max(
        hypot(a[0] - b[0], a[1] - b[1]),
        hypot(a[2] - b[2], a[3] - b[3]),
        hypot(a[4] - b[4], a[5] - b[5]),
        hypot(a[6] - b[6], a[7] - b[7]),
    )


def _quad(box: Sequence[float]) -> np.ndarray:
    """The corners of a box, (4, 2) float32."""
    return np.array(box[:8], np.float32).reshape(4, 2)


def suppressed(boxes: np.ndarray, thresh: float) -> np.ndarray:
    """Non-maximum suppression: of quads that overlap by more than `thresh` the best stays; (n, 9) -> (m, 9)."""
    corners = boxes[:, :8].reshape(-1, 4, 2)
    quads = corners.astype(np.float32)
    near = NearBoxes(corners.min(1, initial=np.inf), corners.max(1, initial=-np.inf))
    order = np.argsort(boxes[:, 8])[::-1]
    return boxes[suppressed_by(order, near, lambda a, b: _overlap(quads[a], quads[b]) > thresh)]


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two quads (4, 2) float32."""
    if cv2.isContourConvex(first) and cv2.isContourConvex(second):
        common = cv2.intersectConvexConvex(first, second)[0]
        union = cv2.contourArea(first) + cv2.contourArea(second) - common
    elif _apart(first, second):  # which is found faster than anything of quads of other forms
        return 0.0
    else:
        common, union = _clipped(first, second)
    return common / union if union else 0.0


def _apart(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the upright boxes around two quads do not touch."""
    return bool((first.min(0) > second.max(0)).any() or (second.min(0) > first.max(0)).any())


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
