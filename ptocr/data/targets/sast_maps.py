"""Training targets of SAST (arXiv 1908.05498): bands along texts, offsets to their borders, corners and centres.

Equal to what upstream's SASTProcessTrain gives (tests/train/test_region_targets.py). What is odd there and kept for
equal maps: texts smaller than `min_text_size` are learnt as background; texts that cannot be read count for 0.15; one
that stands upright has its corners turned for the offsets to corners, not for the band. Not kept: quads on pages with
outlines of more corners are filled up there with copies of their last corner, and fall apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from ptocr.data.augment_det import PageSample
from ptocr.data.augment_regions import LineAugment
from ptocr.data.label_settings import AugmentPart
from ptocr.data.targets.base_targets import Arrays, PageAugment, PageTargets
from ptocr.data.targets.text_bands import IGNORED, STRIDE, band_of, draw_borders, middle, opposite
from ptocr.data.targets.text_quads import readable, side_lengths, text_quad

STEEP = math.radians(70)  # between the first two sides of an outline: then the first is no part of the upper border


class SASTMaps(PageTargets):
    """The maps of the SAST loss. min_text_size, max_text_size: pixels, of the shorter side of what is learnt."""

    def __init__(self, min_text_size: float = 4.0, max_text_size: float = 512.0) -> None:
        self.sizes = min_text_size, max_text_size

    def augment(self, part: AugmentPart) -> PageAugment:
        return LineAugment(part)

    def __call__(self, page: PageSample, rng: np.random.Generator) -> Arrays:
        """ "score_map" (1, H / 4, W / 4), "border_map" (5, ...), "mask" (1, ...), "corner_map" (9, ...) and
        "center_map" (3, ...), float32; the last channel of offsets is their weight."""
        size = page.image.shape[:2]
        polys, _, ignore = readable(page.polys, page.ignore, size)
        score, border, mask = band_maps(polys, ignore, size, self.sizes)
        corner, center = corner_maps(polys, ignore, size)
        return {"score_map": score, "border_map": border, "mask": mask, "corner_map": corner, "center_map": center}


def fits(poly: np.ndarray, sizes: tuple[float, float]) -> bool:
    """Whether the shorter side of a text, in pixels of the maps, is within `sizes` (least, most) of the picture."""
    across, down = side_lengths(text_quad(poly))
    return sizes[0] / STRIDE <= min(across.mean(), down.mean()) <= sizes[1] / STRIDE


def band_maps(
    polys: Sequence[np.ndarray], ignore: Sequence[bool], size: tuple[int, int], sizes: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score (1, h, w), offsets to the borders with their weight (5, h, w), and mask (1, h, w), of outlines (n, 2) in a
    picture of `size` (height, width)."""
    shape = size[0] // STRIDE, size[1] // STRIDE
    score, mask = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    border = np.zeros((*shape, 5), np.float32)
    for poly, skip in zip(polys, ignore, strict=True):
        poly = poly / np.float32(STRIDE)
        if not fits(poly, sizes):
            continue
        band = None if skip else band_of(poly)
        if band is None:
            cv2.fillPoly(mask, [poly.astype(np.int32)], IGNORED)
            continue
        cv2.fillPoly(score, list(np.round(band.quads).astype(np.int32)), 1.0)
        draw_borders(border, band)
    return score[None], border.transpose(2, 0, 1), mask[None]


def corner_maps(
    polys: Sequence[np.ndarray], ignore: Sequence[bool], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """What has to be taken from a pixel to come to its text's corners (9, h, w) and centre (3, h, w), in pixels of the
    maps; the last channel of each is 1 / the text's shorter side."""
    shape = size[0] // STRIDE, size[1] // STRIDE
    owner = np.zeros(shape, np.int32)
    known = np.ones((len(polys) + 1, 11))  # corners, centre, shorter side
    for number, (poly, skip) in enumerate(zip(polys, ignore, strict=True), start=1):
        if not skip:
            poly = _from_upper_border(poly / np.float32(STRIDE))
            quad, inner = text_quad(poly), middle(opposite(poly))
            across, down = side_lengths(quad)
            corners = np.clip(quad, 0, shape[::-1]).reshape(-1)
            known[number] = [*corners, *quad.mean(axis=0), max(min(across.mean(), down.mean()), 1)]
            outline = np.concatenate([inner[:, 0], inner[::-1, 1]])
            cv2.fillPoly(owner, [np.round(outline).astype(np.int32)], number)
    rows, columns = np.nonzero(owner)
    whose = known[owner[rows, columns]]
    maps = np.zeros((12, *shape), np.float32)
    maps[:10, rows, columns] = (np.tile(np.stack([columns, rows], axis=1), 5) - whose[:, :10]).T
    maps[10:, rows, columns] = 1 / whose[:, 10]
    return maps[[*range(8), 10]], maps[[8, 9, 11]]


def _from_upper_border(poly: np.ndarray) -> np.ndarray:
    """The outline (n, 2) of a text that stands upright from its second corner on, others as they are."""
    if len(poly) == 4:
        across, down = side_lengths(poly)
        return np.roll(poly, -1, axis=0) if 1.5 * across.sum() < down.sum() else poly
    first, second = poly[0] - poly[1], poly[1] - poly[2]
    cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second) + 1e-6)
    return np.roll(poly, -1, axis=0) if math.acos(round(float(cosine), 4)) > STEEP else poly
