"""Training targets of PGNet (arXiv 2104.05458): bands along texts, offsets to their borders, reading direction, and the
places along each text where its characters are looked for.

Equal to what upstream's PGProcessTrain gives (tests/train/test_region_targets.py). What is odd there and kept for equal
maps: texts smaller than `min_text_size`, and those without a known character, are learnt as background; texts that
cannot be read count for 0.15. Not kept: a page with more texts than `max_texts` is left out there, here its first ones
are learnt; places name their picture there by a counter of the data set, which other workers' pictures upset.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ptocr.data.augment_det import PageSample
from ptocr.data.augment_regions import LineAugment
from ptocr.data.label_settings import AugmentPart
from ptocr.data.targets.base_targets import Arrays, PageAugment, PageTargets
from ptocr.data.targets.sast_maps import fits
from ptocr.data.targets.text_bands import IGNORED, STRIDE, Band, band_of, draw_borders, opposite, pieces
from ptocr.data.targets.text_quads import readable, side_lengths, text_quad
from ptocr.processing.pgnet import center_lines, gapless, known_part
from ptocr.spec.vocabulary import Vocabulary

LEAST = 2  # characters of a text that is read
SOLID = 1e-3  # least share of a pixel that a band has to cover


class Line(NamedTuple):
    """A text to be read. poly: (n, 2) pixels of the maps; band; classes of its characters."""

    poly: np.ndarray
    band: Band
    classes: list[int]


class PGNetMaps(PageTargets):
    """The maps of the PGNet loss, and the texts of a page.

    gather "align": characters are looked for at every pixel along the thinned band, as the postprocessing of that name
    does; None: along the line between the borders. longest: characters of a text, max_texts: of a page, points: of a
    text. min_text_size, max_text_size: pixels, of the shorter side of what is learnt.
    """

    def __init__(
        self,
        charset: Vocabulary,
        gather: str | None = None,
        longest: int = 50,
        max_texts: int = 30,
        points: int = 64,
        min_text_size: float = 4.0,
        max_text_size: float = 512.0,
    ) -> None:
        self.charset, self.gather, self.longest, self.max_texts = charset, gather, longest, max_texts
        self.points, self.sizes = points, (min_text_size, max_text_size)

    def augment(self, part: AugmentPart) -> PageAugment:
        return LineAugment(part, cut=False)

    def __call__(self, page: PageSample, rng: np.random.Generator) -> Arrays:
        """ "score_map" (1, H / 4, W / 4), "border_map" (5, ...), "mask" (1, ...), "direction_map" (3, ...); of texts
        "positions" (max_texts, points, 2), y first, "position_mask" (max_texts, points), "labels" (max_texts, longest)
        and "lengths" (max_texts,), 0 where there is none."""
        size = page.image.shape[:2]
        polys, numbers, ignore = readable(page.polys, page.ignore, size)
        classes = [self.classes(page.texts[number]) for number in numbers] if page.texts else [[] for _ in polys]
        lines, mask = self.lines(polys, ignore, classes, size)
        score, border = _bands([line.band for line in lines], size)
        direction = np.zeros((*score.shape, 3), np.float32)
        direction[..., 2] = 1
        found = [(line, self._places(line, direction, rng)) for line in lines]
        texts = [(line.classes, places) for line, places in found if len(line.classes) >= LEAST and len(places)]
        maps = {"score_map": score[None], "border_map": border, "mask": mask[None]}
        return {**maps, "direction_map": direction.transpose(2, 0, 1), **self._texts(texts)}

    def classes(self, text: str) -> list[int]:
        """Classes of the characters of a text that are known."""
        return self.charset.encode(known_part(text, self.charset))

    def lines(
        self, polys: Sequence[np.ndarray], ignore: Sequence[bool], classes: Sequence[list[int]], size: tuple[int, int]
    ) -> tuple[list[Line], np.ndarray]:
        """The texts that are learnt, of outlines (n, 2) in a picture of `size`, and where the maps are (h, w)."""
        mask = np.ones((size[0] // STRIDE, size[1] // STRIDE), np.float32)
        found = []
        for poly, skip, known in zip(polys, ignore, classes, strict=True):
            poly = poly / np.float32(STRIDE)
            if not fits(poly, self.sizes) or not (skip or known):
                continue
            band = None if skip else band_of(poly)
            if band is None:
                cv2.fillPoly(mask, [poly.astype(np.int32)], IGNORED)
            else:
                found.append(Line(poly, band, known))
        return found, mask

    def _places(self, line: Line, direction: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Where the characters of a line are looked for, (n, 2) int, y first; its reading direction is drawn."""
        draw_direction(direction, line)
        height = max(float(np.mean([side_lengths(quad)[1].mean() for quad in line.band.quads])), 1.0)
        if self.gather == "align":
            places = thinned_line(line.band, direction)
        else:
            places = drawn_line(line.poly, direction.shape[:2])
        if len(places) > self.points:
            places = places[(len(places) / self.points * np.arange(self.points)).astype(np.int64)]
        return self._shaken(places.astype(np.float64), line, height, direction.shape[:2], rng)

    def _shaken(
        self, places: np.ndarray, line: Line, height: float, shape: tuple[int, ...], rng: np.random.Generator
    ) -> np.ndarray:
        """Places (n, 2) a little above and below, "align" also all of them to one side, in whole pixels of the maps."""
        if self.gather == "align":
            ends = line.band.quads[[0, -1]][:, :, 0]
            width = (abs(ends[0, 0] - ends[1, 1]) + abs(ends[0, 3] - ends[1, 2])) // 2
            places[:, 0] += (rng.random(len(places)) - 0.5) * height
            places[:, 1] += (rng.random() - 0.5) * width * 0.2
        elif height >= 3 and rng.random() < 0.2:
            places[:, 0] += (rng.random(len(places)) - 0.5) * height * 0.3
        return np.round(np.clip(places, 0, np.array(shape) - 1)).astype(np.int64)

    def _texts(self, texts: Sequence[tuple[list[int], np.ndarray]]) -> Arrays:
        """The first texts (classes, places) of a page in arrays of one size."""
        positions = np.zeros((self.max_texts, self.points, 2), np.int64)
        there = np.zeros((self.max_texts, self.points), np.float32)
        labels = np.full((self.max_texts, self.longest), self.charset.token("pad"), np.int64)
        lengths = np.zeros(self.max_texts, np.int64)
        for row, (classes, places) in enumerate(texts[: self.max_texts]):
            positions[row, : len(places)], there[row, : len(places)] = places, 1
            lengths[row] = min(len(classes), self.longest)
            labels[row, : lengths[row]] = classes[: self.longest]
        return {"positions": positions, "position_mask": there, "labels": labels, "lengths": lengths}


