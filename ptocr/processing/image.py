"""Normalising and turning pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from ptocr.errors import InputError

TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


def checked(image: np.ndarray) -> np.ndarray:
    """The image itself.

    Raises:
        InputError: it is no (H, W, 3) uint8 array with at least one pixel.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise InputError(
            f"picture: a BGR uint8 array (height, width, 3) with at least one pixel is needed, got {image.dtype} "
            f"{image.shape}; ptocr.inputs.read converts files and other arrays"
        )
    return image


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits, of the same shape; those far below zero are 0 without a warning."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits)))


def filled(mask: np.ndarray) -> np.ndarray:
    """A mask (H, W) bool with its holes closed: background that no way of side steps leads out of."""
    canvas = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    cv2.floodFill(canvas, None, (0, 0), 2)
    return canvas[1:-1, 1:-1] != 2


@lru_cache(maxsize=64)
def _table(mean: float, std: float, scale: float) -> np.ndarray:
    """The 256 normalised values of a byte, (256,) float32: the formula of upstream's NormalizeImage, so bit-equal."""
    table = (np.arange(256, dtype=np.float32) * np.float32(scale) - np.float32(mean)) / np.float32(std)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=1)
def _line_table() -> np.ndarray:
    """Values of a byte in a text line, (256,) float32. Upstream divides by 255 here, which rounds differently."""
    table = (np.arange(256, dtype=np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    table.flags.writeable = False
    return table


def normalize(
    image: np.ndarray,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    scale: float = 1 / 255,
    order: str = "bgr",
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Normalise (H, W, 3) BGR uint8 into float32 (3, H, W), channels in `order`, written into `out` if given.

    A byte has 256 values, so one table look-up per channel does it: ten times faster than the arithmetic, equal bits.
    """
    tables = [_table(float(m), float(s), float(scale)) for m, s in zip(mean, std, strict=True)]
    planes = cv2.split(checked(image))
    return _look_up(planes if order == "bgr" else planes[::-1], tables, out)


def normalize_line(image: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """(x / 255 - 0.5) / 0.5 of (H, W, 3) uint8 into float32 (3, H, W): upstream's rule for text lines."""
    return _look_up(cv2.split(checked(image)), [_line_table()] * 3, out)


def _look_up(planes: Sequence[Any], tables: list[np.ndarray], out: np.ndarray | None) -> np.ndarray:
    if out is None:
        out = np.empty((3, *planes[0].shape), np.float32)
    for plane, table, target in zip(planes, tables, out, strict=True):
        cv2.LUT(plane, table, dst=target)
    return out


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bilinear resize; the image itself where the size is right already."""
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def rotate(image: np.ndarray, angle: int) -> np.ndarray:
    """Turn counter-clockwise by 0, 90, 180 or 270 degrees, without loss.

    A page whose orientation class is `angle` comes upright that way. PaddleX turns with a cubic warpAffine about
    (w / 2, h / 2) instead, which moves the picture by up to a pixel and leaves a black edge; not copied.
    """
    if angle % 90:
        raise InputError(f"angle {angle}: pictures are turned by multiples of 90 degrees")
    angle %= 360
    return cv2.rotate(image, TURNS[angle]) if angle else image


def rotate180(image: np.ndarray) -> np.ndarray:
    """The picture upside down."""
    return cv2.rotate(image, cv2.ROTATE_180)
