"""Bands along the middle of texts, and how far their pixels are from the texts' borders: what SAST and PGNet learn.

Equal to what upstream's SASTProcessTrain and PGProcessTrain give (tests/train/test_region_targets.py).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ptocr.data.targets.text_quads import side_lengths

STRIDE = 4  # a picture is so many times as high and wide as its maps
HEIGHT = 0.3  # of a text's height: how high the band is
ENDS = 0.15  # of a text's height: how far the band ends before the text does
IGNORED = 0.15  # how much pixels of texts that cannot be read count for the score, as upstream: not nothing


class Band(NamedTuple):
    """The band of a text. quads: (k, 4, 2), its pieces; around: (k, 4, 2), the pieces of the text that they lie in."""

    quads: np.ndarray
    around: np.ndarray


def opposite(poly: np.ndarray) -> np.ndarray:
    """Points of a text's upper border with those below them, (k, 2, 2), from its outline (2k, 2). Of an odd number of
    corners the middle one is left out."""
    half = len(poly) // 2
    return np.stack([poly[:half], poly[::-1][:half]], axis=1)


def pieces(pairs: np.ndarray) -> np.ndarray:
    """The quads (k - 1, 4, 2) between pairs of points (k, 2, 2)."""
    return np.concatenate([pairs[:-1, :1], pairs[1:], pairs[:-1, 1:]], axis=1)


def middle(pairs: np.ndarray) -> np.ndarray:
    """Pairs of points (k, 2, 2) moved towards each other, so that a band of `HEIGHT` is left between them."""
    shares = np.array([[0.5 - HEIGHT / 2], [0.5 + HEIGHT / 2]], np.float32)
    return pairs[:, :1] + (pairs[:, 1:] - pairs[:, :1]) * shares


def band_of(poly: np.ndarray) -> Band | None:
    """The band of a text's outline (n, 2), None where its upper border has no length."""
    pairs = opposite(poly)
    inner = middle(pairs)
    lengths = np.linalg.norm(np.diff(inner[:, 0], axis=0), axis=1).astype(np.float64)
    if not lengths.sum() > 0:
        return None
    heights = np.linalg.norm(inner[[0, -1], 0] - inner[[0, -1], 1], axis=1) / HEIGHT
    cut = min(*heights, lengths.sum()) * ENDS
    first, start = _place(inner, lengths, cut)
    last, stop = _place(inner, lengths, lengths.sum() - cut)
    shortened = np.concatenate([start[None], inner[first + 1 : last + 1], stop[None]])
    return Band(pieces(shortened), pieces(pairs)[first : last + 1])


def _place(pairs: np.ndarray, lengths: np.ndarray, distance: float) -> tuple[int, np.ndarray]:
    """The piece in which the upper border has run so far, and the pair of points (2, 2) there."""
    ends = np.cumsum(lengths)
    number = min(int(np.searchsorted(ends, distance - 1e-6)), len(lengths) - 1)
    share = (distance - (ends[number] - lengths[number])) / max(lengths[number], 1e-6)
    return number, pairs[number] + (pairs[number + 1] - pairs[number]) * np.float32(share)


def draw_borders(target: np.ndarray, band: Band) -> None:
    """Draw the offsets of a band into a map (h, w, 5): from a pixel to the upper and to the lower border, y first, and
    2 / the shorter side of the piece of text."""
    for quad, around in zip(band.quads, band.around, strict=True):
        inside = cv2.fillPoly(np.zeros(target.shape[:2], np.uint8), [np.round(quad).astype(np.int32)], 1)
        rows, columns = np.nonzero(inside)
        target[rows, columns, :4] = border_offsets(around, np.stack([columns, rows], axis=1))
        across, down = side_lengths(around)
        target[rows, columns, 4] = 2 / max(min(across.mean(), down.mean()), 1)


def border_offsets(quad: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """From pixels (n, 2) to the lines of a quad's upper and lower side, along the mean direction of the other two.

    Returns (n, 4): y, x to the upper, y, x to the lower. Where these lines run along that direction there is no way
    (upstream then takes the way to the map's corner): 0.
    """
    turn = (_angle(quad[3], quad[0]) + _angle(quad[2], quad[1])) / 2
    way = np.array([np.cos(turn), np.sin(turn)], np.float64)
    found = []
    for start, end in ((quad[0], quad[1]), (quad[3], quad[2])):
        side = _angle(start, end)
        normal = np.array([-np.sin(side), np.cos(side)], np.float64)
        speed = float(way @ normal)
        steps = (start - pixels) @ normal / speed if speed else np.zeros(len(pixels))
        found.append(steps[:, None] * way[::-1])
    return np.concatenate(found, axis=1)


def _angle(start: np.ndarray, end: np.ndarray) -> float:
    """Angle between the way from start to end and the x axis."""
    return float(np.arctan2(*(end - start)[::-1]))
