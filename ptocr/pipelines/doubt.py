"""Confidence of readings: scripts that the recogniser does not know, and the probability that a line is right.

A recogniser that meets letters it was never taught reads look-alikes or nothing, and may be sure of what little it
reads, so that scores alone do not tell. What tells is the extent: of text it knows, it is sure of about two characters
per height of the line; of other scripts, of less than one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ptocr.document.tree import Line

SURE = 0.9  # probability from which a character counts
KNOWN = 1.05  # sure characters per line height; below it the script is not one that the recogniser knows
CONTEXT = 4.0  # heights of text of the page's density that are added to each line's own, since short lines tell little
FEW = 3  # lines that a page needs before its script is complained about
BOUND = 8.0  # of one character's log-odds
# Logistic regression of whether a line is right on the terms in `confidence`: PP-OCRv6_small_rec, the pages of
# docs/accuracy.md and lines in 20 scripts and languages of docs/languages.md.
WEIGHTS = (-7.17, -0.41, 0.61, 4.41)


def mark(lines: Sequence[Line], restricted: bool = False) -> None:
    """Set `known_script` and `confidence` of the lines of a page, which have been read and have their pictures.

    restricted: not all characters might be read, so that little was read says nothing about the script.
    """
    if not lines:
        return
    extents = np.array([_extent(line) for line in lines])
    sure = np.array([_sure(line) for line in lines])
    density = float(sure.sum() / extents.sum())
    shrunk = (sure + CONTEXT * density) / (extents + CONTEXT)
    for line, own in zip(lines, shrunk.tolist(), strict=True):
        line.known_script = restricted or own >= KNOWN
        line.confidence = confidence(line, own)


def warning(lines: Sequence[Line], model: str) -> str:
    """What to tell the user about a page most of whose lines are in unknown scripts; empty for other pages."""
    unknown = sum(not line.known_script for line in lines)
    if unknown < FEW or 2 * unknown <= len(lines):
        return ""
    return (
        f"{unknown} of {len(lines)} lines seem to be in a script that {model} does not know, and their texts mean "
        "nothing; choose a recogniser by lang (`ptocr models --lang NAME` lists who reads what)"
    )


def confidence(line: Line, density: float) -> float:
    """Probability that a line's text is right to the last character, by how sure its characters are.

    density: sure characters per line height, as `mark` has it.
    """
    scores = np.zeros(1) if line.char_scores is None or not len(line.char_scores) else line.char_scores
    probs = np.clip(np.asarray(scores, np.float64), 1e-6, 1 - 1e-6)
    odds = np.clip(np.log(probs / (1 - probs)), -BOUND, BOUND)
    errors = float(-np.log(probs).sum())  # about how many
    terms = (1.0, math.log(errors + 1e-4), float(odds.mean()), min(density, KNOWN))
    return 1 / (1 + math.exp(-sum(weight * term for weight, term in zip(WEIGHTS, terms, strict=True))))


def _extent(line: Line) -> float:
    """Length of a line in heights."""
    assert line.crop is not None
    height, width = line.crop.shape[:2]
    return width / max(height, 1)


def _sure(line: Line) -> float:
    """How many of a line's characters are sure; ideographs, which are twice as wide, count twice."""
    if line.char_scores is None or len(line.char_scores) != len(line.text):
        return len(line.text.replace(" ", "")) * float(line.score >= SURE)
    rows = zip(line.text, line.char_scores, strict=True)
    return float(sum((2 if char >= "\u2e80" else 1) for char, score in rows if score >= SURE and not char.isspace()))
