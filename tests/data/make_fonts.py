"""Make the fonts of the drawing tests: `python tests/data/make_fonts.py` (needs fonttools).

Each has the characters that its row names and nothing else. The glyph of missing characters is a solid square as high
as the letters of no font here, so that its ink is easily found.
"""

from __future__ import annotations

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

FONTS = {
    "latin": "Helowrd, 12",
    "han": "你好中文 ",
    "hangul": "한국어",
    "arabic": "\u0633\u0644\u0627\u0645 ",
    "thai": "\u0e01\u0e34",
}
FOLDER = Path(__file__).resolve().parent / "fonts"


def _glyph(number: int, char: str) -> object:
    """A triangle below 500 units, of another shape for each character; nothing for a space."""
    pen = TTGlyphPen(None)
    if char != " ":
        pen.moveTo((50, 0))
        pen.lineTo((100 + 30 * number, 450))
        pen.lineTo((450, 20 * number))
        pen.closePath()
    return pen.glyph()


def _missing() -> object:
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 800), (500, 800), (500, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, chars in FONTS.items():
        names = [".notdef", *(f"u{ord(char):04X}" for char in chars)]
        builder = FontBuilder(1000, isTTF=True)
        builder.setupGlyphOrder(names)
        builder.setupCharacterMap({ord(char): f"u{ord(char):04X}" for char in chars})
        glyphs = [_missing(), *(_glyph(number, char) for number, char in enumerate(chars))]
        builder.setupGlyf(dict(zip(names, glyphs, strict=True)))
        builder.setupHorizontalMetrics(dict.fromkeys(names, (500, 0)))
        builder.setupHorizontalHeader(ascent=800, descent=-200)
        builder.setupNameTable({"familyName": f"Ptocr test {name}", "psName": f"PtocrTest-{name}"})
        builder.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
        builder.setupPost(keepGlyphNames=False)
        head = builder.font["head"]
        head.created = head.modified = 0
        builder.font.recalcTimestamp = False
        builder.save(FOLDER / f"{name}.ttf")


if __name__ == "__main__":
    main()
