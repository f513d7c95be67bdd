"""Curved text, as on seals, made straight: the strip along an arc becomes a line picture."""

from __future__ import annotations

import cv2
import numpy as np

from ptocr.processing.geometry import Crop, crop_poly
from ptocr.processing.image import rotate180

_STRAIGHT = 0.75  # of its smallest rectangle, which an outline fills that needs no straightening
_LEAST_ARC = np.radians(30)  # below which a line is straight enough
_STEPS = 4  # of finding the centre
_RAYS = 360  # a full turn
_SIDE = 512  # pixels of the longer side of the outline while it is measured


def crop_curved(image: np.ndarray, poly: np.ndarray) -> Crop:
    """Cut out the text in an outline (n, 2) and bend it straight where it follows an arc, else as `crop_poly`.

    Letters of an arc stand on its inner side, as at the top of a seal; of arcs that hang down on the outer side.
    """
    arc = _arc(np.asarray(poly, np.float64).reshape(-1, 2))
    if arc is None:
        return crop_poly(image, poly)
    centre, angles, inner, outer = arc
    height = max(2, round(float(np.median(outer - inner))))
    length = float(np.mean(outer + inner) / 2 * (angles[-1] - angles[0]))
    across = np.linspace(0, len(angles) - 1, max(2, round(length)))
    rays = np.interp(across, np.arange(len(angles)), angles)
    low, high = (np.interp(across, np.arange(len(angles)), side) for side in (inner, outer))
    radii = np.linspace(high, low, height)  # (height, width): the outer side on top
    points = centre + radii[..., None] * np.stack([np.cos(rays), np.sin(rays)], axis=-1)
    strip = _sampled(image, points)
    middle = float(angles[0] + angles[-1]) / 2
    return Crop(rotate180(strip) if np.sin(middle) > 0.5 and angles[-1] - angles[0] < np.pi else strip, False)


def _sampled(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The picture at points (h, w, 2), taken from around them: OpenCV remaps no sides beyond 32767 pixels."""
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(points.min(axis=(0, 1))) - 2, 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(points.max(axis=(0, 1))) + 3, (x0 + 1, y0 + 1), (width, height)).astype(int)
    xs, ys = np.moveaxis(points - (x0, y0), 2, 0).astype(np.float32, order="C")
    return cv2.remap(image[y0:y1, x0:x1], xs, ys, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _arc(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """(centre, angles clockwise, inner radii, outer radii) of an outline that lies around a centre, None for others."""
    (_, sides, _) = cv2.minAreaRect(points.astype(np.float32))
    if len(points) < 6 or cv2.contourArea(points.astype(np.float32)) >= _STRAIGHT * sides[0] * sides[1]:
        return None
    start = points.min(axis=0) - 1
    scale = _SIDE / max(float(np.ptp(points, axis=0).max()), 1.0)
    size = np.ceil((points.max(axis=0) - start + 2) * scale).astype(int)
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [np.rint((points - start) * scale).astype(np.int32)], 1)
    middles = np.argwhere(mask)[:, ::-1].astype(np.float64)
    for _ in range(_STEPS):
        centre = _centre(middles)
        measured = None if centre is None else _measured(mask, centre)
        if centre is None or measured is None:
            return None
        angles, inner, outer = measured
        middles = centre + (inner + outer)[:, None] / 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if centre is None or angles[-1] - angles[0] < _LEAST_ARC or inner.min() <= 0:
        return None
    return centre / scale + start, angles, _smooth(inner) / scale, _smooth(outer) / scale


def _centre(points: np.ndarray) -> np.ndarray | None:
    """The centre of the circle through points (n, 2), by least squares; None where they lie on a line."""
    mean = points.mean(axis=0)
    around = points - mean
    terms = np.column_stack([around, np.ones(len(around))])
    solution, _, rank, _ = np.linalg.lstsq(terms, (around**2).sum(axis=1), rcond=None)
    return None if rank < 3 else mean + solution[:2] / 2


def _measured(mask: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Where rays from a centre enter and leave a mask (h, w) of ones: angles, inner and outer radii, (n,) each."""
    ys, xs = np.nonzero(mask)
    around = np.stack([xs, ys], axis=1) - centre
    radii = np.hypot(*around.T)
    share = np.arctan2(around[:, 1], around[:, 0]) / (2 * np.pi) % 1
    bins = np.minimum((share * _RAYS).astype(int), _RAYS - 1)
    inner, outer = np.full(_RAYS, np.inf), np.zeros(_RAYS)
    np.minimum.at(inner, bins, radii)
    np.maximum.at(outer, bins, radii)
    hit = np.flatnonzero(outer)
    gaps = np.diff(np.append(hit, hit[0] + _RAYS))
    if len(hit) < 3 or gaps.max() < 2:  # all around: the centre lies within, or there is no start
        return None
    hit = np.roll(hit, -int(gaps.argmax()) - 1)
    angles = np.unwrap((hit + 0.5) * 2 * np.pi / _RAYS)
    return angles, inner[hit], outer[hit]


def _smooth(radii: np.ndarray) -> np.ndarray:
    """Radii along an arc without the slant of its two ends: a median, then a parabola."""
    steps = np.linspace(-1, 1, len(radii))
    inside = np.abs(steps) < 0.9
    return np.polyval(np.polyfit(steps[inside], radii[inside], 2 if inside.sum() > 8 else 0), steps)
