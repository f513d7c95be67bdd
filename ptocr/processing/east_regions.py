"""EAST postprocessing (arXiv 1704.03155): text quads that every pixel votes for.

Upstream: ppocr/postprocess/east_postprocess.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ptocr.processing.geometry import filter_quads, padded_size
from ptocr.processing.quad_nms import merged_along_rows, suppressed
from ptocr.spec.settings import EASTPostprocess

STRIDE = 4  # the network's input is so many times as high and wide as its maps
MIN_SIDE = 5.0  # pixels of the picture: quads with a shorter first or last side are dropped


def east_regions(
    maps: Sequence[np.ndarray], size: tuple[int, int], post: EASTPostprocess
) -> tuple[list[np.ndarray], list[float]]:
    """Text quads of EAST's maps in the picture, and their scores.

    maps: for one picture the score (1, H / 4, W / 4) and the offsets of the corners (8, H / 4, W / 4) in pixels of the
    network's input; size: (height, width) of the picture before it was resized. Quads as of `db_regions`.
    """
    score, offsets = maps[0][0], maps[1]
    rows, columns = np.nonzero(score > post.thresh)
    corners = np.tile(np.stack([columns, rows], axis=1) * STRIDE, 4) - offsets[:, rows, columns].T
    boxes = np.column_stack([corners, score[rows, columns]]).astype(np.float32).astype(np.float64)
    boxes = suppressed(merged_along_rows(boxes, post.nms_thresh), post.nms_thresh)
    scores = [_mean_inside(score, box) for box in boxes]
    ratio = np.array(padded_size(*size)[::-1], np.float64) / (np.array(score.shape[::-1], np.float64) * STRIDE)
    quads, kept = [], []
    for box, mean in zip(boxes, scores, strict=True):
        quad = _from_top_left((box[:8].reshape(4, 2) * ratio).astype(np.int32))
        sides = np.linalg.norm(quad[[0, 3]] - quad[[1, 0]], axis=1)
        if mean > post.box_thresh and sides.min() >= MIN_SIDE:
            quads.append(quad)
            kept.append(mean)
    ordered, places = filter_quads(np.array(quads), size)
    return list(ordered), [kept[i] for i in places.tolist()]


def _mean_inside(score: np.ndarray, box: np.ndarray) -> float:
    """Mean of the score map inside a quad of the network's input."""
    corners = box[:8].reshape(4, 2).astype(np.int32) // STRIDE
    height, width = score.shape
    left, top = np.clip(corners.min(axis=0), 0, (width - 1, height - 1))
    right, bottom = np.clip(corners.max(axis=0), 0, (width - 1, height - 1)) + 1
    mask = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(mask, [corners - (left, top)], 1)
    return cv2.mean(score[top:bottom, left:right], mask)[0]


def _from_top_left(quad: np.ndarray) -> np.ndarray:
    """The corners (4, 2) from the one with the least x + y on, along the longer way to the right."""
    turned: np.ndarray = np.roll(quad, -int(np.argmin(quad.sum(1))), axis=0)
    across, down = np.abs(turned[0] - turned[1])
    return turned if across > down else turned[[0, 3, 2, 1]]
