"""Spaces between words, for recognisers that lose them: put where the picture of a line has a gap."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np

from ptocr.spec.vocabulary import Spans, Text

BLANK = 0.3  # a column of the picture with less than this share of the usual ink is empty
WIDE = 0.2  # of the line's height: no gap that is narrower is a space ...
WIDER = 0.13  # ... nor one that is not wider by this than the usual gap between the line's letters
DIGITS = 0.33  # WIDE between digits, which are often set apart, each in the middle of a column
MIXED = 0.25  # of the line's height: a gap between an ideograph and a Latin word or number that is a space
ALIKE = 0.7  # WIDE as a share of the spaces that the recogniser did read in the line
APART = 1.3  # so many times the usual distance, as if all letters were equally wide, are two characters around a space;
HARDLY, CLEAR = 1.05, 2.5  # this suffices where their gap is so many times the usual one


def with_gap_spaces(text: Text, line: np.ndarray) -> Text:
    """The reading with spaces where the picture has gaps between letters or digits that are wider than usual in the
    line, or between an ideograph and a word of letters.

    line: (h, w, 3) uint8 BGR, the picture that was read. Gaps beside punctuation are left alone; a space gets the
    column before its end and the score of its neighbours' mean.
    """
    characters, columns = list(text.text), text.columns
    if text.spans is None or len(characters) != len(columns) or len(characters) < 3 or text.steps <= 0:
        return text
    places = np.flatnonzero(_gaps(characters, (columns + 0.5) / text.steps * line.shape[1], line))
    if not len(places):
        return text
    for place in reversed(places.tolist()):
        characters.insert(place + 1, " ")
    scores = (text.char_scores[places] + text.char_scores[places + 1]) / 2
    return replace(
        text,
        text="".join(characters),
        char_scores=np.insert(text.char_scores, places + 1, scores).astype(np.float32),
        spans=Spans(np.insert(columns, places + 1, columns[places + 1] - 1), text.spans.count),
    )


def _gaps(characters: list[str], centers: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Which neighbours have a space between them, (n - 1,) bool. centers: (n,) in pixels."""
    height, empty = line.shape[0], _empty_columns(line)
    ends = np.clip(centers.astype(int), 0, len(empty) - 1).tolist()
    runs = np.array([_longest(empty[a : b + 1]) for a, b in itertools.pairwise(ends)]) / height
    inner = range(1, len(characters) - 1)
    spaces = [_longest(empty[ends[i - 1] : ends[i + 1] + 1]) / height for i in inner if characters[i].isspace()]
    words = np.array([c.isalnum() and c < "\u2e80" for c in characters])  # of scripts that are written with spaces
    pairs = words[1:] & words[:-1]
    mixed = _meetings(characters, words) & (runs > MIXED)
    if not pairs.any():
        return mixed
    distances = _relative(characters, centers, pairs)
    digits = np.array([c.isdigit() for c in characters])
    wide = np.where(digits[1:] & digits[:-1], DIGITS, WIDE)
    if spaces:
        wide = np.maximum(wide, ALIKE * float(np.median(spaces)))
    usual = float(np.median(runs[pairs]))
    apart = (distances > APART) | ((distances > HARDLY) & (runs > CLEAR * usual))
    return mixed | (pairs & (runs > wide) & (runs > usual + WIDER) & apart)


def _meetings(characters: list[str], words: np.ndarray) -> np.ndarray:
    """Where an ideograph stands beside a Latin word or a number, (n - 1,) bool. Single letters are left out: variables
    of formulas stand apart without a space."""
    ideographs = np.array([c.isalnum() and c >= "\u2e80" for c in characters])
    longer = np.zeros(len(characters), bool)
    longer[1:] |= words[:-1]
    longer[:-1] |= words[1:]
    able = words & (longer | np.array([c.isdigit() for c in characters]))
    return (able[1:] & ideographs[:-1]) | (ideographs[1:] & able[:-1])


def _relative(characters: list[str], centers: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """How far neighbours are apart, in usual distances of the line, (n - 1,). Letters are set by their widths or, as
    typewriters do, all alike: whichever the line's distances vary less in."""
    widths = np.array([_width(c) for c in characters])
    best, least = np.zeros(len(pairs)), np.inf
    for wide in (widths, np.ones_like(widths)):
        distances = np.diff(centers) / (wide[1:] + wide[:-1])
        usual = max(float(np.median(distances[pairs])), 1e-6)
        spread = float(np.median(np.abs(distances[pairs] / usual - 1)))
        if spread < least:
            best, least = distances / usual, spread
    return best


def _empty_columns(line: np.ndarray) -> np.ndarray:
    """Which columns of a line have hardly any ink, (w,) bool; the upper and lower edge of the picture do not count."""
    gray = cv2.cvtColor(line, cv2.COLOR_BGR2GRAY).astype(np.float32)
    height = len(gray)
    ink = np.abs(gray[height // 8 : max(height - height // 8, height // 8 + 1)] - np.median(gray))
    strokes = np.sort(ink, axis=0)[-max(2, height // 12) :].mean(axis=0)
    return np.asarray(strokes < BLANK * max(float(np.percentile(strokes, 90)), 1.0))


def _longest(flags: np.ndarray) -> int:
    """The most neighbouring True values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _width(character: str) -> float:
    """About how wide a character is set, in widths of an n."""
    if character in "iljtfrI1.,:;'|!()[]":
        return 0.6
    return 1.5 if character in "mwMW%@" else 1.2 if character.isupper() else 1.0
