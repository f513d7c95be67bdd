"""The text layer of a PDF page: its characters with their places, line by line. Hold `PDFIUM_LOCK`."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from ptocr.inputs.page import PdfLine

_FINE = 16  # parts of a pixel that places are given in
_WORDS_APART = 1.0  # heights of a line between two pieces that are lines of their own (columns, cells)
_UNREADABLE = 0.05  # of the characters, from which on a page's encoding is broken
_LEVEL = 0.5  # of the characters, which stand at the right of the one before on a page that is read from its text
_PICTURE = 0.02  # of a page's area that a picture has at least which may hold text


class _Char(NamedTuple):
    text: str
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels
    broken: bool
    hidden: bool


def text_lines(page: pdfium.PdfPage, scale: float, hidden: bool) -> tuple[PdfLine, ...]:
    """Lines of text with the box of each character, in pixels of the page rendered at `scale`; none where the encoding
    is broken or the text stands on its side.

    hidden: invisible text counts too, as an earlier OCR has left it.
    """
    textpage = page.get_textpage()
    try:
        chars = [char for char in _chars(page, textpage, scale) if hidden or not char.hidden]
    finally:
        textpage.close()
    inked = [char for char in chars if not char.text.isspace()]
    if not inked or sum(char.broken for char in inked) > _UNREADABLE * len(inked) or not _is_level(inked):
        return ()
    return tuple(PdfLine("".join(c.text for c in line), tuple(c.box for c in line)) for line in _lines(chars))


def _is_level(chars: list[_Char]) -> bool:
    """Whether text runs from left to right: most characters stand at the right of the one before."""
    steps = list(itertools.pairwise(chars))
    right = sum(b.box[0] > a.box[0] and min(a.box[3], b.box[3]) > max(a.box[1], b.box[1]) for a, b in steps)
    return right >= _LEVEL * len(steps)


def has_pictures(page: pdfium.PdfPage) -> bool:
    """Whether a page shows pictures that are large enough to hold text."""
    width, height = page.get_size()
    for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = item.get_bounds()
        if (right - left) * (top - bottom) > _PICTURE * width * height:
            return True
    return False


def _chars(page: pdfium.PdfPage, textpage: pdfium.PdfTextPage, scale: float) -> Iterator[_Char]:
    width, height = (round(side * scale * _FINE) for side in page.get_size())
    box = raw.FS_RECTF()
    for index in range(textpage.count_chars()):
        code = raw.FPDFText_GetUnicode(textpage.raw, index)
        raw.FPDFText_GetLooseCharBox(textpage.raw, index, ctypes.byref(box))
        corners = [_pixels(page, width, height, x, y) for x, y in ((box.left, box.top), (box.right, box.bottom))]
        (x0, x1), (y0, y1) = (sorted(values) for values in zip(*corners, strict=True))
        item = raw.FPDFText_GetTextObject(textpage.raw, index)
        mode = raw.FPDFTextObj_GetTextRenderMode(item) if item else raw.FPDF_TEXTRENDERMODE_FILL
        broken = code in (0, 0xFFFD, 0xFFFE) or 0xE000 <= code <= 0xF8FF
        broken = broken or raw.FPDFText_HasUnicodeMapError(textpage.raw, index) == 1
        hidden = mode == raw.FPDF_TEXTRENDERMODE_INVISIBLE
        yield _Char(chr(code) if 0 < code < 0xD800 or code > 0xDFFF else "\ufffd", (x0, y0, x1, y1), broken, hidden)


def _pixels(page: pdfium.PdfPage, width: int, height: int, x: float, y: float) -> tuple[float, float]:
    """A point of the page, however that is turned or cropped, in pixels."""
    across, down = ctypes.c_int(), ctypes.c_int()
    raw.FPDF_PageToDevice(page.raw, 0, 0, width, height, 0, x, y, across, down)
    return across.value / _FINE, down.value / _FINE


def _lines(chars: list[_Char]) -> Iterator[list[_Char]]:
    """Characters that follow each other on one level without a wide gap; spaces only between others."""
    line: list[_Char] = []
    spaces: list[_Char] = []
    for char in chars:
        if char.text in "\r\n":
            yield from [line] if line else []
            line, spaces = [], []
        elif char.text.isspace():
            spaces = spaces or [char]
        elif line and _follows(line[-1], char):
            gap = (line[-1].box[2], char.box[1], max(char.box[0], line[-1].box[2]), char.box[3])
            line += [_Char(" ", gap, False, False)] if spaces else []
            line.append(char)
            spaces = []
        else:
            yield from [line] if line else []
            line, spaces = [char], []
    yield from [line] if line else []


def _follows(last: _Char, char: _Char) -> bool:
    height = max(last.box[3] - last.box[1], char.box[3] - char.box[1], 1.0)
    shared = min(last.box[3], char.box[3]) - max(last.box[1], char.box[1])
    gap = char.box[0] - last.box[2]
    return -height < gap < _WORDS_APART * height and shared > 0.3 * height
