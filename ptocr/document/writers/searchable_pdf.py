"""Searchable PDF: the page's picture with an invisible text layer in the places of the words, written by PDFium."""

from __future__ import annotations

import ctypes
import io
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image

from ptocr.document.draw import to_picture
from ptocr.document.invisible_font import ASCENT, DESCENT, UNITS, font_bytes, glyph_of, width_of
from ptocr.document.tree import Line, Page
from ptocr.files import write_atomic
from ptocr.inputs.pdf import PDFIUM_LOCK

_BASELINE = DESCENT / (ASCENT + DESCENT)  # above the lower edge of a line, in line heights
_A4_WIDTH = 595.0
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


def write_pdf(pages: Iterable[Page], path: str | Path, jpeg_quality: int = 85) -> None:
    """Write one page per page. Pages of a PDF keep their size; the shorter side of other pictures becomes that of A4,
    small ones get a point per pixel.

    Pictures are stored as JPEG. Raises ValueError for a page without its picture, OSError when writing fails.
    """
    with PDFIUM_LOCK:
        document = pdfium.PdfDocument.new()
    try:
        for page in pages:
            if page.image is None:
                raise ValueError(f"result of {page.source} holds no picture to put into a PDF")
            picture = _jpeg(page.image, jpeg_quality)
            with PDFIUM_LOCK:
                _add_page(document, page, picture)
        buffer = io.BytesIO()
        with PDFIUM_LOCK:
            document.save(buffer)
    finally:
        with PDFIUM_LOCK:
            document.close()
    write_atomic(path, buffer.getvalue())


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    picture: Image.Image = to_picture(image)
    if (image[:, :, 0] == image[:, :, 1]).all() and (image[:, :, 1] == image[:, :, 2]).all():
        picture = picture.convert("L")
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _add_page(document: pdfium.PdfDocument, source: Page, jpeg: bytes) -> None:
    assert source.image is not None
    # points per pixel
    scale = min(1.0, _A4_WIDTH / min(source.image.shape[:2])) if source.pdf is None else 1.0 / source.pdf.scale
    height, width = (side * scale for side in source.image.shape[:2])
    page = document.new_page(width, height)
    image = pdfium.PdfImage.new(document)
    image.load_jpeg(io.BytesIO(jpeg), inline=True)
    image.set_matrix(pdfium.PdfMatrix().scale(width, height))
    page.insert_obj(image)
    lines = source.lines
    if lines:
        chars = sorted({char for line in lines for char in line.text + "\n"})
        codes = {char: number for number, char in enumerate(chars, 1)}
        font = _load_font(document, chars)
        for line in lines:
            _add_line(document, page, font, codes, line, scale, height)
        raw.FPDFFont_Close(font)
    page.gen_content()
    page.close()


def _bytes(data: bytes) -> ctypes.Array[ctypes.c_ubyte]:
    return (ctypes.c_ubyte * len(data)).from_buffer_copy(data)


def _load_font(document: pdfium.PdfDocument, chars: list[str]) -> object:
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


def _add_line(
    document: pdfium.PdfDocument,
    page: pdfium.PdfPage,
    font: object,
    codes: dict[str, int],
    line: Line,
    scale: float,
    page_height: float,
) -> None:
    """One text object per line, or per word (with the space behind it reaching to the next word) where the places of
    the words are known and run from left to right: readers put the objects of a line in that order.
    """
    pieces, quads = [line.text], [line.quad]
    if line.measured and line.quad[1, 0] > line.quad[0, 0]:
        pieces, quads = re.findall(r"\s*\S+\s*", line.text), [word.quad for word in line.words]
    for number, (text, quad) in enumerate(zip(pieces, quads, strict=True)):
        last = number + 1 == len(pieces)
        start, end = quad[[0, 3]], quad[[1, 2]] if last else quads[number + 1][[0, 3]]
        up = start[0] - start[1]
        origin = start[1] + up * _BASELINE
        along = ((end[1] + (end[0] - end[1]) * _BASELINE) - origin) / max(width_of(text), 1e-6)
        # a hyphen at the very end would make readers join the line with the next and drop the hyphen
        ending = "\n" if last and text[-1] in "-\xad" else ""
        numbers = [codes[char] for char in text + ending]
        em = up * (UNITS / (ASCENT + DESCENT))
        # the size goes into the font, not into the matrix: readers judge distances between lines by it
        size = max(float(np.linalg.norm(em)), 0.1)
        item = raw.FPDFPageObj_CreateTextObj(document.raw, font, ctypes.c_float(size * scale))
        raw.FPDFText_SetCharcodes(item, (ctypes.c_uint * len(numbers))(*numbers), len(numbers))
        raw.FPDFTextObj_SetTextRenderMode(item, raw.FPDF_TEXTRENDERMODE_INVISIBLE)
        x, y = origin * scale
        (a, b), (c, d) = along / size, em / size
        matrix = raw.FS_MATRIX(a, -b, c, -d, x, page_height - y)
        raw.FPDFPageObj_SetMatrix(item, matrix)
        raw.FPDFPage_InsertObject(page.raw, item)
