"""Non-maximum suppression of polygons of many corners. Upstream: ppocr/utils/poly_nms.py."""

from __future__ import annotations

import numpy as np
import pyclipper

from ptocr.processing.near_boxes import NearBoxes, suppressed_by


def suppressed(polys: np.ndarray, scores: np.ndarray, thresh: float) -> np.ndarray:
    """Of polygons that overlap by more than `thresh` (intersection over union) the best stays.

    polys: (n, k, 2) int32; scores: (n,). Returns the numbers of those that stay, the best first.
    """
    near = NearBoxes(polys.min(1, initial=2**31 - 1), polys.max(1, initial=-(2**31)))
    areas = _areas(polys.astype(np.float64))
    order = np.argsort(scores, kind="stable")[::-1]
    return suppressed_by(order, near, lambda a, b: _overlap(polys, areas, a, b) > thresh)


def _areas(polys: np.ndarray) -> np.ndarray:
    """Areas within polygons (n, k, 2); what is gone around the other way counts against the rest."""
    after = np.roll(polys, -1, axis=1)
    return np.abs((polys[:, :, 0] * after[:, :, 1] - polys[:, :, 1] * after[:, :, 0]).sum(axis=1)) / 2


def _overlap(polys: np.ndarray, areas: np.ndarray, a: int, b: int) -> float:
    """Intersection over union of two of the polygons."""
    clipper = pyclipper.Pyclipper()
    try:
        clipper.AddPath(polys[a].tolist(), pyclipper.PT_SUBJECT, True)
        clipper.AddPath(polys[b].tolist(), pyclipper.PT_CLIP, True)
    except pyclipper.ClipperException:  # without any area
        return 0.0
    paths = clipper.Execute(pyclipper.CT_INTERSECTION, pyclipper.PFT_NONZERO, pyclipper.PFT_NONZERO)
    common = sum(pyclipper.Area(path) for path in paths)
    union = areas[a] + areas[b] - common
    return float(common / union) if union > 0 else 0.0
