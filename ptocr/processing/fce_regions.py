"""FCENet postprocessing (arXiv 2104.10442): text contours from Fourier coefficients.

Upstream: ppocr/postprocess/fce_postprocess.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ptocr.processing.geometry import clip_points, filter_quads, padded_size
from ptocr.processing.image import filled
from ptocr.processing.polygon_nms import suppressed
from ptocr.spec.settings import FCEPostprocess

FAR = 2.0**24  # pixels: contours of untrained networks end there


def fce_regions(
    maps: Sequence[np.ndarray], size: tuple[int, int], post: FCEPostprocess
) -> tuple[list[np.ndarray], list[float]]:
    """Text polygons of FCENet's maps in the picture, and their scores.

    maps: for one picture a map (4 + coefficients, h, w) of each level, as `FCEHead` makes them; size: (height, width)
    of the picture before it was resized. Quads as of `db_regions`.
    """
    levels = [_contours(level, scale, post) for level, scale in zip(maps, post.scales, strict=True)]
    polys, scores = (np.concatenate(parts) for parts in zip(*levels, strict=True))
    best = suppressed(polys, scores, post.nms_thresh)
    best = best[scores[best] >= post.box_thresh]
    corners = polys[best] if post.box_type == "poly" else _quads(polys[best])
    ratio = np.array(padded_size(*size)[::-1]) / (np.array(maps[0].shape[:0:-1]) * post.scales[0])
    found, sure = (corners * ratio).astype(np.float32), scores[best].tolist()
    if post.box_type == "poly":
        return [clip_points(poly, size) for poly in found], sure
    quads, kept = filter_quads(found, size)
    return list(quads), [sure[i] for i in kept.tolist()]


def _contours(level: np.ndarray, scale: int, post: FCEPostprocess) -> tuple[np.ndarray, np.ndarray]:
    """The best contours (n, k, 2) int32 of a level, in pixels of the network's input, and their scores (n,)."""
    score = level[1] ** post.alpha * level[3] ** post.beta
    count, regions = cv2.connectedComponents(filled(score > post.thresh).astype(np.uint8), connectivity=8)
    rows, columns = np.nonzero((regions > 0) & (score > 0))  # of holes too, as upstream
    real, imaginary = np.split(level[4:, rows, columns].T.astype(np.float64), 2, axis=1)
    coefficients = real + 1j * imaginary
    coefficients[:, post.fourier_degree] += columns + 1j * rows
    polys, scores = _drawn(coefficients * scale, post.num_reconstr_points), score[rows, columns].astype(np.float64)
    owner = regions[rows, columns]
    kept = []
    for region in range(1, count):
        own = np.flatnonzero(owner == region)
        kept.append(own[suppressed(polys[own], scores[own], post.nms_thresh)])
    best = np.concatenate([*kept, np.zeros(0, np.int64)])
    best = best[suppressed(polys[best], scores[best], post.nms_thresh)]
    return polys[best], scores[best]


def _drawn(coefficients: np.ndarray, points: int) -> np.ndarray:
    """Contours (n, points, 2) int32 of Fourier coefficients (n, 2 * degree + 1), the lowest frequency first."""
    degree = coefficients.shape[1] // 2
    spectrum = np.zeros((len(coefficients), points), complex)
    spectrum[:, : degree + 1] = coefficients[:, degree:]
    spectrum[:, -degree:] = coefficients[:, :degree]
    contours = np.fft.ifft(spectrum, axis=1) * points
    return np.clip(np.stack([contours.real, contours.imag], axis=2), -FAR, FAR).astype(np.int32)


def _quads(polys: np.ndarray) -> np.ndarray:
    """The smallest rectangles around polygons (n, k, 2), on whole pixels: (n, 4, 2)."""
    boxes = [cv2.boxPoints(cv2.minAreaRect(poly.astype(np.float32))).astype(np.int64) for poly in polys]
    return np.array(boxes, np.int64).reshape(-1, 4, 2)
