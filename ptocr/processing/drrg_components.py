"""Text components of DRRG (arXiv 2003.07493): small boxes along the middle of texts, and graphs of neighbours.

Upstream: ppocr/modeling/heads/proposal_local_graph.py, local_graph.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from ptocr.processing.image import filled, sigmoid
from ptocr.processing.quad_nms import merged_along_rows, suppressed
from ptocr.spec.settings import DRRGPostprocess

MAPS = 6
LEAST_AREA = 50  # pixels of the middle of a text
GROWTH, SHAPE, WIDTHS = 1.03, 0.4, (8.0, 24.0)  # of a component: of its heights; width by height; least, largest width
CELLS = (4, 3)  # that the features under a component are averaged in, across and along
WAVES = 20  # frequencies of the features of its geometry
HOPS, LINKS = (8, 4), 3  # neighbours of a graph's first node, and of those; neighbours that a node is linked with
MANY = 6_000  # boxes of one region that are compared; only networks that see text everywhere propose more
GRAPHS_AT_ONCE = 128  # bounds the memory


class Components(NamedTuple):
    """boxes: (n, 4, 2) pixels of the maps; scores: (n,) mean probability of text; geometry: (n, 6) x, y, height, width,
    cosine, sine."""

    boxes: np.ndarray
    scores: np.ndarray
    geometry: np.ndarray


class Graphs(NamedTuple):
    """Some local graphs. nodes: (g, n, C) float32 features, those of the first node subtracted; near: (g, n, n)
    float32; places: (g, k) of the neighbours among the nodes; edges: (g, k, 2), the first node and the neighbour by
    number."""

    nodes: np.ndarray
    near: np.ndarray
    places: np.ndarray
    edges: np.ndarray


class _Maps(NamedTuple):
    text: np.ndarray
    middle: np.ndarray
    sin: np.ndarray
    cos: np.ndarray
    above: np.ndarray
    below: np.ndarray


def components(logits: np.ndarray, post: DRRGPostprocess) -> Components | None:
    """The components of a picture's six maps (6, H, W), None where there are fewer than two."""
    text, middle = sigmoid(logits[:2])
    scale = np.sqrt(1.0 / (logits[2] ** 2 + logits[3] ** 2 + 1e-8))
    maps = _Maps(text, middle, logits[2] * scale, logits[3] * scale, logits[4], logits[5])
    is_text = text > post.thresh
    centers = filled((middle > post.center_thresh) & is_text).astype(np.uint8)
    contours, _ = cv2.findContours(centers, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    found = [_of_region(contour, is_text, maps, post) for contour in contours]
    boxes = np.concatenate([*found, np.zeros((0, 9))])
    if len(boxes) < 2:
        return None
    boxes = boxes[np.sort(np.argsort(-boxes[:, 8], kind="stable")[: post.max_candidates])][:, :8].reshape(-1, 4, 2)
    height, width = text.shape
    x, y = np.clip(boxes.mean(axis=1).astype(np.int32), 0, (width - 1, height - 1)).T
    tall = maps.above[y, x] + maps.below[y, x]
    geometry = np.stack([x, y, tall, np.clip(tall * SHAPE, *WIDTHS), maps.cos[y, x], maps.sin[y, x]], axis=1)
    boxes = np.clip(boxes, 0, (width - 1, height - 1))
    return Components(boxes, np.array([_mean_inside(text, box) for box in boxes]), geometry)


def _of_region(contour: np.ndarray, is_text: np.ndarray, maps: _Maps, post: DRRGPostprocess) -> np.ndarray:
    """The components (n, 9), corners and score, of a region of the middle of texts; none where they miss the text."""
    _, _, width, height = cv2.boundingRect(contour)
    if width * height <= LEAST_AREA:
        return np.zeros((0, 9))
    region = np.zeros(is_text.shape, np.uint8)
    cv2.drawContours(region, [contour], -1, 1, -1)
    if np.count_nonzero(region) <= LEAST_AREA:
        return np.zeros((0, 9))
    y, x = np.nonzero(region.astype(bool) & (maps.text > post.component_thresh))
    boxes = merged_along_rows(_proposed(y, x, maps), post.nms_thresh)
    if len(boxes) > MANY:
        boxes = boxes[np.sort(np.argsort(-boxes[:, 8], kind="stable")[:MANY])]
    boxes = suppressed(boxes, post.nms_thresh)
    drawn = np.zeros(region.shape, np.uint8)
    cv2.drawContours(drawn, list(boxes[:, :8].reshape(-1, 4, 2).astype(np.int32)), -1, 1, -1)
    enough = np.count_nonzero(drawn.astype(bool) & is_text) >= np.count_nonzero(drawn) * 0.5
    return boxes if enough else boxes[:0]


def _proposed(y: np.ndarray, x: np.ndarray, maps: _Maps) -> np.ndarray:
    """A box around each pixel, with its score: (n, 9) float64."""
    above, below = maps.above[y, x] * GROWTH, maps.below[y, x] * GROWTH
    corners = corners_around(y, x, (maps.sin[y, x], maps.cos[y, x]), above, below, SHAPE)
    return np.column_stack([corners, maps.text[y, x]]).astype(np.float64)


def corners_around(
    y: np.ndarray,
    x: np.ndarray,
    angle: tuple[np.ndarray, np.ndarray],
    above: np.ndarray,
    below: np.ndarray,
    shape: float,
) -> np.ndarray:
    """Turned boxes (n, 8) float32 around pixels, corners from the upper left on. angle: sine and cosine of the way up;
    above, below: pixels to the edges; shape: width by height."""
    sin, cos = angle
    half = np.clip((above + below) * shape, *WIDTHS) / 2
    aside = np.stack([-half * sin, half * cos], axis=1)
    top = np.stack([x + above * cos, y + above * sin], axis=1)
    bottom = np.stack([x - below * cos, y - below * sin], axis=1)
    return np.concatenate([top - aside, top + aside, bottom + aside, bottom - aside], axis=1).astype(np.float32)


def _mean_inside(text: np.ndarray, box: np.ndarray) -> float:
    """Mean of a map inside a box (4, 2)."""
    (left, top), (right, bottom) = box.min(axis=0).astype(int), box.max(axis=0).astype(int)
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(mask, [(box - (left, top)).astype(np.int32)], 1)
    return float(cv2.mean(text[top : bottom + 1, left : right + 1], mask)[0])


def node_features(features: np.ndarray, found: Components) -> np.ndarray:
    """Features (n, C * 12 + 120) float32 of components: of the maps (C, H, W) under them, and of their geometry."""
    last = np.ascontiguousarray(features.transpose(1, 2, 0))
    geometry = found.geometry.astype(np.float32)
    pooled = np.stack([_pooled(last, row) for row in geometry])
    return np.concatenate([pooled, _embedded(found.geometry)], axis=1).astype(np.float32)


def _pooled(features: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Means (C * 12,) of maps (H, W, C) in the cells of a turned box (RoI align; its height lies along x)."""
    x, y, along, across, cos, sin = row.tolist()
    along = min(abs(along), 2.0 * max(features.shape[:2]))
    angle = np.arccos(np.clip(cos, -1, 1)) * np.sign(sin)
    steps = [max(int(np.ceil(size / cells)), 1) for size, cells in zip((across, along), CELLS, strict=True)]
    v, u = (
        ((np.arange(cells * step) + 0.5) / (cells * step) - 0.5) * size
        for size, cells, step in zip((across, along), CELLS, steps, strict=True)
    )
    rows = v[:, None] * np.cos(angle) - u * np.sin(angle) + y - 0.5
    columns = v[:, None] * np.sin(angle) + u * np.cos(angle) + x - 0.5
    values = _bilinear(features, rows, columns).reshape(CELLS[0], steps[0], CELLS[1], steps[1], -1)
    return values.mean(axis=(1, 3)).transpose(2, 0, 1).reshape(-1)


def _bilinear(features: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values of maps (H, W, C) between pixels: (h, w, C), zero more than a pixel outside."""
    height, width = features.shape[:2]
    inside = (rows >= -1) & (rows <= height) & (columns >= -1) & (columns <= width)
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top, left = rows.astype(np.int64), columns.astype(np.int64)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, aside = (rows - top)[..., None], (columns - left)[..., None]
    upper = features[top, left] * (1 - aside) + features[top, right] * aside
    lower = features[bottom, left] * (1 - aside) + features[bottom, right] * aside
    return np.where(inside[..., None], upper * (1 - down) + lower * down, 0)


def _embedded(geometry: np.ndarray) -> np.ndarray:
    """Geometry (n, 6) at many frequencies, (n, 120). Upstream takes the sine for nodes of even, the cosine for nodes of
    odd number; weights are trained so."""
    waves = np.power(1000, 2.0 * (np.arange(WAVES) // 2) / WAVES)
    values = geometry[:, None] / waves[:, None]  # (n, waves, 6)
    values[0::2], values[1::2] = np.sin(values[0::2]), np.cos(values[1::2])
    return values.reshape(len(geometry), -1)


def local_graphs(features: np.ndarray, places: np.ndarray) -> Iterator[Graphs]:
    """A graph for every component: itself, its neighbours and theirs. features: (n, C); places: (n, 2) x and y."""
    squares = (places**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * places @ places.T, 0)
    order = np.argsort(distances, axis=1, kind="stable")
    close, further, linked = (order[:, 1 : count + 1] for count in (*HOPS, LINKS))
    links = np.zeros(distances.shape, bool)
    np.put_along_axis(links, linked, True, axis=1)
    links |= links.T
    for start in range(0, len(features), GRAPHS_AT_ONCE):
        first = np.arange(start, min(start + GRAPHS_AT_ONCE, len(features)))
        held = np.zeros((len(first), len(features)), bool)
        np.put_along_axis(held, close[first], True, axis=1)
        np.put_along_axis(held, further[close[first]].reshape(len(first), -1), True, axis=1)
        yield _graphs(features, links, close[first], held, first)


def _graphs(features: np.ndarray, links: np.ndarray, close: np.ndarray, held: np.ndarray, first: np.ndarray) -> Graphs:
    """Graphs of the nodes that are held (g, n), padded to the largest."""
    rank = np.where(held, 1, 2)
    rank[np.arange(len(first)), first] = 0  # the first node, those that are held, the others
    sizes = np.count_nonzero(rank < 2, axis=1)
    nodes = np.argsort(rank, axis=1, kind="stable")[:, : sizes.max()]
    real = np.arange(nodes.shape[1]) < sizes[:, None]
    near = links[nodes[:, :, None], nodes[:, None]] & real[:, :, None] & real[:, None]
    near = near.astype(np.float64) + np.eye(nodes.shape[1]) * real[:, None]
    share = 1 / np.sqrt(np.maximum(near.sum(axis=1), 1))
    near = near * share[:, :, None] * share[:, None]
    values = (features[nodes] - features[first][:, None]) * real[:, :, None]
    places = (nodes[:, None] == close[:, :, None]).argmax(axis=2)
    edges = np.stack([np.broadcast_to(first[:, None], close.shape), close], axis=2)
    return Graphs(values.astype(np.float32), near.astype(np.float32), places, edges)
