"""Training targets of EAST (arXiv 1704.03155): where text is, and how far its pixels are from its corners.

Equal to what upstream's EASTProcessTrain.generate_quad gives (tests/train/test_region_targets.py), but for a fault:
upstream counts texts in a byte, so that from the 256th on a page's texts have no corners.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ptocr.data.augment_det import PageSample
from ptocr.data.augment_regions import QuadAugment
from ptocr.data.label_settings import AugmentPart
from ptocr.data.targets.base_targets import Arrays, PageAugment, PageTargets
from ptocr.data.targets.text_quads import readable, side_lengths, text_quad

STRIDE = 4  # a picture is so many times as high and wide as its maps
SHRINK = 0.3  # of a corner's shorter side: how far it is drawn in
CORNERS = 8  # channels of the offsets; the one behind them is 1 / the shorter side


class EASTMaps(PageTargets):
    """The maps of the EAST loss. min_text_size: pixels; quads with a shorter side are not learnt."""

    def __init__(self, min_text_size: float = 10.0) -> None:
        self.min_text_size = min_text_size

    def augment(self, part: AugmentPart) -> PageAugment:
        return QuadAugment(part)

    def __call__(self, page: PageSample, rng: np.random.Generator) -> Arrays:
        """ "score_map" (1, H / 4, W / 4), "geometry_map" (9, ...), "mask" (1, ...), float32."""
        size = page.image.shape[:2]
        polys, _, ignore = readable(page.polys, page.ignore, size)
        score, geometry, mask = east_maps([text_quad(poly) for poly in polys], ignore, size, self.min_text_size)
        return {"score_map": score, "geometry_map": geometry, "mask": mask}


def east_maps(
    quads: Sequence[np.ndarray], ignore: Sequence[bool], size: tuple[int, int], min_text_size: float = 10.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score, geometry and mask of quads (4, 2) float32 in a picture of `size` (height, width).

    Returns (1, h, w) of 0 and 1 with the shrunk quads; (9, h, w): what has to be taken from a pixel of text to come to
    each corner, in pixels of the picture, and 1 / the shorter side; (1, h, w): where the score is learnt.
    """
    owner = np.zeros(size, np.int32)  # number of a pixel's text, from 1 on
    mask = np.ones(size, np.uint8)
    shorter = np.ones(len(quads) + 1)
    corners = np.zeros((len(quads) + 1, CORNERS))
    for number, (quad, skip) in enumerate(zip(quads, ignore, strict=True), start=1):
        cv2.fillPoly(owner, [shrunk(quad).astype(np.int32)], number)
        across, down = side_lengths(quad)
        shorter[number] = min(across.min(), down.min())
        if skip or shorter[number] < min_text_size:
            cv2.fillPoly(mask, [quad.astype(np.int32)], 0)
        corners[number] = np.clip(quad, 0, size[::-1]).reshape(-1)
    owner = owner[::STRIDE, ::STRIDE]
    rows, columns = np.nonzero(owner)
    whose = owner[rows, columns]
    geometry = np.zeros((CORNERS + 1, *owner.shape), np.float32)
    geometry[:CORNERS, rows, columns] = (np.tile(np.stack([columns, rows], 1) * STRIDE, 4) - corners[whose]).T
    geometry[CORNERS, rows, columns] = 1 / np.maximum(shorter[whose], 1)
    return (owner > 0).astype(np.float32)[None], geometry, mask[None, ::STRIDE, ::STRIDE].astype(np.float32)


def shrunk(quad: np.ndarray) -> np.ndarray:
    """A quad (4, 2) with every corner drawn in along both of its sides, along the longer pair of sides first."""
    sides = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)  # of corner i to the next
    reach = SHRINK * np.minimum(sides, np.roll(sides, 1))
    along, across = ((0, 1), (3, 2)), ((0, 3), (1, 2))
    quad = quad.copy()
    for a, b in along + across if sides[0] + sides[2] > sides[1] + sides[3] else across + along:
        way = quad[b] - quad[a]
        way = way / max(float(np.linalg.norm(way)), 1e-6)
        quad[a], quad[b] = quad[a] + reach[a] * way, quad[b] - reach[b] * way
    return quad
