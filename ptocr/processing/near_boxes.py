"""Neighbours among many upright boxes, found without comparing all with all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class NearBoxes:
    """Upright boxes, by their upper edges: only those between which a box lies are looked at.

    low, high: (n, 2), x and y of the upper left and the lower right corners.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        self.low, self.high = low, high
        self.order = np.argsort(low[:, 1], kind="stable")
        self.tops = low[self.order, 1]
        self.tallest = (high[:, 1] - low[:, 1]).max(initial=0)

    def __call__(self, number: int) -> np.ndarray:
        """The numbers of the boxes that touch this one, itself among them."""
        low, high = self.low[number], self.high[number]
        first = np.searchsorted(self.tops, low[1] - self.tallest, "left")
        found = self.order[first : np.searchsorted(self.tops, high[1], "right")]
        x_low, x_high, bottoms = self.low[found, 0], self.high[found, 0], self.high[found, 1]
        return found[(x_low <= high[0]) & (x_high >= low[0]) & (bottoms >= low[1])]


def suppressed_by(order: np.ndarray, near: NearBoxes, twins: Callable[[int, int], bool]) -> np.ndarray:
    """Non-maximum suppression: which of n boxes stay, in their `order` (n,), the best first.

    twins: whether of two that touch one alone is to stay.
    """
    left = np.ones(len(order), bool)
    kept = []
    for best in order.tolist():
        if left[best]:
            left[best] = False
            kept.append(best)
            others = near(best)
            for other in others[left[others]].tolist():
                left[other] = not twins(best, other)
    return np.array(kept, np.int64)
