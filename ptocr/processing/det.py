"""Detector input and DB postprocessing."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pyclipper

from ptocr.errors import InputError
from ptocr.processing.ct_regions import ct_regions
from ptocr.processing.drrg_regions import drrg_regions
from ptocr.processing.east_regions import east_regions
from ptocr.processing.fce_regions import fce_regions
from ptocr.processing.geometry import SHORTEST, clip_points, filter_quads, min_area_quad, padded_size
from ptocr.processing.image import checked, normalize, resize
from ptocr.processing.pse_regions import pse_regions
from ptocr.processing.sast_regions import sast_regions
from ptocr.spec.settings import DBPostprocess, DetPreprocess

log = logging.getLogger(__name__)


def det_size(
    height: int,
    width: int,
    limit_side_len: int = 960,
    limit_type: str = "max",
    max_side_limit: int = 4000,
    max_pixels: int = 0,
    stride: int = SHORTEST,
    rounding: str = "nearest",
) -> tuple[int, int]:
    """Height and width of the network input, multiples of `stride` (upstream: DetResizeForTest; PaddleX's limit).

    limit_type "max": the longer side is shrunk to the limit; "min": the shorter side is enlarged to it; "resize_long",
    "resize_short": the longer or the shorter side gets it. No side exceeds `max_side_limit`, and the area does not
    exceed `max_pixels` (0: no limit), by more than rounding, whatever the limit type asks for.
    """
    height, width = padded_size(height, width)
    if limit_type == "max":
        ratio = min(1.0, limit_side_len / max(height, width))
    elif limit_type == "min":
        ratio = max(1.0, limit_side_len / min(height, width))
    elif limit_type == "resize_long":
        ratio = limit_side_len / max(height, width)
    elif limit_type == "resize_short":
        ratio = limit_side_len / min(height, width)
    else:
        raise InputError(f"limit_type {limit_type!r}: known are 'max', 'min', 'resize_long', 'resize_short'")
    half = 0.5 if limit_type == "resize_short" else 0.0  # upstream: ScaleAlignedShort
    height, width = int(height * ratio + half), int(width * ratio + half)
    if max(height, width) > max_side_limit:
        ratio = max_side_limit / max(height, width)
        height, width = int(height * ratio), int(width * ratio)
    if 0 < max_pixels < height * width:
        ratio = math.sqrt(max_pixels / (height * width))
        height, width = int(height * ratio), int(width * ratio)
    return _to_stride(height, stride, rounding), _to_stride(width, stride, rounding)


def _to_stride(side: int, stride: int, rounding: str) -> int:
    steps = -(-side // stride) if rounding == "up" else round(side / stride)  # halves to the even multiple, as upstream
    return max(steps, 1) * stride


def resize_det(
    image: np.ndarray,
    limit_side_len: int = 960,
    limit_type: str = "max",
    max_side_limit: int = 4000,
    max_pixels: int = 0,
    stride: int = SHORTEST,
    rounding: str = "nearest",
) -> np.ndarray:
    """The picture in the size that `det_size` gives; pictures with height + width < 64 are padded with black first."""
    height, width = checked(image).shape[:2]
    full = padded_size(height, width)
    if full != (height, width):
        image = cv2.copyMakeBorder(image, 0, full[0] - height, 0, full[1] - width, cv2.BORDER_CONSTANT)
    height, width = det_size(height, width, limit_side_len, limit_type, max_side_limit, max_pixels, stride, rounding)
    return resize(image, width, height)


def det_input(image: np.ndarray, pre: DetPreprocess, out: np.ndarray | None = None) -> np.ndarray:
    """Network input of a page: float32 (3, H, W), written into `out` if given."""
    limits = (pre.limit_side_len, pre.limit_type, pre.max_side_limit, pre.max_pixels)
    image = resize_det(image, *limits, pre.stride, pre.rounding)
    norm = pre.normalize
    return normalize(image, norm.mean, norm.std, norm.scale, norm.order, out)


Regions = tuple[list[np.ndarray], list[float]]  # polygons (n, 2) in pixels, and their scores


def db_regions(maps: Sequence[np.ndarray], size: tuple[int, int], post: DBPostprocess) -> Regions:
    """Text polygons of a DB probability map in the picture, and their scores, as upstream's text detector returns them.

    maps: the network's outputs for one picture, the first (1, H, W) probabilities; size: (height, width) of the picture
    before `resize_det`. Quads are ordered clockwise from the top left, clipped, and dropped where a side is 3 px or
    less; polygons are clipped only. Upstream scales boxes of padded pictures (height + width < 64) as if these had not
    been padded; here they are where the text is.
    """
    polys, scores = db_candidates(maps[0][0], padded_size(*size), post)
    if post.box_type == "poly":
        return [clip_points(p, size) for p in polys], scores
    quads, kept = filter_quads(np.array(polys), size)
    return list(quads), [scores[i] for i in kept.tolist()]


# Postprocessing of detectors by the name in a spec: (outputs for one picture, its size, settings) -> regions. DRRG's
# also wants its graph network; `ptocr.runtime.linking` gives each what it needs.
REGIONS: dict[str, Callable[..., Regions]] = {
    "db": db_regions,
    "ct": ct_regions,
    "drrg": drrg_regions,
    "east": east_regions,
    "fce": fce_regions,
    "pse": pse_regions,
    "sast": sast_regions,
}


def db_candidates(prob: np.ndarray, size: tuple[int, int], post: DBPostprocess) -> Regions:
    """All boxes of a map (H, W) that pass the thresholds, in upstream's and PaddleX's raw form: (n, 2) int32, rounded.

    size: (height, width) of the picture that was resized to the map's size.
    """
    prob = np.ascontiguousarray(prob, dtype=np.float32)
    mask: np.ndarray = (prob > post.thresh).view(np.uint8)
    if post.use_dilation:
        mask = np.asarray(cv2.dilate(mask, np.ones((2, 2), np.uint8)))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    left_out = sum(min(cv2.boundingRect(contour)[2:]) >= post.min_size for contour in contours[post.max_candidates :])
    if left_out:
        log.warning(
            "a page with more regions than are looked at: %d are left out (text_det_max_candidates=%d)",
            left_out,
            post.max_candidates,
        )
    find = _quad if post.box_type == "quad" else _poly
    polys, scores = [], []
    for contour in contours[: post.max_candidates]:
        poly, score = find(prob, contour, post)
        if len(poly):
            polys.append(poly)
            scores.append(score)
    return _rescale(polys, prob.shape, size), scores


def _quad(prob: np.ndarray, contour: np.ndarray, post: DBPostprocess) -> tuple[np.ndarray, float]:
    """Grown box of a contour, (4, 2) float32 in pixels of the map, or (0, 2) if it fails, and its score."""
    quad, side = min_area_quad(contour)
    if side < post.min_size:
        return _NOTHING, 0.0
    score = _mean_inside(prob, quad if post.score_mode == "fast" else contour.reshape(-1, 2).tolist())
    if score < post.box_thresh:
        return _NOTHING, score
    grown = _unclip(quad, post.unclip_ratio)
    if len(grown) == 0:
        return _NOTHING, score
    quad, side = min_area_quad(grown)
    return (_NOTHING if side < post.min_size + 2 else np.array(quad, np.float32)), score


def _poly(prob: np.ndarray, contour: np.ndarray, post: DBPostprocess) -> tuple[np.ndarray, float]:
    """Grown outline of a contour, (n, 2) int32 in pixels of the map, or (0, 2) if it fails, and its score."""
    outline = cv2.approxPolyDP(contour, 0.002 * cv2.arcLength(contour, True), True).reshape(-1, 2).tolist()
    if len(outline) < 4:
        return _NOTHING, 0.0
    score = _mean_inside(prob, outline)
    if score < post.box_thresh:
        return _NOTHING, score
    grown = _unclip(outline, post.unclip_ratio)
    if len(grown) == 0 or min_area_quad(grown)[1] < post.min_size + 2:
        return _NOTHING, score
    return grown, score


_NOTHING = np.zeros((0, 2), np.int32)
_NOTHING.flags.writeable = False


def _rescale(polys: list[np.ndarray], shape: tuple[int, ...], size: tuple[int, int]) -> list[np.ndarray]:
    """Points of the map to pixels of the picture, rounded: divided in the points' precision, multiplied in double."""
    if not polys:
        return []
    points = np.concatenate(polys)
    extent = np.array(size[::-1], np.float64)
    ratio = points / np.array(shape[::-1], np.float32 if points.dtype == np.float32 else np.float64)
    points = np.clip(np.round(ratio * extent), 0, extent).astype(np.int32)
    return np.split(points, np.cumsum([len(p) for p in polys[:-1]]))


def _mean_inside(prob: np.ndarray, points: list[list[float]]) -> float:
    """Mean of the map inside a polygon; only the polygon's surroundings are touched."""
    height, width = prob.shape
    xs, ys = zip(*points, strict=True)
    x0, x1 = (max(0, min(x, width - 1)) for x in (math.floor(min(xs)), math.ceil(max(xs))))
    y0, y1 = (max(0, min(y, height - 1)) for y in (math.floor(min(ys)), math.ceil(max(ys))))
    mask = np.zeros((y1 - y0 + 1, x1 - x0 + 1), np.uint8)
    corners = np.array([[int(x - x0), int(y - y0)] for x, y in points], np.int32)  # towards zero, as upstream
    cv2.fillPoly(mask, [corners], 1)
    return cv2.mean(prob[y0 : y1 + 1, x0 : x1 + 1], mask)[0]


def _unclip(points: list[list[float]], ratio: float) -> np.ndarray:
    """Grow a polygon by area * ratio / perimeter with round joins (Vatti clipping): (n, 2) int32.

    (0, 2) if nothing or more than one polygon comes out, which upstream drops too.
    """
    area, perimeter = _area_and_perimeter(points)
    if perimeter == 0:
        return _NOTHING
    offset = pyclipper.PyclipperOffset()
    try:
        offset.AddPath(points, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
        grown = offset.Execute(area * ratio / perimeter)
    except pyclipper.ClipperException:  # fewer than three different corners
        return _NOTHING
    return np.array(grown[0], np.int32) if len(grown) == 1 else _NOTHING


def _area_and_perimeter(points: list[list[float]]) -> tuple[float, float]:
    """Both added up in the order of GEOS, which upstream uses: an offset of 12.5 or of 12.499999 makes another polygon.

    (`sum` would not do: from Python 3.12 on it compensates rounding errors.)
    """
    area = perimeter = 0.0
    start = before = points[0]
    for point, after in zip(points[1:] + points[:1], points[2:] + points[:2], strict=True):
        area += (point[0] - start[0]) * (before[1] - after[1])
        dx, dy = point[0] - before[0], point[1] - before[1]
        perimeter += math.sqrt(dx * dx + dy * dy)
        before = point
    return abs(area) / 2, perimeter
