"""Progressive scale expansion: text regions from the nested kernels of PSENet (arXiv 1903.12473).

Upstream: ppocr/postprocess/pse_postprocess.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ptocr.processing.geometry import clip_points, filter_quads, padded_size
from ptocr.processing.image import sigmoid
from ptocr.spec.settings import PSEPostprocess

STRIDE = 4  # the network's input is so many times as high and wide as its maps
NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))  # the order decides which region gets a pixel that two reach at once


def grow(kernels: np.ndarray, min_area: float) -> np.ndarray:
    """Connected regions of the smallest kernel, grown breadth first through the larger ones.

    kernels: (K, H, W) masks, largest first. Returns (H, W) int32 labels, 0 for the background. Regions of fewer than
    `min_area` pixels in the smallest kernel are dropped.
    """
    count, seeds = cv2.connectedComponents(kernels[-1].astype(np.uint8), connectivity=4)
    sizes = np.bincount(seeds.ravel(), minlength=count)
    keep = sizes >= min_area
    keep[0] = False
    height, width = seeds.shape
    # a border of one pixel that nothing enters
    labels = np.zeros((height + 2, width + 2), np.int32)
    labels[1:-1, 1:-1] = np.where(keep[seeds], seeds, 0)
    flat = labels.ravel()
    steps = np.array([dy * (width + 2) + dx for dy, dx in NEIGHBOURS])
    front = np.flatnonzero(flat)
    for kernel in kernels[-2::-1]:
        allowed = np.zeros(labels.shape, bool)
        allowed[1:-1, 1:-1] = kernel
        front = _spread(flat, front, allowed.ravel(), steps)
    return labels[1:-1, 1:-1]


def _spread(labels: np.ndarray, front: np.ndarray, allowed: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Grow `labels` in place from the pixels `front` (in the order of a queue) into what is allowed.

    Returns the pixels at the edge: those that reached no new one, in their order.
    """
    edge = []
    while len(front):
        reached = front[:, None] + steps  # (n, 4), in the order in which a queue would look at them
        free = (allowed[reached] & (labels[reached] == 0)).ravel()
        places = np.flatnonzero(free)
        pixels, first = np.unique(reached.ravel()[places], return_index=True)
        order = np.argsort(first)
        taken = places[first[order]]  # the first to reach a pixel gets it
        labels[pixels[order]] = labels[front[taken // 4]]
        active = np.zeros(len(front), bool)
        active[taken // 4] = True
        edge.append(front[~active])
        front = pixels[order]
    return np.concatenate(edge) if edge else front


def pse_regions(
    maps: Sequence[np.ndarray], size: tuple[int, int], post: PSEPostprocess
) -> tuple[list[np.ndarray], list[float]]:
    """Text polygons of PSENet's maps in the picture, and their scores.

    maps: the network's output for one picture, the first (K, H / 4, W / 4) logits of the text and its kernels; size:
    (height, width) of the picture before it was resized. Quads as of `db_regions`.
    """
    logits = np.asarray(maps[0], np.float32)
    factor = STRIDE // post.scale
    if factor > 1:
        shape = (logits.shape[2] * factor, logits.shape[1] * factor)
        logits = np.stack([cv2.resize(one, shape, interpolation=cv2.INTER_LINEAR) for one in logits])
    kernels = logits > post.thresh
    kernels &= kernels[:1]
    labels = grow(kernels, post.min_area)
    score = sigmoid(logits[0])
    polys, scores = _outlines(labels, score, size, post)
    if post.box_type == "poly":
        return [clip_points(poly, size) for poly in polys], scores
    quads, kept = filter_quads(np.array(polys), size)
    return list(quads), [scores[i] for i in kept.tolist()]


def _outlines(
    labels: np.ndarray, score: np.ndarray, size: tuple[int, int], post: PSEPostprocess
) -> tuple[list[np.ndarray], list[float]]:
    """A box or outline (n, 2) int32, in pixels of the picture, of every region that is large and sure enough."""
    counts = np.bincount(labels.ravel())
    sums = np.bincount(labels.ravel(), weights=score.ravel())
    extent = np.array(padded_size(*size)[::-1], np.float64)
    ratio = extent / np.array(labels.shape[::-1], np.float64)
    rows, columns = np.nonzero(labels)
    order = np.argsort(labels[rows, columns], kind="stable")
    points = np.stack([columns, rows], axis=1)[order].astype(np.int32)
    ends = np.cumsum(counts[1:])
    polys, scores = [], []
    for label, end in enumerate(ends, 1):
        mean = float(sums[label] / max(counts[label], 1))
        if counts[label] < post.min_area or mean < post.box_thresh:
            continue
        inside = points[end - counts[label] : end]
        poly = cv2.boxPoints(cv2.minAreaRect(inside)) if post.box_type == "quad" else _contour(inside)
        polys.append(np.clip(np.round(poly * ratio), 0, extent).astype(np.int32))
        scores.append(mean)
    return polys, scores


def _contour(points: np.ndarray) -> np.ndarray:
    """The outer contour of a set of pixels (n, 2)."""
    start = points.min(0)
    mask = np.zeros(points.max(0)[::-1] - start[::-1] + 1, np.uint8)
    mask[points[:, 1] - start[1], points[:, 0] - start[0]] = 1
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return contours[0].reshape(-1, 2) + start
