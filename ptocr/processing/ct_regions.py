"""CentripetalText postprocessing (arXiv 2107.05945): text regions of the pixels that are shifted to a kernel.

Upstream: ppocr/postprocess/ct_postprocess.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ptocr.processing.geometry import clip_points, filter_quads, padded_size
from ptocr.processing.image import sigmoid
from ptocr.spec.settings import CTPostprocess

STRIDE = 4  # the network's input is so many times as high and wide as its maps
REACH = 2.5  # pixels of the maps that one unit of a shift is
SHRINK = 0.85  # rectangles are drawn in to so much of their size


def ct_regions(
    maps: Sequence[np.ndarray], size: tuple[int, int], post: CTPostprocess
) -> tuple[list[np.ndarray], list[float]]:
    """Text polygons of CentripetalText's maps in the picture, and their scores.

    maps: for one picture (3, H / 4, W / 4), logits of the kernels and shifts in x and y; size: (height, width) of the
    picture before it was resized. Quads as of `db_regions`.
    """
    logits, shifts = np.asarray(maps[0][0], np.float32), np.asarray(maps[0][1:3], np.float32)
    labels, means = _regions(logits, shifts, post)
    extent = np.array(padded_size(*size)[::-1])
    ratio = extent / (np.array(labels.shape[::-1]) * STRIDE)
    polys, scores = [], []
    for label, left, top, mask in _masks(labels, post.min_area / STRIDE**2):
        if means[label] >= post.box_thresh:
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            shape = _rectangle if post.box_type == "quad" else _outline
            polys.append(shape(contours, np.array([left, top]) * STRIDE, ratio).astype(np.int32))
            scores.append(float(means[label]))
    if post.box_type == "poly":
        return [clip_points(poly, size) for poly in polys], scores
    quads, kept = filter_quads(np.array(polys), size)
    return list(quads), [scores[i] for i in kept.tolist()]


def _regions(logits: np.ndarray, shifts: np.ndarray, post: CTPostprocess) -> tuple[np.ndarray, np.ndarray]:
    """The region of every pixel (h, w), 0 for none, and the mean probability of each region's kernel."""
    count, kernels = cv2.connectedComponents((logits > post.thresh).astype(np.uint8), connectivity=4)
    sizes = np.bincount(kernels.ravel(), minlength=count)
    kernels = np.where(sizes[kernels] >= post.min_kernel, kernels, 0)
    probs = sigmoid(logits)
    means = np.bincount(kernels.ravel(), weights=probs.ravel(), minlength=count) / np.maximum(sizes, 1)
    height, width = logits.shape
    x = np.clip((np.arange(width, dtype=np.float32) + REACH * shifts[0]).astype(np.int32), 0, width - 1)
    y = np.clip((np.arange(height, dtype=np.float32)[:, None] + REACH * shifts[1]).astype(np.int32), 0, height - 1)
    return np.where(kernels > 0, kernels, kernels[y, x]), means


def _masks(labels: np.ndarray, least: float) -> list[tuple[int, int, int, np.ndarray]]:
    """Of every region of at least so many pixels its label, the left and top of its surroundings, and its mask there in
    the size of the network's input."""
    rows, columns = np.nonzero(labels)
    order = np.argsort(labels[rows, columns], kind="stable")
    pixels = np.stack([columns, rows], axis=1)[order]
    names, counts = np.unique(labels[rows, columns], return_counts=True)
    found = []
    for name, inside in zip(
        names.tolist(), np.split(pixels, np.cumsum(counts)[:-1]) if len(names) else (), strict=True
    ):
        if len(inside) >= least:
            (left, top), (right, bottom) = inside.min(0), inside.max(0) + 1
            mask = (labels[top:bottom, left:right] == name).astype(np.uint8)
            found.append((name, left, top, mask.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)))
    return found


def _outline(contours: Sequence[np.ndarray], offset: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """The first contour as a polygon in the picture."""
    return (contours[0].reshape(-1, 2) + offset) * ratio


def _rectangle(contours: Sequence[np.ndarray], offset: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """The smallest rectangle around contours, in the picture, drawn in a little."""
    points = np.concatenate([contour.reshape(-1, 2) for contour in contours]) + offset
    box = cv2.boxPoints(cv2.minAreaRect(points.astype(np.int32))) * ratio
    middle = box.mean(axis=0)
    return middle + (box - middle) * SHRINK
