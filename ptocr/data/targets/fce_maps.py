"""Training targets of FCENet (arXiv 2104.10442): texts, their middles and Fourier coefficients of their outlines.

Equal to what upstream's FCENetTargets gives (tests/train/test_kernel_targets.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ptocr.data.augment_det import PageSample
from ptocr.data.augment_windows import SquareAugment
from ptocr.data.label_settings import AugmentPart
from ptocr.data.targets.base_targets import Arrays, PageAugment, PageTargets
from ptocr.data.targets.sidelines import band, lengths, sidelines

SHARES = ((0.0, 0.25), (0.2, 0.65), (0.55, 1.0))  # of the picture's height that the texts of a level are long
STEP = 4.0  # pixels of a level between points along a text
NARROW = 0.3  # of a text's height that its middle has
POINTS = 400  # on an outline whose coefficients are computed


class FCEMaps(PageTargets):
    """The maps of the FCE loss. scales, degree: as `contour_maps`."""

    def __init__(self, scales: Sequence[int] = (8, 16, 32), degree: int = 5) -> None:
        self.scales, self.degree = scales, degree

    def augment(self, part: AugmentPart) -> PageAugment:
        return SquareAugment(part)

    def __call__(self, page: PageSample, rng: np.random.Generator) -> Arrays:
        """ "maps_0", "maps_1", "maps_2": of each level."""
        maps = contour_maps(page.polys, page.ignore, page.image.shape[:2], self.scales, self.degree)
        return {f"maps_{level}": array for level, array in enumerate(maps)}


def contour_maps(
    polys: Sequence[np.ndarray], ignore: Sequence[bool], size: tuple[int, int], scales: Sequence[int], degree: int
) -> list[np.ndarray]:
    """For every level maps (3 + coefficients, height / scale, width / scale) float32: text, middle of a text, where the
    loss counts; then the coefficients, as `FCEHead` gives them.

    polys: (n, 2) pixel points each; ignore: which do not count; size: (height, width); scales: of the levels, three.
    Upstream means to leave out ignored texts, but compares NumPy's truth values by `is`, and learns them. The middles
    are drawn all at once there, by which those of two texts that overlap are none where they do; that stays.
    """
    levels = []
    for (low, high), scale in zip(SHARES, scales, strict=True):
        outlines: tuple[list[np.ndarray], list[np.ndarray]] = [], []  # of texts, of ignored ones
        for poly, skip in zip(polys, ignore, strict=True):
            _, _, *sides = cv2.boundingRect(poly.astype(np.int32))
            if low < max(sides) / (size[0] + 1e-8) < high:
                outlines[bool(skip)].append(poly.astype(np.float64) / scale)
        levels.append(_level(*outlines, (size[0] // scale, size[1] // scale), degree))
    return levels


def _level(texts: list[np.ndarray], ignored: list[np.ndarray], size: tuple[int, int], degree: int) -> np.ndarray:
    coefficients = 2 * degree + 1
    maps = np.zeros((3 + 2 * coefficients, *size), np.float32)
    maps[2] = 1
    for outline in ignored:
        cv2.fillPoly(maps[2], [outline.astype(np.int32)], 0)
    cv2.fillPoly(maps[1], [box for outline in texts for box in _middle(outline)], 1)
    for outline in texts:
        inside = np.zeros(size, np.uint8)
        cv2.fillPoly(inside, [outline.astype(np.int32)], 1)
        rows, columns = np.nonzero(inside)
        values = fourier(outline, degree)
        maps[0, rows, columns] = 1
        maps[3 : 3 + coefficients, rows, columns] = values.real[:, None]
        maps[3 + coefficients :, rows, columns] = values.imag[:, None]
        maps[3 + degree, rows, columns] = values.real[degree] - columns
        maps[3 + coefficients + degree, rows, columns] = values.imag[degree] - rows
    return maps


def _middle(outline: np.ndarray) -> np.ndarray:
    """Quads (n, 4, 2) int32 along the middle of a text, a third as high as it, without its ends."""
    top, bottom = sidelines(outline)
    count = max(int((lengths(top)[1][-1] + lengths(bottom)[1][-1]) / 2 / STEP), 1)
    top, bottom = _points(top, count), _points(bottom, count)[::-1]
    center = (top + bottom) / 2
    before, behind = (int(np.linalg.norm(top[end] - bottom[end]) / 4 // STEP) for end in (0, -1))
    if len(center) > before + behind + 2:
        top, center, bottom = (line[before : len(line) - behind] for line in (top, center, bottom))
    return band(top, center, bottom, NARROW)


def _points(line: np.ndarray, count: int) -> np.ndarray:
    """count + 1 points at equal distances along a line (n, 2)."""
    edges, upto = lengths(line)
    places = np.arange(1, count) * (upto[-1] / (count + 1e-8))
    edge = np.clip(np.searchsorted(upto, places, side="right") - 1, 0, len(edges) - 1)
    share = (places - upto[edge]) / np.maximum(edges[edge], 1e-8)
    inner = line[edge] + (line[edge + 1] - line[edge]) * share[:, None]
    return np.concatenate([line[:1], inner, line[-1:]])


def fourier(outline: np.ndarray, degree: int) -> np.ndarray:
    """Coefficients (2 * degree + 1,) complex of an outline (n, 2), the lowest frequency first, clockwise, from the
    upmost point near its middle on."""
    points = _around(outline)
    aside, down = (points - points.mean(axis=0)).T
    near = np.argsort(np.abs(aside))
    start = near[down[near[:8]].argmin()]
    points = np.roll(points, -start, axis=0)
    spectrum = np.fft.fft(points[:, 0] + points[:, 1] * 1j) / len(points)
    values = np.concatenate([spectrum[-degree:], spectrum[: degree + 1]])
    for step in (1, 2)[:degree]:
        forth, back = abs(values[degree + step]), abs(values[degree - step])
        if forth != back:
            return values if forth > back else values[::-1]
    return values[::-1]


def _around(outline: np.ndarray) -> np.ndarray:
    """About 400 points at nearly equal distances around an outline (n, 2)."""
    edges = np.roll(outline, -1, axis=0) - outline
    long = np.sqrt((edges**2).sum(axis=1))
    counts = (long / (long.sum() + 1e-8) * POINTS).astype(np.int32)
    edge = np.repeat(np.arange(len(outline)), counts)
    place = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    return outline[edge] + edges[edge] / counts[edge, None] * place[:, None]
