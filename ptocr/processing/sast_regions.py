"""SAST postprocessing (arXiv 1908.05498): text polygons from centre lines and the borders around them.

Upstream: ppocr/postprocess/sast_postprocess.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ptocr.processing.geometry import clip_points, filter_quads, padded_size
from ptocr.processing.quad_nms import merged_along_rows, suppressed
from ptocr.spec.settings import SASTPostprocess

STRIDE = 4  # the network's input is so many times as high and wide as its maps
MIN_AREA, MIN_SIDE = 5.0, 3.0  # pixels of the maps: smaller quads are dropped
REACH = (0.5, 3.0)  # pixels of the maps: a border is moved outwards by at least and at most so much
PAIRS_AT_ONCE = 1 << 20  # distances computed together: bounds the memory


def sast_regions(
    maps: Sequence[np.ndarray], size: tuple[int, int], post: SASTPostprocess
) -> tuple[list[np.ndarray], list[float]]:
    """Text polygons of SAST's maps in the picture, and their scores: the mean over the pixels of the centre line.

    maps: for one picture the score (1, h, w) of centre lines and the offsets, in pixels of the maps, of borders
    (4, h, w), corners (8, h, w) and centres (2, h, w); size: (height, width) of the picture before it was resized.
    Quads as of `db_regions`.
    """
    score, borders, corners, centers = maps[0][0], *maps[1:4]
    rows, columns = np.nonzero(score > post.thresh)
    pixels, sure = np.stack([columns, rows], axis=1), score[rows, columns]
    votes = np.column_stack([np.tile(pixels, 4) - corners[:, rows, columns].T, sure]).astype(np.float64)
    quads = suppressed(merged_along_rows(votes, post.nms_thresh), post.nms_thresh)[:, :8].reshape(-1, 4, 2)
    if not len(quads):
        return [], []
    owner = _nearest(pixels - centers[:, rows, columns].T, quads.mean(axis=1))
    members = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner, minlength=len(quads)))[:-1])
    ratio = np.array(padded_size(*size)[::-1], np.float64) / np.array(score.shape[::-1], np.float64)
    polys, scores = [], []
    for quad, own in zip(quads, members, strict=True):
        if _is_text(quad, sure[own], post.box_thresh):
            poly = widened(_outline(quad, pixels[own], borders, post) * ratio, post.outline[2])
            polys.append(np.clip(poly, 0, size[::-1]))
            scores.append(float(sure[own].mean()))
    if post.box_type == "poly":
        return [clip_points(poly, size) for poly in polys], scores
    kept, places = filter_quads(np.array(polys), size)
    return list(kept), [scores[i] for i in places.tolist()]


def _nearest(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Of each point (n, 2) the number of the nearest centre (m, 2)."""
    parts = np.array_split(points, len(points) * len(centers) // PAIRS_AT_ONCE + 1)
    return np.concatenate([np.linalg.norm(part[:, None] - centers, axis=2).argmin(axis=1) for part in parts])


def _is_text(quad: np.ndarray, scores: np.ndarray, thresh: float) -> bool:
    """Whether a quad (4, 2) is large enough and holds enough sure pixels, of which `scores` are given."""
    after = np.roll(quad, -1, axis=0)
    area = -((after[:, 0] - quad[:, 0]) * (after[:, 1] + quad[:, 1])).sum() / 2
    sides = np.linalg.norm(quad[:2] - quad[1:3], axis=1)
    return bool(area >= MIN_AREA and sides.min() >= MIN_SIDE and len(scores) and scores.sum() / area >= thresh)


def _outline(quad: np.ndarray, pixels: np.ndarray, borders: np.ndarray, post: SASTPostprocess) -> np.ndarray:
    """The polygon (2k, 2) in pixels of the maps around the centre line that `pixels` (n, 2) of a quad make."""
    count, expand, _ = post.outline
    left, right = (quad[0] + quad[3]) / 2, (quad[1] + quad[2]) / 2
    along = pixels @ ((right - left) / (np.linalg.norm(right - left) + 1e-6))
    pixels = pixels[np.argsort(along, kind="stable")]
    points = _spread(pixels, count or _points_by_length(quad, pixels))
    offsets = borders[:, points[:, 1], points[:, 0]].T.reshape(-1, 2, 2)[:, :, ::-1].astype(np.float64)  # (k, 2, xy)
    pairs = points[:, None] + outwards(offsets, expand)
    return np.concatenate([pairs[:, 0], pairs[::-1, 1]])


def outwards(offsets: np.ndarray, expand: float) -> np.ndarray:
    """Offsets (k, 2, 2) from a centre line to the borders, longer by `expand`, within `REACH`."""
    if expand == 1.0:
        return offsets
    lengths = np.linalg.norm(offsets, axis=2, keepdims=True)
    further = np.clip(lengths * (expand - 1), *REACH)
    return offsets + np.divide(offsets, lengths, out=np.zeros_like(offsets), where=lengths > 0) * further


def _spread(pixels: np.ndarray, count: int) -> np.ndarray:
    """So many of the pixels, evenly spread from the first to the last."""
    return pixels[np.linspace(0, len(pixels) - 1, count, dtype=np.float32).astype(np.int32)]


def _points_by_length(quad: np.ndarray, pixels: np.ndarray) -> int:
    """How many points the centre line of these pixels, in their order, deserves: one for every height."""
    top, right, bottom, left = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    dense = _spread(pixels, max(2, int((top + bottom) / 2)))
    return max(2, int(np.linalg.norm(np.diff(dense, axis=0), axis=1).sum() / ((left + right) / 2)))


def widened(poly: np.ndarray, share: float) -> np.ndarray:
    """The polygon (2k, 2) with its ends moved outwards by so many times the height of its first and last but one edge,
    as upstream has it."""
    half, result = len(poly) // 2, poly.copy()
    for near, far, edge in (
        ([0, -1], [1, -2], [0, -1]),
        ([half - 1, half], [half - 2, half + 1], [half - 2, half + 1]),
    ):
        height, length = np.linalg.norm(poly[edge[0]] - poly[edge[1]]), np.linalg.norm(poly[near[0]] - poly[far[0]])
        result[near] += (poly[near] - poly[far]) * (share * height / (length + 1e-6))
    return result
