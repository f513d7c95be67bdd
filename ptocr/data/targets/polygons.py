"""Areas, outlines and offsets of polygons, for the targets of detectors."""

from __future__ import annotations

import numpy as np
import pyclipper


def signed_area(poly: np.ndarray) -> float:
    """Shoelace area of (n, 2) points; positive when they run clockwise on the screen."""
    x, y = np.asarray(poly, np.float64).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def perimeter(poly: np.ndarray) -> float:
    """Length of the closed outline of (n, 2) points."""
    poly = np.asarray(poly, np.float64)
    return float(np.linalg.norm(poly - np.roll(poly, -1, axis=0), axis=1).sum())


def offset_distance(poly: np.ndarray, ratio: float) -> float:
    """How far a polygon is moved in or out for a shrink ratio (DB paper, equation 10)."""
    return abs(signed_area(poly)) * (1 - ratio**2) / perimeter(poly)


def offset(poly: np.ndarray, distance: float) -> list[np.ndarray]:
    tool = pyclipper.PyclipperOffset()
    tool.AddPath([tuple(p) for p in poly], pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    return [np.array(p).reshape(-1, 2) for p in tool.Execute(distance)]
