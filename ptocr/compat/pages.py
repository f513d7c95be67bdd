"""Inputs of other projects' calls -> pages."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.page import Page, ReadOptions, check_bytes
from ptocr.inputs.pillow import bytes_of_a_pixel
from ptocr.inputs.read import iter_pages


def bgr_pages(source: Any, behind: tuple[int, int, int], max_pages: int = 0) -> Iterator[Page]:
    """The pages of an input; what is transparent lies on the colour `behind` (B, G, R).

    Raises:
        InputError: it cannot be read.
    """
    for item in source if isinstance(source, list | tuple) else [source]:
        image = _with_alpha(item)
        if image is None:
            yield from iter_pages(item, max_pages=max_pages)
        else:
            yield Page(_laid_on(image, behind), os.fspath(item) if isinstance(item, str | os.PathLike) else None)


def only_page(source: Any) -> Page:
    """The one page of an input.

    Raises:
        InputError: it cannot be read, or holds more than one page.
    """
    pages = list(iter_pages(source, max_pages=2))
    if len(pages) != 1:
        name = source if isinstance(source, str) else "the input"
        raise InputError(f"{name}: holds {pages[0].page_count} pages, and one picture is read at a time")
    return pages[0]


def _with_alpha(item: Any) -> np.ndarray | None:
    """The pixels (H, W, 4) BGRA of an array, file or bytes with transparency; None for all else."""
    if isinstance(item, np.ndarray):
        return item if item.ndim == 3 and item.shape[2] == 4 and item.dtype == np.uint8 else None
    stream = io.BytesIO(item) if isinstance(item, bytes) else item
    if not isinstance(stream, io.BytesIO) and not (isinstance(item, str | os.PathLike) and Path(item).is_file()):
        return None
    try:
        with Image.open(stream) as picture:
            if picture.mode not in ("RGBA", "LA", "PA") and "transparency" not in picture.info:
                return None
            check_bytes(picture.size, bytes_of_a_pixel(picture), ReadOptions(), str(item)[:200])
            rgba = np.asarray(picture.convert("RGBA"))
    except (OSError, ValueError, Image.DecompressionBombError):
        return None  # `iter_pages` says what is wrong with it
    return np.ascontiguousarray(rgba[:, :, [2, 1, 0, 3]])


def _laid_on(image: np.ndarray, behind: tuple[int, int, int]) -> np.ndarray:
    weight = image[:, :, 3:].astype(np.float32) / 255
    return np.rint(image[:, :, :3] * weight + np.asarray(behind, np.float32) * (1 - weight)).astype(np.uint8)
