"""DRRG postprocessing (arXiv 2003.07493): components that belong together, merged into outlines of texts.

Upstream: ppocr/postprocess/drrg_postprocess.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ptocr.processing.drrg_components import MAPS, Components, Graphs, components, local_graphs, node_features
from ptocr.processing.geometry import clip_points, filter_quads, padded_size
from ptocr.spec.settings import DRRGPostprocess

FAR = 50.0  # pixels: components that lie farther apart are never linked
Link = Callable[[Graphs], np.ndarray]  # probabilities (g, k) that the neighbours belong to the first node's text


def drrg_regions(
    maps: Sequence[np.ndarray], size: tuple[int, int], post: DRRGPostprocess, link: Link
) -> tuple[list[np.ndarray], list[float]]:
    """Text polygons of DRRG's maps in the picture, and their scores.

    maps: for one picture features and six maps (C + 6, H, W), as `DRRGHead` makes them; link: its graph network; size:
    (height, width) of the picture before it was resized. Quads as of `db_regions`.
    """
    found = components(maps[0][-MAPS:], post)
    if found is None:
        return [], []
    graphs = list(local_graphs(node_features(maps[0], found), found.geometry[:, :2]))
    edges = np.concatenate([graph.edges.reshape(-1, 2) for graph in graphs])
    polys, scores = merged(found, edges, np.concatenate([link(graph).reshape(-1) for graph in graphs]), post)
    ratio = np.array(padded_size(*size)[::-1]) / np.array(maps[0].shape[:0:-1])
    if post.box_type == "poly":
        return [clip_points(poly * ratio, size) for poly in polys], scores
    boxes = [cv2.boxPoints(cv2.minAreaRect(poly.astype(np.int32))) * ratio for poly in polys]
    quads, kept = filter_quads(np.array(boxes), size)
    return list(quads), [scores[i] for i in kept.tolist()]


def merged(
    found: Components, edges: np.ndarray, probs: np.ndarray, post: DRRGPostprocess
) -> tuple[list[np.ndarray], list[float]]:
    """Outlines (n, 2) in pixels of the maps of components that are linked, and the mean scores of these.

    edges: (m, 2) numbers of components, some both ways; probs: (m,) that they belong to one text.
    """
    labels = _labels(found.boxes.mean(axis=1), edges, probs, post.link_thresh)
    polys, scores = [], []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        score = float(found.scores[own].mean())
        if len(own) > 1 and score >= post.box_thresh:
            polys.append(_outline(found.boxes[own].astype(np.int32)))
            scores.append(score)
    return polys, scores


def _labels(centers: np.ndarray, edges: np.ndarray, probs: np.ndarray, thresh: float) -> np.ndarray:
    """A number for each component, (n,); those that are linked, directly or by others, have the same."""
    count = len(centers)
    probs = np.where(np.linalg.norm(centers[edges[:, 0]] - centers[edges[:, 1]], axis=1) > FAR, 0, probs)
    low, high = edges.min(axis=1), edges.max(axis=1)
    pairs, which = np.unique(low * count + high, return_inverse=True)
    means = np.bincount(which, weights=probs) / np.bincount(which)  # of a pair that looks at each other
    links = pairs[means >= thresh]
    labels = np.arange(count)
    while True:
        least = labels.copy()
        np.minimum.at(least, links // count, labels[links % count])
        np.minimum.at(least, links % count, labels[links // count])
        if np.array_equal(least, labels):
            return labels
        labels = least[least]


def _outline(boxes: np.ndarray) -> np.ndarray:
    """The outline (2k, 2) int32 of boxes (n, 4, 2) int32 of one text: their upper and lower edges' middles in order."""
    boxes = boxes[_path(boxes.mean(axis=1).astype(np.int32))]
    top, bottom = (boxes[:, part].mean(axis=1).astype(np.int32) for part in (slice(0, 2), slice(2, 4)))
    contour = np.concatenate([top, bottom[::-1]])
    before, behind = _corner(contour, boxes[0]), _corner(contour, boxes[-1])
    return np.concatenate([before[:, 0], top, behind[:, 0], behind[:, 1], bottom[::-1], before[:, 1]])


def _corner(contour: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The upper and lower corner (1, 2, 2) of a box at the end of a text that lie outside of the outline, or none."""
    for upper, lower in ((0, 3), (1, 2)):
        x, y = (box[upper] + box[lower]) / 2
        if cv2.pointPolygonTest(contour, (int(x), int(y)), False) <= 0.5:
            return box[None, [upper, lower]]
    return np.zeros((0, 2, 2), box.dtype)


def _path(points: np.ndarray) -> list[int]:
    """Points (n, 2) in an order that is short: from the first on, always the nearest one to either end is added.

    Of points at one place the first stands for all; of points equally near the last is taken, as upstream.
    """
    path, left = [0], list(range(1, len(points)))
    while left:
        front, back = (((points[left] - points[end]) ** 2).sum(axis=1) for end in (path[0], path[-1]))
        side = front if front.min() <= back.min() else back
        nearest = left.pop(int(np.flatnonzero(side == side.min())[-1]))
        path.insert(0 if side is front else len(path), nearest)
    first = {tuple(point): place for place, point in reversed(list(enumerate(points.tolist())))}
    return list(dict.fromkeys(first[tuple(points[place].tolist())] for place in path))
