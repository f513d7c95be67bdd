"""Tables for people: scores before and after a run, and what a data set holds."""

from __future__ import annotations

from collections.abc import Sequence

from ptocr.train.resume import Scores

TITLES = {"val": "your set", "base": "base set"}


def score_table(before: Scores, after: Scores) -> str:
    """Markdown: one row per set and score, in per cent, with the change in points."""
    rows = [("set", "score", "before", "after", "change")]
    for name in TITLES:
        for score, value in after.get(name, {}).items():
            start = before.get(name, {}).get(score)
            change = "" if start is None else f"{100 * (value - start):+.1f}"
            rows.append((TITLES[name], score, _percent(start), _percent(value), change))
    return markdown(rows)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def markdown(rows: Sequence[Sequence[object]]) -> str:
    """Rows as an aligned markdown table; the first is the heading."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in texts]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)
