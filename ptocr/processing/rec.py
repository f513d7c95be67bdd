"""Recogniser input: text lines of one height, padded with zeros on the right."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ptocr.processing.image import checked, normalize_line, resize

Shape = tuple[int, int, int]
WIDTH_STEP = 32  # pixels


def line_width(image: np.ndarray, image_shape: Shape = (3, 48, 320), max_width: int = 3200) -> int:
    """Width in pixels that a line is resized to when it is alone in its batch (and in PaddleX always).

    The height becomes that of `image_shape` and the width follows, rounded up for lines narrower than `image_shape`,
    down for wider ones, and is never more than `max_width`. The padded width is `max(line_width(...), image_shape[2])`.
    """
    return paddle_width(image, image_shape[1], min(paddle_batch_width([image], image_shape), max_width))


def stepped_width(width: int, image_shape: Shape = (3, 48, 320), max_width: int = 3200) -> int:
    """Width that a line of `line_width` is padded to in batch-invariant reading: at least that of `image_shape`, a
    multiple of `WIDTH_STEP`, so that a long text has few different shapes, each of which costs preparation."""
    stepped = -(-width // WIDTH_STEP) * WIDTH_STEP
    return max(width, image_shape[2], min(stepped, max_width))


def paddle_batch_width(images: Sequence[np.ndarray], image_shape: Shape = (3, 48, 320)) -> int:
    """Width that PaddleOCR 2.x pads a whole batch to: that of its widest line, at least that of `image_shape`."""
    _, height, width = image_shape
    return int(height * max([width / height, *(image.shape[1] / image.shape[0] for image in images)]))


def paddle_width(image: np.ndarray, height: int, padded: int) -> int:
    """Width that a line is resized to in a batch of `padded` width (upstream: resize_norm_img)."""
    return min(padded, math.ceil(height * (image.shape[1] / image.shape[0])))


def resize_line(
    image: np.ndarray, height: int, width: int, padded: int | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """Resize a line to (height, width), normalise to (x / 255 - 0.5) / 0.5 and pad with 0.0 up to `padded`.

    Returns float32 (3, height, padded): `out` if given, for example a row of a batch.
    """
    if out is None:
        out = np.empty((3, height, width if padded is None else padded), np.float32)
    normalize_line(resize(checked(image), width, height), out[:, :, :width])
    out[:, :, width:] = 0.0  # upstream pads after normalising, so the padding is mid grey
    return out


def line_batch(
    images: Sequence[np.ndarray], height: int, widths: Sequence[int], padded: int, out: np.ndarray | None = None
) -> np.ndarray:
    """A recogniser batch, float32 (N, 3, height, padded); widths: resized width of each line."""
    if out is None:
        out = np.empty((len(images), 3, height, padded), np.float32)
    for image, width, row in zip(images, widths, out, strict=True):
        resize_line(image, height, width, padded, row)
    return out
