"""A bar chart of a benchmark report."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from ptocr.document.draw import encode
from ptocr.document.fonts import font_of
from ptocr.files import write_atomic

WIDTH, ROW, GAP, LABEL, MARGIN = 900, 24, 18, 230, 16
OURS, THEIRS, INK = (33, 102, 172), (178, 178, 178), (30, 30, 30)


def save_chart(report: Mapping[str, Any], path: Path) -> Path:
    """One group of bars per measured case, seconds per round (median), shorter is better; ours in blue."""
    groups = {title: _bars(figures) for title, figures in report.items() if isinstance(figures, list)}
    rows = sum(len(bars) + 1 for bars in groups.values())
    picture = Image.new("RGB", (WIDTH, 2 * MARGIN + rows * ROW + len(groups) * GAP), "white")
    draw, font, y = ImageDraw.Draw(picture), font_of(15), MARGIN
    for title, bars in groups.items():
        draw.text((MARGIN, y), f"{title}: seconds, shorter is better", INK, font)
        y += ROW
        longest = max((seconds for _, seconds in bars), default=1.0)
        for name, seconds in bars:
            length = (WIDTH - LABEL - 2 * MARGIN - 80) * seconds / longest
            draw.text((MARGIN, y), name, INK, font)
            colour = OURS if name.startswith("ptocr") else THEIRS
            draw.rectangle((LABEL, y + 3, LABEL + max(1, length), y + ROW - 5), fill=colour)
            draw.text((LABEL + length + 6, y), f"{seconds:.3f}" if seconds < 1 else f"{seconds:.1f}", INK, font)
            y += ROW
        y += GAP
    write_atomic(path, encode(picture, path.suffix))
    return path


def _bars(figures: list[dict[str, Any]]) -> list[tuple[str, float]]:
    done = [figure for figure in figures if not figure["error"] and figure["seconds"]]
    return [(figure["name"], statistics.median(sum(one) for one in figure["seconds"])) for figure in done]
