"""A font without ink for the text layer of searchable PDFs: glyphs that differ in their advance width only.

The font file lies beside this module, made by `tools/make_invisible_font.py`.
"""

from __future__ import annotations

import functools
import unicodedata
from pathlib import Path

FONT_FILE = Path(__file__).with_name("invisible.ttf")
UNITS = 1000
ASCENT, DESCENT = 800, 200
# glyph 0 stands for missing characters, then narrow (i, l, comma), ordinary (Latin) and wide (Chinese) ones
ADVANCES = (500, 280, 550, 1000)
_NARROW = frozenset("iljtfrI1!|.,:;'`()[]{}-/\\\"")


def glyph_of(char: str) -> int:
    """The empty glyph whose width suits a character."""
    if unicodedata.east_asian_width(char) in ("W", "F"):
        return 3
    return 1 if char in _NARROW or char == " " else 2


def width_of(text: str) -> float:
    """Width of a text at size 1."""
    return sum(ADVANCES[glyph_of(char)] for char in text) / UNITS


@functools.cache
def font_bytes() -> bytes:
    """The font file (TrueType)."""
    return FONT_FILE.read_bytes()
