"""Points of a page as it was read, back in the picture that the user gave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptocr.processing.geometry import rotate_points


@dataclass(frozen=True)
class Turned:
    """The page was turned counter-clockwise by `angle`; size: (height, width) after that."""

    angle: int
    size: tuple[int, int]

    def back(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the turned page, in the page before."""
        return rotate_points(points, -self.angle % 360, self.size)


@dataclass(frozen=True, eq=False)
class Unwarped:
    """The page was flattened. grid: (2, rows, columns) where in the page before, x and y in [-1, 1], the points of a
    regular grid over the flat page lie; size: (height, width) of both."""

    grid: np.ndarray
    size: tuple[int, int]

    def back(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the flat page, in the page before; bilinear between the grid's points."""
        points = np.asarray(points, np.float64)
        _, rows, columns = self.grid.shape
        height, width = self.size
        x = np.clip(points[..., 0] / max(width - 1, 1), 0, 1) * (columns - 1)
        y = np.clip(points[..., 1] / max(height - 1, 1), 0, 1) * (rows - 1)
        left, top = np.minimum(x.astype(int), columns - 2), np.minimum(y.astype(int), rows - 2)
        fx, fy = x - left, y - top
        upper = self.grid[:, top, left] * (1 - fx) + self.grid[:, top, left + 1] * fx
        lower = self.grid[:, top + 1, left] * (1 - fx) + self.grid[:, top + 1, left + 1] * fx
        where = upper * (1 - fy) + lower * fy  # (2, ...)
        return np.stack([(where[0] + 1) / 2 * (width - 1), (where[1] + 1) / 2 * (height - 1)], axis=-1)


Step = Turned | Unwarped


@dataclass(frozen=True)
class PageMap:
    """What was done to a page before it was read, in order."""

    steps: tuple[Step, ...] = ()

    def then(self, step: Step) -> PageMap:
        """The map with one more step."""
        return PageMap((*self.steps, step))

    def back(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the page as it was read, in the user's picture."""
        for step in reversed(self.steps):
            points = step.back(points)
        return points
