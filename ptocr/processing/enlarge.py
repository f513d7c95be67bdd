"""Input and output of text super-resolution. Upstream: tools/infer/predict_sr.py."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ptocr.processing.image import checked


def zoom_input(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """A line (h, w, 3) uint8 BGR -> float32 (3, height, width), RGB in [0, 1], by Pillow's bicubic interpolation."""
    rgb = Image.fromarray(np.ascontiguousarray(checked(image)[:, :, ::-1]))
    small = np.asarray(rgb.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    return small.transpose(2, 0, 1) / np.float32(255)


def zoom_output(output: np.ndarray) -> np.ndarray:
    """float32 (3, H, W) RGB -> (H, W, 3) uint8 BGR. Values outside of [0, 1] are cut off; upstream's wrap around."""
    levels = (np.clip(output, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0)[:, :, ::-1])
