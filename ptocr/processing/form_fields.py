"""Key information extraction: a page and its lines as inputs of SDMGR, and the class of each line.

Upstream: KieLabelEncode (ppocr/data/imaug/label_ops.py), KieResize (ppocr/data/imaug/operators.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ptocr.processing.image import checked, normalize, resize
from ptocr.spec.tasks import KIEPreprocess

LONGEST = 300  # characters of a text that are read


def form_picture(image: np.ndarray, pre: KIEPreprocess) -> tuple[np.ndarray, tuple[float, float]]:
    """(H, W, 3) uint8 BGR -> float32 (3, H', W'), and how many times as wide and high it became."""
    height, width = checked(image).shape[:2]
    scale = min(pre.long_side / max(height, width), pre.short_side / min(height, width))
    sides = [-(-max(1, int(side * scale + 0.5)) // pre.stride) * pre.stride for side in (width, height)]
    norm = pre.normalize
    picture = normalize(resize(image, *sides), norm.mean, norm.std, norm.scale, norm.order)
    return picture, (sides[0] / width, sides[1] / height)


def line_boxes(polys: Sequence[np.ndarray]) -> np.ndarray:
    """Polygons (n, 2) in pixels -> (M, 4) int32: x1, y1, x2, y2 of the corner next to the upper left end of the
    picture and the one across. Of polygons without four corners, those of the upright box."""
    return (
        np.array([_across(np.asarray(poly, np.float64).reshape(-1, 2)) for poly in polys])
        .reshape(-1, 4)
        .astype(np.int32)
    )


def _across(poly: np.ndarray) -> np.ndarray:
    if len(poly) != 4:
        return np.concatenate([poly.min(axis=0), poly.max(axis=0)])
    turned = poly - poly.sum(axis=0) * 0.25
    corners = poly[np.argsort(np.arctan2(turned[:, 1], turned[:, 0]) * 180.0 / np.pi, kind="stable")]
    first = int(np.argmin(np.linalg.norm(corners - corners.min(axis=0), axis=1)))
    return np.concatenate([corners[first], corners[(first + 2) % 4]])


def line_relations(boxes: np.ndarray, norm: float) -> np.ndarray:
    """How each line stands to each other: (M, 4) -> (M, M, 5) float32. Distance in x and y in units of `norm` pixels,
    the own width, the other's height and the other's width as multiples of the own height."""
    x, y = boxes[:, 0], boxes[:, 1]
    width, height = boxes[:, 2] - x + 1, np.maximum(boxes[:, 3] - y + 1, 1)
    own = (width / height)[:, None].repeat(len(boxes), axis=1)
    away = [(place[None] - place[:, None]) / norm for place in (x, y)]
    return np.stack([*away, own, height[None] / height[:, None], width[None] / height[:, None]], -1).astype(np.float32)


def line_texts(texts: Sequence[str], characters: Sequence[str]) -> np.ndarray:
    """Texts as classes of their characters, (M, L) int64, -1 behind the end; unknown ones are left out."""
    known = {character: number for number, character in enumerate(characters, 1)}
    rows = [[known[c] for c in text if c in known][:LONGEST] for text in texts]
    table = np.full((len(rows), max(map(len, rows), default=0) or 1), -1, np.int64)
    for row, classes in zip(table, rows, strict=True):
        row[: len(classes)] = classes
    return table


def form_input(
    image: np.ndarray, polys: Sequence[np.ndarray], texts: Sequence[str], pre: KIEPreprocess
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A page (H, W, 3) uint8 BGR and its lines -> picture, relations, texts and boxes for the network.

    Boxes are cut off at the edge of the network's picture; upstream cuts those of a picture that it enlarges off where
    the edge of the small one would be.
    """
    picture, scale = form_picture(image, pre)
    boxes = line_boxes(polys)
    height, width = picture.shape[1:]
    inside = np.clip(boxes * np.tile(np.asarray(scale, np.float32), 2), 0, [width, height, width, height])
    return picture, line_relations(boxes, pre.norm), line_texts(texts, pre.characters), inside.astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis."""
    grown = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: np.ndarray = grown / grown.sum(-1, keepdims=True)
    return probabilities