def _bands(bands: Sequence[Band], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Score (h, w) of bands, drawn large for smooth borders, and their offsets (5, h, w)."""
    large = np.zeros(size, np.float32)
    border = np.zeros((size[0] // STRIDE, size[1] // STRIDE, 5), np.float32)
    for band in bands:
        cv2.fillPoly(large, list(np.round(band.quads * STRIDE).astype(np.int32)), 1.0)
        draw_borders(border, band)
    return _small(large), border.transpose(2, 0, 1)


def _small(large: np.ndarray) -> np.ndarray:
    """Which pixels of the maps a mask of the picture touches, (h, w) float32 of 0 and 1."""
    small = cv2.resize(large, (large.shape[1] // STRIDE, large.shape[0] // STRIDE))
    return (small > SOLID).astype(np.float32)


def draw_direction(target: np.ndarray, line: Line) -> None:
    """Draw the reading direction of a line into a map (h, w, 3): x and y, as long as a character is wide, and 1 / the
    text's height."""
    quads = pieces(opposite(line.poly))
    sides = [side_lengths(quad) for quad in quads]
    width = max(float(np.sum([across.mean() for across, _ in sides])) / len(line.classes), 1.0)
    height = max(float(np.mean([down.mean() for _, down in sides])), 1.0)
    for quad in quads:
        way = (quad[1] + quad[2] - quad[0] - quad[3]) / 2
        way = way / (np.linalg.norm(way) + 1e-6) * width
        cv2.fillPoly(target, [np.round(quad).astype(np.int32)], (float(way[0]), float(way[1]), 1 / height))


def thinned_line(band: Band, direction: np.ndarray) -> np.ndarray:
    """The pixels along the thinned band, (n, 2), y first, in reading order; (0, 2) where too little is left of it."""
    large = np.zeros((direction.shape[0] * STRIDE, direction.shape[1] * STRIDE), np.float32)
    cv2.fillPoly(large, list(np.round(band.quads * STRIDE).astype(np.int32)), 1.0)
    lines = center_lines(_small(large) > 0, direction[..., 1::-1].transpose(2, 0, 1))
    return gapless(lines[0]) if lines else np.zeros((0, 2), np.int64)


def drawn_line(poly: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels of the line between a text's borders, (n, 2), y first, from its left to its right end."""
    line = opposite(poly).mean(axis=1).astype(np.int32)
    rows, columns = np.nonzero(cv2.polylines(np.zeros(shape, np.uint8), [line], False, 1))
    quad = text_quad(poly)
    start, end = (quad[0] + quad[3]) / 2, (quad[1] + quad[2]) / 2
    way = (end - start) / (np.linalg.norm(end - start) + np.float32(1e-6))
    # in single precision and not stable, as upstream: of a bent line several pixels lie equally far along
    along = ((np.stack([columns, rows], axis=1).astype(np.float32) - start) * way).sum(axis=1)
    return np.stack([rows, columns], axis=1)[np.argsort(along)]
