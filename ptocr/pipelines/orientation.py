"""Which way up lines and pages are, decided by what reads better.

The official line classifier alone turns some long upright lines over. Here its word only makes a line suspect: a
suspect is read both ways, and the lines of a page inform each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ptocr.document.tree import Line
from ptocr.processing.image import rotate

MARGIN = 0.5  # mean log-odds per character that a line needs against the vote of a unanimous page
LOW, HIGH = -4.0, 5.0  # bounds of one character's log-odds, so that none decides alone
ENOUGH = 4.0  # characters that must speak for turning a page
KEPT = 0.7  # a page that was turned must read this well, compared with before; spaces that come or go matter little
COLUMNS = 0.25  # share of the log-odds of standing lines that their characters side by side must have in columns


class Scored(Protocol):
    """A reading of a line: the recogniser's answer, or a line that has one."""

    @property
    def char_scores(self) -> np.ndarray | None: ...


def log_odds(text: Scored) -> float:
    """Sum over the characters of log(p / (1 - p)): what a reading says for itself; 0 for an empty one."""
    probs = np.clip(_scores(text), 1e-6, 1 - 1e-6)
    return float(np.clip(np.log(probs / (1 - probs)), LOW, HIGH).sum())


def advantage(turned: Scored, upright: Scored) -> float:
    """How much better the line reads turned by 180 degrees, in log-odds per character."""
    count = max(len(_scores(turned)), len(_scores(upright)), 1)
    return (log_odds(turned) - log_odds(upright)) / count


def decide(turned: Sequence[Scored], upright: Sequence[Scored], sure_upright: float) -> list[bool]:
    """For each suspect line, whether to keep it turned.

    turned, upright: its two readings. sure_upright: characters of the page's lines that nobody doubts. First every
    line speaks for itself, then a line that disagrees with the page needs a margin.
    """
    gains = [advantage(a, b) for a, b in zip(turned, upright, strict=True)]
    weights = [max(weight(a), weight(b)) for a, b in zip(turned, upright, strict=True)]
    over = sum(w for w, gain in zip(weights, gains, strict=True) if gain > 0)
    total = sum(weights) + sure_upright
    vote = 0.0 if total <= 0 else 1 - 2 * over / total  # 1: all upright, -1: all upside down
    return [gain > MARGIN * vote for gain in gains]


def weight(text: Scored) -> float:
    """Characters of a line, each counted by how sure it is."""
    return float(np.sum(_scores(text)))


def _scores(text: Scored) -> np.ndarray:
    return np.zeros(0) if text.char_scores is None else np.asarray(text.char_scores, np.float64)


def page_turn(lines: Sequence[Line]) -> int:
    """By how many degrees counter-clockwise the page should be turned to be upright, as its lines have it.

    Most characters in lines that stand: 90 or 270, depending on which way up those read after their quarter turn to
    the left; most in level lines that are upside down: 180. Otherwise 0.
    """
    total = sum(weight(line) for line in lines)
    standing = sum(weight(line) for line in lines if line.turned)
    tall_over = sum(weight(line) for line in lines if line.turned and line.upside_down)
    level_over = sum(weight(line) for line in lines if not line.turned and line.upside_down)
    if standing > max(total / 2, ENOUGH):
        return 270 if tall_over > standing / 2 else 90
    return 180 if level_over > max(total / 2, ENOUGH) else 0


def reads_better(turned: Sequence[Line], before: Sequence[Line]) -> bool:
    """Whether a page that was turned and read again reads about as well as before, or better."""
    after, was = (sum(max(log_odds(line), 0.0) for line in lines) for lines in (turned, before))
    return after >= KEPT * was


def in_ideographs(text: str) -> bool:
    """Whether a text is mostly in a script that is also written in columns."""
    ideographs = sum("\u3040" <= c <= "\u30ff" or "\u3400" <= c <= "\u9fff" for c in text)
    return 2 * ideographs > sum(not c.isspace() for c in text)


def side_by_side(crop: np.ndarray, centers: Sequence[float]) -> np.ndarray:
    """The characters of a standing line as a level one, each as it stands on the page.

    crop: (h, w, 3), the line after its quarter turn to the left; centers: of its characters, as fractions of w.
    """
    column = rotate(crop, 270)  # as it stands on the page
    length, side = column.shape[:2]
    starts = [min(max(int(c * length - side / 2), 0), max(length - side, 0)) for c in centers]
    return np.concatenate([column[a : a + side] for a in starts], axis=1)


def written_in_columns(level: Sequence[Scored], standing: Sequence[Scored]) -> bool:
    """Whether standing lines are columns of upright ideographs, not level lines of a page on its side.

    level: readings of `side_by_side` pictures, which make sense for columns only; standing: those of the lines.
    """
    return sum(map(log_odds, level)) > COLUMNS * sum(map(log_odds, standing))
