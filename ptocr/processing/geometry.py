"""Corners, order and crops of text polygons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ptocr.errors import InputError

SHORTEST = 32  # pixels: the shortest side that detectors get
ROW_TOLERANCE = 10  # pixels; boxes whose first corners differ less in height are in one row
SHORT_MAX = 32767  # OpenCV before 5 refuses to warp from or to larger pictures
QUARTER = 1.5  # regions this many times as high as wide are turned a quarter before they are read


class Crop(NamedTuple):
    """A region cut out and straightened. image: (h, w, 3) uint8; turned: it was turned a quarter to the left then."""

    image: np.ndarray
    turned: bool


def padded_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the canvas that detectors see: tiny pictures are padded to 32 px a side."""
    if height + width < 2 * SHORTEST:
        return max(SHORTEST, height), max(SHORTEST, width)
    return height, width


def min_area_quad(points: np.ndarray) -> tuple[list[list[float]], float]:
    """Smallest rotated rectangle around (n, 2) int32 / float32 points: its corners and its shorter side in pixels.

    The corners start at the upper one of the left pair and go clockwise (upstream: get_mini_boxes).
    """
    rectangle = cv2.minAreaRect(points)
    corners = sorted(cv2.boxPoints(rectangle).tolist(), key=lambda p: p[0])
    left, right = corners[:2], corners[2:]
    # on equal heights upstream takes the second point of a pair as the upper one
    top_left, bottom_left = left if left[1][1] > left[0][1] else left[::-1]
    top_right, bottom_right = right if right[1][1] > right[0][1] else right[::-1]
    return [top_left, top_right, bottom_right, bottom_left], min(rectangle[1])


def order_quads(quads: np.ndarray) -> np.ndarray:
    """(n, 4, 2) corners reordered clockwise from the top left (upstream: order_points_clockwise).

    Top left and bottom right have the smallest and largest x + y; of the other two, top right has the smaller y - x.
    """
    quads = np.asarray(quads)
    rows = np.arange(len(quads))
    total = quads.sum(axis=2)
    first, third = total.argmin(axis=1), total.argmax(axis=1)
    slope = (quads[:, :, 1] - quads[:, :, 0]).astype(np.float64)
    slope[rows, first] = slope[rows, third] = np.inf
    second = slope.argmin(axis=1)
    slope[rows, first] = slope[rows, third] = -np.inf
    fourth = slope.argmax(axis=1)
    return quads[rows[:, None], np.stack([first, second, third, fourth], axis=1)]


