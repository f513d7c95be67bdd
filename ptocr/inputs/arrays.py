"""Arrays of any common layout -> BGR uint8 (height, width, 3)."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from ptocr.errors import InputError

Order = Literal["bgr", "rgb"]

_ROWS = 512  # rows per step where a whole page in a wider type would double the memory


def to_bgr(array: np.ndarray, name: str = "array", order: Order = "bgr") -> np.ndarray:
    """Make a page image of an array.

    Layouts: (H, W) or (H, W, 1) grey, (H, W, 2) grey + alpha, (H, W, 3) colour, (H, W, 4) colour + alpha; `order` says
    how the colours lie. A BGR uint8 array is returned as it is, not copied.
    Values: uint8 as is; bool as black and white; wider integers by the number of bits that their largest value needs
    (8, 10, 12, 14, 16 ...), so 8-bit data in a wide type stays what it is; floats in 0..1 or 0..255. Alpha is blended
    away on black or white, whichever stands out from the visible content.

    Raises InputError for other shapes and values.
    """
    pixels = _to_uint8(_as_hwc(array, name), name)
    channels = pixels.shape[2]
    if channels in (2, 4):
        pixels = blend_alpha(pixels[:, :, :-1], pixels[:, :, -1])
    if pixels.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(pixels if order == "bgr" else pixels[:, :, ::-1])


def _as_hwc(array: np.ndarray, name: str) -> np.ndarray:
    shape = array.shape
    if array.size == 0:
        raise InputError(f"{name}: array of shape {shape} holds no pixels")
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim == 3 and shape[2] in (1, 2, 3, 4):
        return array
    hint = ""
    if array.ndim == 3 and shape[0] in (1, 3, 4):
        hint = "; it looks like (channels, height, width): transpose it"
    elif array.ndim == 4:
        hint = "; give the pictures of a batch as a list"
    raise InputError(f"{name}: array of shape {shape}, expected (height, width) or (height, width, 1..4){hint}")


def _to_uint8(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind in "iu":  # durations are integers to NumPy's issubdtype
        return _integers_to_uint8(array, name)
    if np.issubdtype(array.dtype, np.floating):
        return _floats_to_uint8(array, name)
    raise InputError(f"{name}: array of type {array.dtype}, expected integers, floats or bool")


def _integers_to_uint8(array: np.ndarray, name: str) -> np.ndarray:
    low, high = int(array.min()), int(array.max())
    if low < 0:
        raise InputError(f"{name}: pixel values from {low} to {high}; negative ones have no meaning")
    bits = max(8, high.bit_length() + high.bit_length() % 2)  # cameras and scanners store 8, 10, 12, 14 or 16 bits
    out = np.empty(array.shape, np.uint8)
    for top in range(0, array.shape[0], _ROWS):
        out[top : top + _ROWS] = array[top : top + _ROWS] >> (bits - 8)
    return out


def _floats_to_uint8(array: np.ndarray, name: str) -> np.ndarray:
    low, high = float(np.nanmin(array)), float(np.nanmax(array))
    if not (low >= 0.0 and high <= 255.0):
        raise InputError(f"{name}: float pixels from {low:g} to {high:g}; expected 0..1 or 0..255")
    factor = 255.0 if high <= 1.0 else 1.0
    out = np.empty(array.shape, np.uint8)
    for top in range(0, array.shape[0], _ROWS):
        block = np.nan_to_num(array[top : top + _ROWS].astype(np.float32), nan=0.0) * factor
        out[top : top + _ROWS] = np.rint(block)
    return out


def blend_alpha(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay a picture with transparency on a plain background.

    color: (H, W, 1 or 3) uint8; alpha: (H, W) uint8. An alpha channel that is the same everywhere says nothing and is
    dropped. Returns (H, W, 1 or 3) uint8.
    """
    if int(alpha.min()) == int(alpha.max()):
        return color
    background = _background(color, alpha)
    out = np.empty(color.shape, np.uint8)
    for top in range(0, color.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        weight = alpha[rows, :, None].astype(np.uint16)
        out[rows] = (color[rows] * weight + background * (255 - weight) + 127) // 255
    return out


def _background(color: np.ndarray, alpha: np.ndarray) -> int:
    """White (255) or black (0): what stands out from the content where it borders on transparency."""
    visible = (alpha >= 128).view(np.uint8)
    edge = visible - cv2.erode(visible, np.ones((3, 3), np.uint8), iterations=2, borderValue=1)
    if not edge.any():  # faint all over, or nothing but hard edges of the page
        edge = alpha
    bright = total = 0.0
    for top in range(0, color.shape[0], _ROWS):
        weight = edge[top : top + _ROWS].astype(np.float32)
        bright += float((color[top : top + _ROWS].astype(np.float32).mean(axis=2) * weight).sum())
        total += float(weight.sum())
    return 255 if bright <= 127.5 * total else 0
