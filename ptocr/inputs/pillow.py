"""Pillow pictures of any mode -> page images, a few rows at a time, and what memory that takes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.arrays import to_bgr

log = logging.getLogger(__name__)

_BLOCK = 1 << 22  # pixels that are converted at a time
_ROWS = 256
_BITS = 258  # tag of TIFF

# Bytes of a pixel while it is decoded: in Pillow's memory, as an array, as a page, and what blending takes.
_OF_A_MODE = {"L": 4, "RGB": 7, "LA": 12, "RGBA": 14, "I": 12, "F": 12, "I;16": 8}
# and in the memory of the libraries below, where that is more than a few rows
_OF_A_FORMAT = {"WEBP": 12, "JPEG2000": 20, "AVIF": 12, "HEIF": 12, "GIF": 8, "PNG": 8, "TIFF": 8, "JPEG": 6, "MPO": 6}
BYTES_OF_AN_ICON = 18


def bytes_of_a_pixel(image: Image.Image) -> int:
    """What decoding a picture takes, from its header."""
    return _OF_A_MODE[_array_mode(image)[:4]] + _OF_A_FORMAT.get(str(image.format), 4)


def _array_mode(image: Image.Image) -> str:
    """The mode whose pixels are taken: grey or colours, with alpha or without, measurements, 16 bits of any order."""
    mode = image.mode
    if mode in ("PA", "RGBa", "La") or (mode in ("P", "L", "RGB") and "transparency" in image.info):
        return "LA" if mode in ("L", "La") else "RGBA"
    if mode == "1":
        return "L"
    if mode in ("L", "LA", "RGB", "RGBA", "F", "I") or mode.startswith("I;16"):
        return mode
    return "RGB"  # palette, CMYK, YCbCr, LAB, HSV, RGBX


def widen_planes(image: Image.Image) -> None:
    """Of a TIFF whose colours lie one after another, uncompressed and with 16 bits: Pillow takes them for 8 bits."""
    tags: Any = getattr(image, "tag_v2", {})
    if {*tags.get(_BITS, ())} == {16}:
        order = "L" if tags.prefix == b"II" else "B"
        image.tile = [_widened(tile, order) for tile in image.tile]  # type: ignore[attr-defined]


def _widened(tile: Any, order: str) -> Any:
    """tile: (kind, box, place, arguments) as Pillow has it, in some versions with names."""
    kind, box, place, args = tile
    if kind != "raw" or len(args[0]) != 1:
        return tile
    return getattr(type(tile), "_make", tuple)((kind, box, place, (f"{args[0]};16{order}", *args[1:])))


def pillow_to_bgr(image: Image.Image, name: str = "picture") -> np.ndarray:
    """A Pillow image of any mode -> BGR uint8 (H, W, 3). Pixels as they lie: no EXIF rotation here."""
    mode = _array_mode(image)
    out: np.ndarray | None = None
    for rows, block in _blocks(image, mode):  # a few rows at a time: Pillow copies what it hands out, twice
        block = to_bgr(block, name, order="rgb") if mode in ("L", "RGB") else block
        if out is None:
            out = np.empty((image.height, *block.shape[1:]), block.dtype)
        out[rows] = block
    if out is None:
        raise InputError(f"{name}: picture of {image.width} x {image.height} pixels")
    if mode in ("L", "RGB"):
        return out
    return to_bgr(_stretch(out, name) if mode in ("F", "I") else out, name, order="rgb")


def _blocks(image: Image.Image, mode: str) -> Iterator[tuple[slice, np.ndarray]]:
    image.load()
    step = max(1, _BLOCK // max(image.width, 1))
    for top in range(0, image.height, step):
        rows = slice(top, min(top + step, image.height))
        strip = image.crop((0, rows.start, image.width, rows.stop))
        yield rows, np.asarray(strip if strip.mode == mode else strip.convert(mode))


def _stretch(pixels: np.ndarray, name: str) -> np.ndarray:
    """Measurements of unknown range (float and 32-bit files): smallest value black, largest white, unless 0..255.

    What is no number becomes black, infinities black and white, with a warning.
    """
    blocks = [pixels[top : top + _ROWS] for top in range(0, len(pixels), _ROWS)]
    odd, low, high = 0, np.inf, -np.inf
    for block in blocks:
        finite = block if block.dtype.kind == "i" else block[np.isfinite(block)]
        odd += block.size - finite.size
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if odd == pixels.size:
        raise InputError(f"{name}: none of its values is a finite number")
    if odd:
        log.warning("%s: %d of its values are no finite numbers; read as black, positive infinity as white", name, odd)
    if low >= 0 and high <= 255:
        if not odd:
            return pixels
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    out = np.empty(pixels.shape, np.uint8)
    scale = 255.0 / max(high - low, 1e-6)
    for number, block in enumerate(blocks):
        with np.errstate(invalid="ignore"):  # signalling NaNs
            wide = block.astype(np.float64)
        grey = np.clip((np.nan_to_num(wide, nan=low, posinf=high, neginf=low) - low) * scale, 0, 255)
        out[number * _ROWS : number * _ROWS + len(block)] = np.rint(grey.astype(np.float32))
    return out