def clip_points(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(..., 2) points moved into the picture of `size` (height, width), as int32 (upstream: clip_det_res)."""
    return np.clip(points, 0, (size[1] - 1, size[0] - 1)).astype(np.int32)


def filter_quads(quads: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Order and clip (n, 4, 2) quads and drop those with a side of 3 px or less (upstream: filter_tag_det_res).

    Returns the kept quads as (m, 4, 2) int32 and their indices (m,).
    """
    if len(quads) == 0:
        return np.zeros((0, 4, 2), np.int32), np.zeros(0, np.intp)
    quads = clip_points(order_quads(quads), size)
    sides = quads[:, [1, 3]].astype(np.int64) - quads[:, :1]
    kept = np.flatnonzero(((sides**2).sum(axis=2) >= 16).all(axis=1))  # int(length) > 3
    return quads[kept], kept


def sort_boxes(polys: Sequence[np.ndarray]) -> list[int]:
    """Reading order of polygons as indices: by the first corner, top to bottom, then left to right within a row.

    Upstream's rule (sorted_boxes): sort by (y, x), then let a box pass its predecessors as long as they start less than
    10 px higher and farther right.
    """
    corners = [(float(p[0][1]), float(p[0][0])) for p in polys]
    order = sorted(range(len(corners)), key=corners.__getitem__)
    for start in range(1, len(order)):
        for i in range(start, 0, -1):
            (y0, x0), (y1, x1) = corners[order[i - 1]], corners[order[i]]
            if abs(y1 - y0) >= ROW_TOLERANCE or x1 >= x0:
                break
            order[i - 1], order[i] = order[i], order[i - 1]
    return order


def crop_quad(image: np.ndarray, quad: np.ndarray) -> Crop:
    """Cut out a quad (4, 2), corners clockwise from the top left, and straighten it (perspective warp).

    Cubic warp with repeated border; a crop at least 1.5 times as high as wide is turned counter-clockwise (upstream:
    get_rotate_crop_image). A degenerate quad gives a crop of at least one pixel.
    """
    points = np.asarray(quad, dtype=np.float32)
    if points.shape != (4, 2):
        raise InputError(f"quad: 4 corners (x, y) are needed, got an array of shape {points.shape}")
    width, height = _whole_sides(points)
    crop = _upright(image, points, width, height)
    if crop is None:
        crop = _warp(image, points, width, height)
    turned = height / width >= QUARTER
    return Crop(cv2.rotate(crop, cv2.ROTATE_90_COUNTERCLOCKWISE) if turned else crop, turned)


def _whole_sides(points: np.ndarray) -> tuple[int, int]:
    """Width and height of the crop of a quad (4, 2) float32, in pixels."""
    # lengths in float32, one by one, as upstream has them: the truncation to whole pixels shows the last bit
    a, b, c, d = points
    width = max(int(max(np.linalg.norm(a - b), np.linalg.norm(c - d))), 1)
    return width, max(int(max(np.linalg.norm(a - d), np.linalg.norm(b - c))), 1)


def is_turned(poly: np.ndarray) -> bool:
    """Whether the crop of a polygon (n, 2) is turned a quarter; for lines that come without their `Crop`."""
    width, height = _whole_sides(np.asarray(rectangle(poly), np.float32))
    return height / width >= QUARTER


def rectangle(poly: np.ndarray) -> np.ndarray:
    """The four corners by which a polygon is cut out: a quad's own, those of the smallest rectangle around others."""
    points = np.asarray(poly).reshape(-1, 2)
    return points if len(points) == 4 else np.array(min_area_quad(points.astype(np.int32))[0])


def text_quad(poly: np.ndarray, turned: bool, upside_down: bool = False) -> np.ndarray:
    """Corners of a region in reading direction: top left, top right, bottom right, bottom left of its text; (4, 2).

    poly: (n, 2), clockwise from the upper left in the picture. turned: it was turned a quarter to the left for reading
    (`Crop.turned`); upside_down: and by 180 degrees then.
    """
    return np.roll(np.asarray(rectangle(poly), np.float64), -int(turned) - 2 * int(upside_down), axis=0)


def _upright(image: np.ndarray, points: np.ndarray, width: int, height: int) -> np.ndarray | None:
    """The crop of a rectangle parallel to the picture's sides on whole pixels: what the warp gives, without warping."""
    x, y = points[0].astype(int).tolist()
    corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
    inside = x >= 0 and y >= 0 and x + width <= image.shape[1] and y + height <= image.shape[0]
    return image[y : y + height, x : x + width].copy() if inside and points.tolist() == corners else None


def _warp(image: np.ndarray, points: np.ndarray, width: int, height: int) -> np.ndarray:
    image, points = _near(image, points)
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return cv2.warpPerspective(
        image,
        cv2.getPerspectiveTransform(points, target),
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _near(image: np.ndarray, points: np.ndarray, margin: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Very large pictures are cut to the surroundings of the points, because of OpenCV's limit; others stay."""
    if max(image.shape[:2]) < SHORT_MAX:
        return image, points
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(points.min(axis=0)) - margin, 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(points.max(axis=0)) + margin + 1, (x0 + 1, y0 + 1), (width, height)).astype(int)
    return image[y0:y1, x0:x1], points - np.array([x0, y0], np.float32)


def crop_poly(image: np.ndarray, poly: np.ndarray) -> Crop:
    """Cut out the smallest rotated rectangle around a polygon (n, 2) and straighten it.

    Upstream: get_minarea_rect_crop, used for box type "poly"; PaddleX 3 cuts quads like this too.
    """
    corners, _ = min_area_quad(np.asarray(poly).astype(np.int32))
    return crop_quad(image, np.array(corners, np.float32))


def bounding_boxes(polys: Sequence[np.ndarray]) -> np.ndarray:
    """(n, 4) upright boxes (left, top, right, bottom) of polygons (PaddleX: convert_points_to_boxes)."""
    if len(polys) == 0:
        return np.zeros((0, 4), np.int32)
    return np.array([(*np.min(p, axis=0), *np.max(p, axis=0)) for p in polys])


def box_of(quads: Sequence[np.ndarray]) -> tuple[int, int, int, int]:
    """Upright box around some polygons (n, 2): x0, y0, x1, y1 in whole pixels, at least one pixel large."""
    points = np.concatenate([np.asarray(quad, np.float64).reshape(-1, 2) for quad in quads])
    x0, y0 = np.floor(points.min(axis=0) + 1e-3).astype(int)
    x1, y1 = np.ceil(points.max(axis=0) - 1e-3).astype(int)
    return int(x0), int(y0), int(max(x1, x0 + 1)), int(max(y1, y0 + 1))


def rotate_points(points: np.ndarray, angle: int, size: tuple[int, int]) -> np.ndarray:
    """Where pixels (..., 2) of a picture of `size` (height, width) go when `image.rotate` turns it by `angle`.

    The way back: `rotate_points(points, -angle, size of the turned picture)`.
    """
    height, width = size
    x, y = points[..., 0], points[..., 1]
    turned = {
        0: (x, y),
        90: (y, width - 1 - x),
        180: (width - 1 - x, height - 1 - y),
        270: (height - 1 - y, x),
    }
    if angle % 360 not in turned:
        raise InputError(f"angle {angle}: points are turned by multiples of 90 degrees")
    return np.stack(turned[angle % 360], axis=-1)


def box_corners(box: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """The corners (4, 2) of a box x0, y0, x1, y1, clockwise from the top left."""
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
