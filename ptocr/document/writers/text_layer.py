"""Invisible text layer of a PDF page: text objects in rendering mode 3, as PDFium writes them.

A piece of text is given with its place: (4, 2) corners in points of the page (y upwards), clockwise from the top left
of the text.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw

from ptocr.document.invisible_font import ASCENT, DESCENT, UNITS, font_bytes, glyph_of, width_of
from ptocr.document.tree import Line

_BASELINE = DESCENT / (ASCENT + DESCENT)  # above the lower edge of a line, in line heights
_CMAP = """/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
{entries}endcmap
CMapName currentdict /CMap defineresource pop
end
end
"""


class Piece(NamedTuple):
    """One text object. corners: (4, 2) points of the page."""

    text: str
    corners: np.ndarray


def pieces_of(line: Line, to_page: Callable[[np.ndarray], np.ndarray]) -> list[Piece]:
    """The text objects of a line: one, or one per word (with the space behind it reaching to the next word) where the
    places of the words are known and run from left to right: readers put the objects of a line in that order.

    to_page: (n, 2) pixels of the line's picture -> points of the page.
    """
    texts, quads = [line.text], [line.quad]
    if line.measured and line.quad[1, 0] > line.quad[0, 0]:
        texts, quads = re.findall(r"\s*\S+\s*", line.text), [word.quad for word in line.words]
    pieces = []
    for number, (text, quad) in enumerate(zip(texts, quads, strict=True)):
        last = number + 1 == len(texts)
        end = quad[[1, 2]] if last else quads[number + 1][[0, 3]]
        # a hyphen at the very end would make readers join the line with the next and drop the hyphen
        ending = "\n" if last and text[-1] in "-\xad" else ""
        pieces.append(Piece(text + ending, to_page(np.array([quad[0], end[0], end[1], quad[3]]))))
    return pieces


def add_text(document: pdfium.PdfDocument, page: pdfium.PdfPage, pieces: Sequence[Piece]) -> None:
    """Put pieces of text on a page; `page.gen_content()` is the caller's. Hold `PDFIUM_LOCK`."""
    if not pieces:
        return
    chars = sorted({char for piece in pieces for char in piece.text})
    codes = {char: number for number, char in enumerate(chars, 1)}
    font = _load_font(document, chars)
    for piece in pieces:
        _add_piece(document, page, font, [codes[char] for char in piece.text], piece)
    raw.FPDFFont_Close(font)


def _bytes(data: bytes) -> ctypes.Array[ctypes.c_ubyte]:
    return (ctypes.c_ubyte * len(data)).from_buffer_copy(data)


def _load_font(document: pdfium.PdfDocument, chars: list[str]) -> Any:
    """The empty font with character numbers 1, 2 ... for `chars`, and the way back from numbers to text."""
    entries = ""
    for start in range(0, len(chars), 100):  # a block of the table may hold 100 entries
        block = chars[start : start + 100]
        pairs = (f"<{start + i:04X}> <{char.encode('utf-16-be').hex().upper()}>\n" for i, char in enumerate(block, 1))
        entries += f"{len(block)} beginbfchar\n{''.join(pairs)}endbfchar\n"
    glyphs = b"\0\0" + b"".join(glyph_of(char).to_bytes(2, "big") for char in chars)
    file = font_bytes()
    font = raw.FPDFText_LoadCidType2Font(
        document.raw, _bytes(file), len(file), _CMAP.format(entries=entries).encode(), _bytes(glyphs), len(glyphs)
    )
    if not font:
        raise RuntimeError("PDFium did not take the font of the text layer")
    return font


def _add_piece(document: pdfium.PdfDocument, page: pdfium.PdfPage, font: Any, numbers: list[int], piece: Piece) -> None:
    top_left, top_right, bottom_right, bottom_left = np.asarray(piece.corners, np.float64)
    up = top_left - bottom_left
    origin = bottom_left + up * _BASELINE
    text = piece.text.rstrip("\n")
    along = (bottom_right + (top_right - bottom_right) * _BASELINE - origin) / max(width_of(text), 1e-6)
    em = up * (UNITS / (ASCENT + DESCENT))
    # the size goes into the font, not into the matrix: readers judge distances between lines by it
    size = max(float(np.linalg.norm(em)), 0.05)
    item = raw.FPDFPageObj_CreateTextObj(document.raw, font, ctypes.c_float(size))
    raw.FPDFText_SetCharcodes(item, (ctypes.c_uint * len(numbers))(*numbers), len(numbers))
    raw.FPDFTextObj_SetTextRenderMode(item, raw.FPDF_TEXTRENDERMODE_INVISIBLE)
    raw.FPDFPageObj_SetMatrix(item, raw.FS_MATRIX(*(along / size), *(em / size), *origin))
    raw.FPDFPage_InsertObject(page.raw, item)


# ---- text that a page has already ----


def has_text(page: pdfium.PdfPage) -> bool:
    """Whether readers find any letter on a page, visible or not."""
    textpage = page.get_textpage()
    try:
        return bool(textpage.get_text_range().strip())
    finally:
        textpage.close()


def has_forms(page: pdfium.PdfPage) -> bool:
    """Whether a page paints form XObjects."""
    return any(raw.FPDFPageObj_GetType(item) == raw.FPDF_PAGEOBJ_FORM for item in _objects(page))


def remove_invisible_text(page: pdfium.PdfPage) -> bool:
    """Take an earlier text layer off: text objects in rendering mode 3, and form XObjects of nothing else."""
    hidden = [item for item in _objects(page) if _is_hidden(item)]
    for item in hidden:
        raw.FPDFPage_RemoveObject(page.raw, item)
        raw.FPDFPageObj_Destroy(item)
    return bool(hidden)


def _objects(page: pdfium.PdfPage) -> list[Any]:
    return [raw.FPDFPage_GetObject(page.raw, i) for i in range(raw.FPDFPage_CountObjects(page.raw))]


def _is_hidden(item: Any) -> bool:
    kind = raw.FPDFPageObj_GetType(item)
    if kind == raw.FPDF_PAGEOBJ_FORM:
        parts = [raw.FPDFFormObj_GetObject(item, i) for i in range(raw.FPDFFormObj_CountObjects(item))]
        return bool(parts) and all(_is_hidden(part) for part in parts)
    return (
        kind == raw.FPDF_PAGEOBJ_TEXT and raw.FPDFTextObj_GetTextRenderMode(item) == raw.FPDF_TEXTRENDERMODE_INVISIBLE
    )


def visible_text_boxes(page: pdfium.PdfPage) -> np.ndarray:
    """(n, 4) boxes of the text on a page in points: left, bottom, right, top."""
    textpage = page.get_textpage()
    try:
        boxes = [textpage.get_rect(i) for i in range(textpage.count_rects())]
    finally:
        textpage.close()
    return np.array(boxes, np.float64).reshape(-1, 4)


def is_covered(corners: np.ndarray, boxes: np.ndarray) -> bool:
    """Whether boxes cover half of the upright box around some corners."""
    (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
    across = np.minimum(right, boxes[:, 2]) - np.maximum(left, boxes[:, 0])
    along = np.minimum(top, boxes[:, 3]) - np.maximum(bottom, boxes[:, 1])
    shared = (np.maximum(across, 0) * np.maximum(along, 0)).sum()
    return bool(shared > 0.5 * max((right - left) * (top - bottom), 1e-6))
