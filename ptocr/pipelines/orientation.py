"""Which way up lines and pages are, decided by what reads better.

The official line classifier alone turns some long upright lines over. Here its word only makes a line suspect: a
suspect is read both ways, and the lines of a page inform each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ptocr.processing.image import rotate
from ptocr.spec.vocabulary import CTCText

MARGIN = 0.5  # mean log-odds per character that a line needs against the vote of a unanimous page
LOW, HIGH = -4.0, 5.0  # bounds of one character's log-odds, so that none decides alone
ENOUGH = 4.0  # characters that must speak for turning a page
KEPT = 0.7  # a page that was turned must read this well, compared with before; spaces that come or go matter little
COLUMNS = 0.25  # share of the log-odds of standing lines that their characters side by side must have in columns


class Line(Protocol):
    """What the votes need to know of a line of a page."""

    @property
    def text(self) -> CTCText: ...
    @property
    def upside_down(self) -> bool: ...
    @property
    def tall(self) -> bool: ...


def log_odds(text: CTCText) -> float:
    """Sum over the characters of log(p / (1 - p)): what a reading says for itself; 0 for an empty one."""
    probs = np.clip(np.asarray(text.char_scores, np.float64), 1e-6, 1 - 1e-6)
    return float(np.clip(np.log(probs / (1 - probs)), LOW, HIGH).sum())


def advantage(turned: CTCText, upright: CTCText) -> float:
    """How much better the line reads turned by 180 degrees, in log-odds per character."""
    count = max(len(turned.char_scores), len(upright.char_scores), 1)
    return (log_odds(turned) - log_odds(upright)) / count


def decide(turned: Sequence[CTCText], upright: Sequence[CTCText], sure_upright: float) -> list[bool]:
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


def weight(text: CTCText) -> float:
    """Characters of a line, each counted by how sure it is."""
    return float(np.sum(text.char_scores))


def page_turn(lines: Sequence[Line]) -> int:
    """By how many degrees counter-clockwise the page should be turned to be upright, as its lines have it.

    Most characters in lines that stand: 90 or 270, depending on which way up those read after their quarter turn to
    the left; most in level lines that are upside down: 180. Otherwise 0.
    """
    total = sum(weight(line.text) for line in lines)
    standing = sum(weight(line.text) for line in lines if line.tall)
    tall_over = sum(weight(line.text) for line in lines if line.tall and line.upside_down)
    level_over = sum(weight(line.text) for line in lines if not line.tall and line.upside_down)
    if standing > max(total / 2, ENOUGH):
        return 270 if tall_over > standing / 2 else 90
    return 180 if level_over > max(total / 2, ENOUGH) else 0


def reads_better(turned: Sequence[Line], before: Sequence[Line]) -> bool:
    """Whether a page that was turned and read again reads about as well as before, or better."""
    after, was = (sum(max(log_odds(line.text), 0.0) for line in lines) for lines in (turned, before))
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


def written_in_columns(level: Sequence[CTCText], standing: Sequence[CTCText]) -> bool:
    """Whether standing lines are columns of upright ideographs, not level lines of a page on its side.

    level: readings of `side_by_side` pictures, which make sense for columns only; standing: those of the lines.
    """
    return sum(map(log_odds, level)) > COLUMNS * sum(map(log_odds, standing))
