"""Thinning: masks to lines one pixel wide (Guo and Hall 1989, as scikit-image's `thin`)."""

from __future__ import annotations

import numpy as np


def thinned(mask: np.ndarray) -> np.ndarray:
    """The skeleton of a mask (H, W) bool: its middle lines, connected as it is."""
    mask = np.asarray(mask, bool)
    before = -1
    while (count := int(np.count_nonzero(mask))) != before:
        before = count
        for half in (0, 4):
            mask = mask & ~_removable(mask, half)
    return mask


def _removable(mask: np.ndarray, half: int) -> np.ndarray:
    """Pixels that one of the two steps of an iteration takes away. half: 0 for the first step, 4 for the second."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    # the neighbours from the right one on, against the clock
    places = [(1, 2), (0, 2), (0, 1), (0, 0), (1, 0), (2, 0), (2, 1), (2, 2)]
    x = [padded[top : top + height, left : left + width] for top, left in places]
    crossings = sum((~x[i] & (x[i + 1] | x[(i + 2) % 8])).astype(np.uint8) for i in range(0, 8, 2))
    pairs = sum((x[i] | x[i + 1]).astype(np.uint8) for i in range(0, 8, 2))
    others = sum((x[i + 1] | x[(i + 2) % 8]).astype(np.uint8) for i in range(0, 8, 2))
    fewest = np.minimum(pairs, others)
    open_side = (x[1 + half] | x[2 + half] | ~x[(7 + half) % 8]) & x[half]
    return mask & (crossings == 1) & (fewest >= 2) & (fewest <= 3) & ~open_side
