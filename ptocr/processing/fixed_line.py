"""Recogniser input of one size, whatever the line's aspect ratio, or of the picture's own. Upstream:
ppocr/data/imaug/rec_img_aug.py and tools/infer/predict_rec.py."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from ptocr.processing.image import checked
from ptocr.spec.settings import Normalize, RecPreprocess

OPENCV = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
PILLOW = {"pil_bicubic": Image.Resampling.BICUBIC, "pil_lanczos": Image.Resampling.LANCZOS}
Placed = tuple[np.ndarray, float]  # a line at its size, and the value of the columns to its right


def resized(image: np.ndarray, width: int, pre: RecPreprocess) -> np.ndarray:
    """A line at a width and the height of `image_shape`, uint8."""
    size = (width, pre.image_shape[1])
    if pre.interpolation in PILLOW:
        return np.asarray(Image.fromarray(image).resize(size, PILLOW[pre.interpolation]))
    return cv2.resize(image, size, interpolation=OPENCV[pre.interpolation])


def normalized(image: np.ndarray, channels: int, how: Normalize) -> np.ndarray:
    """uint8 (H, W, 3) BGR or (H, W) -> float32 (C, H, W). Divides by 255 and multiplies by the inverse deviation, as
    upstream does for lines: some decoders multiply the last bit of their input to 1e-3 of a score."""
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    if how.order == "rgb" and image.ndim == 3:
        planes = planes[::-1]
    mean, std = (np.asarray(values[:channels], np.float32)[:, None, None] for values in (how.mean, how.std))
    scaled: np.ndarray = (planes.astype(np.float32) / np.float32(1 / how.scale) - mean) * (np.float32(1) / std)
    return scaled


def in_channels(image: np.ndarray, pre: RecPreprocess) -> np.ndarray:
    """The picture in grey where the network wants one channel."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if pre.image_shape[0] == 1 else image


def _stretched(image: np.ndarray, pre: RecPreprocess) -> Placed:
    return resized(in_channels(image, pre), pre.image_shape[2], pre), 0.0


def _padded(image: np.ndarray, pre: RecPreprocess) -> Placed:
    """By aspect ratio, no wider than all of it."""
    _, height, width = pre.image_shape
    wanted = math.ceil(height * image.shape[1] / image.shape[0])
    return resized(in_channels(image, pre), min(width, wanted), pre), 0.0


def _stepped(image: np.ndarray, pre: RecPreprocess) -> Placed:
    """One to three times as wide as high, or all of the width. It turns grey last, as upstream's does."""
    _, height, width = pre.image_shape
    ratio = math.ceil(image.shape[1] / image.shape[0])
    return in_channels(resized(image, min(width, height * ratio) if ratio <= 3 else width, pre), pre), 0.0


def _bounded(image: np.ndarray, pre: RecPreprocess) -> Placed:
    """By aspect ratio, in multiples of four pixels."""
    _, height, width = pre.image_shape
    wanted = math.ceil(height * image.shape[1] / image.shape[0])
    return resized(in_channels(image, pre), min(width, max(pre.min_width, round(wanted / 4) * 4)), pre), -1.0


def inverted_picture(image: np.ndarray, pre: RecPreprocess) -> np.ndarray:
    """A picture (h, w, 3) uint8 BGR at its own size, black for white, float32 (C, h, w)."""
    return normalized(255 - in_channels(checked(image), pre), pre.image_shape[0], pre.normalize)


RESIZES: dict[str, Callable[[np.ndarray, RecPreprocess], Placed]] = {
    "stretch": _stretched,
    "padded": _padded,
    "steps": _stepped,
    "bounded": _bounded,
}


def fixed_line(image: np.ndarray, pre: RecPreprocess) -> np.ndarray:
    """A line picture (h, w, 3) uint8 BGR -> the network's input, float32 of `image_shape`."""
    return filled_line(image, pre)[0]


def filled_line(image: np.ndarray, pre: RecPreprocess) -> tuple[np.ndarray, float]:
    """The same, and the share of the width that the line fills."""
    line, padding = RESIZES[pre.resize](checked(image), pre)
    picture = np.full(pre.image_shape, padding, np.float32)
    picture[:, :, : line.shape[1]] = normalized(line, pre.image_shape[0], pre.normalize)
    return picture, line.shape[1] / pre.image_shape[2]
