"""Sliding windows over lines that are too long for a recogniser, and one text of what was read in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ptocr.spec.settings import RecPreprocess
from ptocr.spec.vocabulary import Spans, Text

OVERLAP = 4.0  # of the windows, in line heights


def line_windows(width: int, height: int, pre: RecPreprocess) -> list[tuple[int, int]]:
    """Overlapping spans of x in which a line is read that would be squeezed otherwise; empty for lines that fit."""
    longest = int(pre.max_width / pre.image_shape[1] * height)
    if width <= longest:
        return []
    overlap = int(OVERLAP * height)
    count = -(-(width - overlap) // (longest - overlap))
    starts = np.linspace(0, width - longest, count).astype(int).tolist()
    return [(a, a + longest) for a in starts]


def merge_windows(parts: Sequence[Text], windows: Sequence[tuple[int, int]], width: int) -> Text:
    """One text from the readings of a line's windows: of each overlap the left half belongs to the left window."""
    texts: list[str] = []
    positions: list[float] = []
    scores: list[float] = []
    for n, (part, (start, end)) in enumerate(zip(parts, windows, strict=True)):
        low = (start + windows[n - 1][1]) / 2 if n else -1.0
        high = (windows[n + 1][0] + end) / 2 if n + 1 < len(windows) else width + 1.0
        if len(part.text) != len(part.columns):  # entries of several characters: no way to cut between them
            texts.append(part.text)
            continue
        for character, column, score in zip(part.text, part.columns, part.char_scores, strict=True):
            x = start + (column + 0.5) / part.steps * (end - start)
            if low <= x < high:
                texts.append(character)
                positions.append(x)
                scores.append(float(score))
    steps = sum(part.steps for part in parts) * width / sum(b - a for a, b in windows)
    columns = np.array([min(int(x / width * steps), int(steps)) for x in positions], np.int64)
    score = float(np.mean(scores)) if scores else 0.0
    return Text("".join(texts), score, np.array(scores, np.float32), Spans(columns, steps))
