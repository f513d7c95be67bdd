"""Classifier inputs (line direction, page direction) and the unwarping network's input and output."""

from __future__ import annotations

import numpy as np

from ptocr.errors import InputError
from ptocr.processing.image import checked, normalize, resize
from ptocr.processing.rec import paddle_width, resize_line
from ptocr.spec.tasks import ClsPreprocess

MAX_ASPECT = 32  # longer pictures are cut to their middle first; only the middle square is looked at anyway


def cls_input(image: np.ndarray, pre: ClsPreprocess, out: np.ndarray | None = None) -> np.ndarray:
    """Network input of a classifier, float32 of `pre.image_shape`, written into `out` if given.

    mode "line" (ch_ppocr_mobile_v2.0_cls): text-line normalisation, aspect ratio kept, zeros on the right; "crop"
    (PP-LCNet doc_ori): short side to `resize_short`, centre crop; "resize" (PP-LCNet textline_ori): plain resize.
    """
    _, height, width = pre.image_shape
    if pre.mode == "line":
        return resize_line(image, height, paddle_width(checked(image), height, width), width, out)
    if pre.mode == "crop":
        image = center_crop(resize_short(image, pre.resize_short or min(height, width)), height, width)
    else:
        image = resize(checked(image), width, height)
    norm = pre.normalize
    return normalize(image, norm.mean, norm.std, norm.scale, norm.order, out)


def resize_short(image: np.ndarray, side: int) -> np.ndarray:
    """Resize so that the shorter side gets `side` pixels (PaddleX: ResizeByShort).

    Of a picture more than 32 times as long as wide only the middle is kept, which bounds the result.
    """
    height, width = checked(image).shape[:2]
    reach = MAX_ASPECT * min(height, width)
    if max(height, width) > reach:
        image = center_crop(image, min(height, reach), min(width, reach))
        height, width = image.shape[:2]
    scale = side / min(height, width)
    return resize(image, round(width * scale), round(height * scale))


def center_crop(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a picture, a view (PaddleX: Crop).

    Raises:
        InputError: the picture is smaller than the crop.
    """
    rows, columns = image.shape[:2]
    if rows < height or columns < width:
        raise InputError(f"centre crop: a picture of {columns}x{rows} px is smaller than the crop of {width}x{height}")
    top, left = (rows - height) // 2, (columns - width) // 2
    return image[top : top + height, left : left + width]


def unwarp_input(image: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """UVDoc input: x / 255 in BGR order and full size, float32 (3, H, W) (PaddleX: WarpPredictor)."""
    return normalize(image, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), out=out)


def unwarp_output(output: np.ndarray) -> np.ndarray:
    """UVDoc output (3, H, W) in [0, 1] to a BGR uint8 picture; truncated, not rounded, as PaddleX does."""
    return np.ascontiguousarray((output * np.float32(255)).astype(np.uint8).transpose(1, 2, 0))
