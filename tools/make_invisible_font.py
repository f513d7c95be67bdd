"""Make the font of the text layer of searchable PDFs: `python tools/make_invisible_font.py` (needs fonttools).

Writes `ptocr/document/invisible.ttf`: glyphs without ink, one for each advance width of
`ptocr.document.invisible_font`. A glyph is a single stroke of no width, so nothing is painted even by a viewer that
ignores the invisible mode; all the same it has an extent, from which readers conclude what stands on one line.
Characters are addressed by glyph number, so the character map is empty.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont

from ptocr.document.invisible_font import ADVANCES, ASCENT, DESCENT, FONT_FILE, UNITS

NAME = "PtocrTextLayer"
# extent of the glyphs: less than the line, since the boxes of neighbouring lines may overlap a little
TOP, BOTTOM = 700, -100


def build_font() -> TTFont:
    """The font, ready to be saved."""
    glyphs = [".notdef", *(f"width{advance}" for advance in ADVANCES[1:])]
    builder = FontBuilder(UNITS, isTTF=True)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({})
    builder.setupGlyf({name: _stroke(advance) for name, advance in zip(glyphs, ADVANCES, strict=True)})
    builder.setupHorizontalMetrics({name: (advance, 0) for name, advance in zip(glyphs, ADVANCES, strict=True)})
    builder.setupHorizontalHeader(ascent=ASCENT, descent=-DESCENT)
    builder.setupNameTable({"familyName": NAME, "uniqueFontIdentifier": NAME, "fullName": NAME, "psName": NAME})
    builder.setupOS2(sTypoAscender=ASCENT, sTypoDescender=-DESCENT, usWinAscent=ASCENT, usWinDescent=DESCENT,
                     sxHeight=500, sCapHeight=TOP, fsType=0)  # fmt: skip
    builder.setupPost(keepGlyphNames=False)
    return _with_line_box(builder)


def _with_line_box(builder: FontBuilder) -> TTFont:
    """The font with the line as its bounding box (what readers take for the height of its letters), not the strokes."""
    buffer = io.BytesIO()
    builder.save(buffer)
    font = TTFont(io.BytesIO(buffer.getvalue()), recalcBBoxes=False, recalcTimestamp=False)
    head = font["head"]
    head.xMin, head.yMin, head.xMax, head.yMax = 0, -DESCENT, UNITS, ASCENT
    head.created = head.modified = 0  # the same bytes each time
    return font


def _stroke(advance: int) -> object:
    """One contour of two points, from the lower left corner to the upper right one."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, BOTTOM))
    pen.lineTo((advance, TOP))
    pen.closePath()
    return pen.glyph()


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FONT_FILE)
    out = parser.parse_args().out
    build_font().save(out)
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
