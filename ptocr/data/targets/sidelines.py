"""Upper and lower edge of a text's outline, and points at equal distances along them (FCENet, DRRG).

Upstream: ppocr/data/imaug/fce_targets.py, drrg_targets.py.
"""

from __future__ import annotations

import numpy as np

EPS = 1e-8


def sidelines(outline: np.ndarray, upright: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """The upper and the lower edge, (k, 2) and (m, 2), of an outline (n >= 3, 2) in the order of its points, so that
    they run in opposite directions. upright: a quad so many times as high as wide has its ends above and below.

    Upstream repeats the last point of each outline until all of a page have as many, so that what it takes for a quad's
    ends depends on the other texts there; here every outline is looked at as it was drawn.
    """
    if len(outline) == 3:
        outline = np.concatenate([outline, outline[-1:]])
    head, tail = _quad_ends(outline, upright) if len(outline) == 4 else _curve_ends(outline)
    count = len(outline)
    twice = np.concatenate([outline, outline])
    first, last = head + 1, tail + 1
    if head == count - 1:
        first = 0
    one, other = twice[first:last], twice[last : first + count]
    return (other, one) if one.mean(axis=0)[1] > other.mean(axis=0)[1] else (one, other)


def _quad_ends(quad: np.ndarray, upright: float) -> tuple[int, int]:
    """Numbers of the points that a quad's two ends begin with."""
    edges = np.roll(quad, -1, axis=0) - quad
    slopes = np.abs(edges[:, 1] / (edges[:, 0] + EPS))
    lengths = np.linalg.norm(edges, axis=1)
    level, steep = ((0, 2), (3, 1)) if slopes[0] + slopes[2] < slopes[1] + slopes[3] else ((3, 1), (0, 2))
    high, wide = (lengths[pair[0]] + lengths[pair[1]] for pair in (steep, level))
    return level if high > wide * upright else steep


def _curve_ends(outline: np.ndarray) -> tuple[int, int]:
    """Numbers of the points that the two ends of an outline of five points or more begin with: those edges that turn
    most, lie farthest out, and have the most points between them."""
    count = len(outline)
    edges = np.roll(outline, -1, axis=0) - outline
    before, behind = np.roll(edges, 1, axis=0), np.roll(edges, -1, axis=0)
    turns = (_angle(edges, before) + _angle(edges, behind)) / np.pi
    far = np.linalg.norm(outline - outline.mean(axis=0), axis=1)
    far = np.maximum(np.roll(far, -1), far)
    score = 0.5 * turns + 0.15 * (_angle(before, behind) / np.pi) + 0.35 * (far / (far.max() + EPS))
    if count % 2 == 0:  # where annotators begin
        score[[count // 2 - 1, -1]] += 0.1
    along = np.arange(count - 3) / (count - 4)
    middle = np.exp(-(((along - 0.5) / 0.5) ** 2) / 2)
    others = (np.arange(count)[:, None] + 2 + np.arange(count - 3)) % count
    pairs = score[:, None] + score[others] * (middle / middle.max()) * 0.3
    head, step = np.unravel_index(pairs.argmax(), pairs.shape)
    tail = int(others[head, step])
    head = int(head)
    return (tail, head) if (head + 1) % count > (tail + 1) % count else (head, tail)


def _angle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angles (n,) between vectors (n, 2), in radians."""
    first, second = (v / (np.linalg.norm(v, axis=1, keepdims=True) + EPS) for v in (first, second))
    return np.arccos(np.clip((first * second).sum(axis=1), -1, 1))


def lengths(line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a line (n, 2) the length of each edge, (n - 1,), and up to each point, (n,)."""
    edges = np.linalg.norm(np.diff(line, axis=0), axis=1)
    return edges, np.concatenate([[0.0], np.cumsum(edges)])


def band(top: np.ndarray, center: np.ndarray, bottom: np.ndarray, share: float) -> np.ndarray:
    """Quads (n - 1, 4, 2) int32 between points of lines (n, 2), drawn in towards the center to a share."""
    upper, lower = center + (top - center) * share, center + (bottom - center) * share
    return np.stack([upper[:-1], upper[1:], lower[1:], lower[:-1]], axis=1).astype(np.int32)
