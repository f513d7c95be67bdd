"""Table structure networks: their input, and HTML tokens with the boxes of cells.

Upstream: ppocr/data/imaug/table_ops.py, ppocr/postprocess/table_postprocess.py (TableLabelDecode).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ptocr.processing.image import checked, normalize
from ptocr.spec.tasks import TableMasterPostprocess, TablePostprocess, TablePreprocess

CELLS = ("<td>", "<td", "<td></td>")  # tokens that begin a cell


@dataclass(frozen=True, eq=False)
class Structure:
    """The structure of a table: HTML tokens in order, the corners of each cell (n, 4, 2) in pixels of the picture,
    clockwise from the top left, float64; score: mean probability of the tokens."""

    tokens: tuple[str, ...]
    cells: np.ndarray
    score: float


def table_input(image: np.ndarray, pre: TablePreprocess) -> np.ndarray:
    """(H, W, 3) uint8 BGR -> float32 (3, side, side)."""
    height, width = checked(image).shape[:2]
    ratio = pre.side / max(height, width)
    size = max(1, int(width * ratio)), max(1, int(height * ratio))  # cut off, not rounded, as upstream
    norm = pre.normalize
    out = np.zeros((3, pre.side, pre.side), np.float32)
    if pre.padding == "black":
        black = np.zeros((pre.side, pre.side, 3), np.uint8)
        out[:] = normalize(black, norm.mean, norm.std, norm.scale, norm.order)
    out[:, : size[1], : size[0]] = normalize(cv2.resize(image, size), norm.mean, norm.std, norm.scale, norm.order)
    return out


def master_structure(
    probs: np.ndarray, boxes: np.ndarray, size: tuple[int, int], post: TableMasterPostprocess
) -> Structure:
    """As `table_structure`; boxes (T, 4) are centre and size of a cell, in [0, 1] of the padded square."""
    best, count = probs.argmax(axis=1), len(post.tokens)
    ends = np.flatnonzero(best[1:] == count + 2)
    steps = np.arange(1 + ends[0] if len(ends) else len(best))
    steps = steps[best[steps] < count]
    tokens = tuple(post.tokens[i] for i in best[steps])
    chosen = [step for step, token in zip(steps, tokens, strict=True) if token in CELLS]
    x, y, width, height = (boxes[chosen].astype(np.float64) * max(size)).T
    half_x, half_y = width // 2, height // 2  # whole pixels, as upstream
    corners = np.stack([x - half_x, y - half_y, x + half_x, y + half_y], axis=1)[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    score = float(probs[steps].max(axis=1).mean()) if len(steps) else 0.0
    return Structure(tokens, corners.reshape(-1, 4, 2), score)


def table_structure(probs: np.ndarray, boxes: np.ndarray, size: tuple[int, int], post: TablePostprocess) -> Structure:
    """Tokens and cells of one picture from token probabilities (T, classes) and boxes (T, 4 or 8) in [0, 1].

    size: (height, width) of the picture. Without cells where the boxes are untrained.
    """
    best = probs.argmax(axis=1)
    ends = np.flatnonzero(best[1:] == len(post.tokens) + 1)
    steps = np.arange(1 + ends[0] if len(ends) else len(best))
    steps = steps[(best[steps] > 0) & (best[steps] <= len(post.tokens))]
    tokens = tuple(post.tokens[i - 1] for i in best[steps])
    height, width = size
    scale = (width, height) if post.boxes == "picture" else (max(size), max(size))
    starts = [step for step, token in zip(steps, tokens, strict=True) if token in CELLS]
    corners = boxes[starts if post.boxes != "untrained" else []].astype(np.float64)
    if corners.shape[1] == 4:  # x0, y0, x1, y1
        corners = corners[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    score = float(probs[steps].max(axis=1).mean()) if len(steps) else 0.0
    return Structure(tokens, corners.reshape(-1, 4, 2) * scale, score)


# By the name of the postprocessing.
STRUCTURES: dict[str, Callable[..., Structure]] = {"cells": table_structure, "master": master_structure}
