"""Augmentation of text lines: joining, TIA warps, small photometric changes (upstream RecConAug, RecAug)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ptocr.data.label_settings import AugmentPart

GRID = 100  # pixels between the nodes at which a warp is computed; between them it is interpolated


def mls_map(size: tuple[int, int], source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of a warped picture comes from, when `source` points move to `target` points.

    Moving least squares with similarity transforms (Schaefer, McPhail, Warren 2006), as in TIA (arXiv 2003.06606).
    size: (height, width); points: (n, 2) as (x, y). Returns x and y, float32 (height, width).
    """
    height, width = size
    xs, ys = _nodes(width), _nodes(height)
    v = (xs[None, :] + 1j * ys[:, None])[..., None]  # a point is one complex number: (rows, columns, 1)
    p, q = target @ [1, 1j], source @ [1, 1j]
    away = np.abs(v - p) ** 2
    weight = 1 / np.maximum(away, 1e-12)
    weight /= weight.sum(-1, keepdims=True)
    centre_p, centre_q = (weight * p).sum(-1), (weight * q).sum(-1)
    p_hat = p - centre_p[..., None]
    turn = (weight * p_hat.conj() * (q - centre_q[..., None])).sum(-1) / (weight * np.abs(p_hat) ** 2).sum(-1)
    moved = centre_q + (v[..., 0] - centre_p) * turn
    hit = away.min(-1) < 1e-12
    moved[hit] = q[away.argmin(-1)[hit]]
    shift = moved - v[..., 0]
    # nodes -> pixels: the position of each pixel among the nodes, then bilinear
    column = np.interp(np.arange(width), xs, np.arange(len(xs))).astype(np.float32)
    row = np.interp(np.arange(height), ys, np.arange(len(ys))).astype(np.float32)
    at = np.meshgrid(column, row)
    dx = cv2.remap(shift.real.astype(np.float32), *at, cv2.INTER_LINEAR)
    dy = cv2.remap(shift.imag.astype(np.float32), *at, cv2.INTER_LINEAR)
    return np.arange(width, dtype=np.float32) + dx, np.arange(height, dtype=np.float32)[:, None] + dy


def _nodes(side: int) -> np.ndarray:
    return np.unique(np.append(np.arange(0, side, GRID), side - 1)).astype(np.float64)


def warp(image: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The picture with `source` points moved to `target` points; borders are repeated."""
    x, y = mls_map(image.shape[:2], np.asarray(source, np.float64), np.asarray(target, np.float64))
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _corners(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


def _cuts(image: np.ndarray, segments: int) -> np.ndarray:
    """Points on the upper and lower edge between the segments: (segments - 1, 2 edges, 2)."""
    height, width = image.shape[:2]
    x = width // segments * np.arange(1, segments, dtype=np.float64)
    return np.stack([np.stack([x, np.zeros_like(x)], 1), np.stack([x, np.full_like(x, height)], 1)], 1)


def _all(corners: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    return np.concatenate([corners, cuts.reshape(-1, 2)])


def distort(image: np.ndarray, segments: int, rng: np.random.Generator) -> np.ndarray:
    """Move corners inwards and cut points anywhere, by up to a third of a segment."""
    reach = image.shape[1] // segments // 3
    if reach < 1:
        return image
    corners, cuts = _corners(image), _cuts(image, segments)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    moved = corners + inwards * rng.integers(0, reach, (4, 2))
    shifted = cuts + rng.integers(0, reach, cuts.shape) - reach / 2
    return warp(image, _all(corners, cuts), _all(moved, shifted))


def stretch(image: np.ndarray, segments: int, rng: np.random.Generator) -> np.ndarray:
    """Make segments wider and narrower."""
    reach = image.shape[1] // segments * 4 // 5
    if reach < 1:
        return image
    corners, cuts = _corners(image), _cuts(image, segments)
    shifted = cuts.copy()
    shifted[..., 0] += rng.integers(0, reach, (len(cuts), 1)) - reach / 2
    return warp(image, _all(corners, cuts), _all(corners, shifted))


def perspective(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make the left and the right edge shorter, each at both ends."""
    reach = image.shape[0] // 2
    if reach < 1:
        return image
    corners = _corners(image)
    moved = corners.copy()
    moved[:, 1] += np.array([1, 1, -1, -1]) * rng.integers(0, reach, 4)
    return warp(image, corners, moved)


def trim(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut 1 to 8 rows off the top or the bottom."""
    rows = min(int(rng.integers(1, 9)), image.shape[0] - 1)
    return image[rows:] if rng.integers(2) else image[: image.shape[0] - rows]


def shift_diagonally(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smear by a few pixels down to the right (upstream jitter)."""
    steps = int(rng.random() * min(image.shape[:2]) * 0.01)
    out = image.copy()
    for step in range(1, steps):
        out[step:, step:] = image[:-step, :-step]
    return out


def brightness(image: np.ndarray, rng: np.random.Generator, reach: float = 0.001) -> np.ndarray:
    """Change the value channel by up to `reach` of itself (upstream hsv_aug, hardly visible by default)."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[..., 2] = np.clip(hsv[..., 2] * (1 + reach * rng.uniform(-1, 1)), 0, 255)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def noise(image: np.ndarray, rng: np.random.Generator, variance: float = 0.1) -> np.ndarray:
    """Gaussian noise at half strength (upstream add_gasuss_noise)."""
    return np.clip(image + 0.5 * rng.normal(0, variance**0.5, image.shape), 0, 255).astype(np.uint8)


def blur(image: np.ndarray) -> np.ndarray:
    """Gaussian blur of 5 pixels, sigma 1."""
    return cv2.GaussianBlur(image, (5, 5), 1)


class RecAugment:
    """Upstream's RecAug: TIA warps, then crop, blur, brightness, jitter, noise, inversion, each by its probability."""

    def __init__(self, part: AugmentPart) -> None:
        self.part = part

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """image: BGR uint8 (H, W, 3); a new picture of nearly the same size."""
        part = self.part
        large = min(image.shape[:2]) >= 20
        if rng.random() < part.tia and large:
            image = distort(image, int(rng.integers(3, 7)), rng)
            image = stretch(image, int(rng.integers(3, 7)), rng)
            image = perspective(image, rng)
        if rng.random() < part.crop and large:
            image = trim(image, rng)
        if rng.random() < part.blur:
            image = blur(image)
        if rng.random() < part.hsv:
            image = brightness(image, rng)
        if rng.random() < part.jitter:
            image = shift_diagonally(image, rng)
        if rng.random() < part.noise:
            image = noise(image, rng)
        if rng.random() < part.reverse:
            image = 255 - image
        return image


def join_lines(
    image: np.ndarray,
    text: str,
    others: Sequence[tuple[np.ndarray, str]],
    max_length: int,
    max_ratio: float,
    height: int = 48,
) -> tuple[np.ndarray, str]:
    """Put further lines behind a line as long as text and picture stay short enough (upstream RecConAug).

    max_ratio: greatest width / height of the joined picture.
    """
    for other, more in others:
        ratio = image.shape[1] / image.shape[0] + other.shape[1] / other.shape[0]
        if len(text) + len(more) > max_length or ratio > max_ratio:
            break
        parts = [cv2.resize(i, (max(1, round(i.shape[1] / i.shape[0] * height)), height)) for i in (image, other)]
        image, text = np.concatenate(parts, axis=1), text + more
    return image, text
