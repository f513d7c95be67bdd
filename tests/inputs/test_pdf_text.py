"""The text layer of PDF pages against what pdfium draws."""

from __future__ import annotations

import ctypes
import io

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw
import pytest

from ptocr.inputs.page import PdfLine
from ptocr.inputs.read import iter_pages

TEXTS = (("First line of text", 40, 240), ("left", 40, 200), ("far away", 260, 200), ("Last", 40, 100))


def made(rotation: int = 0, hidden: bool = False, crop: bool = False, picture: bool = False) -> bytes:
    """A page of 400 x 300 points with `TEXTS` at their places, 20 points high."""
    document = pdfium.PdfDocument.new()
    page = document.new_page(400, 300)
    for text, x, y in TEXTS:
        item = raw.FPDFPageObj_NewTextObj(document.raw, b"Helvetica", ctypes.c_float(20))
        codes = (ctypes.c_ushort * (len(text) + 1))(*map(ord, text), 0)
        raw.FPDFText_SetText(item, codes)
        raw.FPDFPageObj_Transform(item, 1, 0, 0, 1, x, y)
        if hidden:
            raw.FPDFTextObj_SetTextRenderMode(item, raw.FPDF_TEXTRENDERMODE_INVISIBLE)
        raw.FPDFPage_InsertObject(page.raw, item)
    if picture:
        bitmap = pdfium.PdfBitmap.from_pil(__import__("PIL.Image").Image.new("RGB", (60, 60), "red"))
        image = pdfium.PdfImage.new(document)
        image.set_bitmap(bitmap)
        image.set_matrix(pdfium.PdfMatrix().scale(100, 60).translate(250, 20))
        page.insert_obj(image)
    if crop:
        page.set_cropbox(20, 50, 380, 290)
    page.gen_content()
    page.set_rotation(rotation)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def read(data: bytes, **options: object) -> tuple[np.ndarray, tuple[PdfLine, ...], bool]:
    (page,) = iter_pages(data, pdf_dpi=144, **options)  # type: ignore[arg-type]
    assert page.pdf is not None
    return page.image, page.pdf.lines, page.pdf.pictures


@pytest.mark.parametrize("isolate", ["always", "never"])
@pytest.mark.parametrize("crop", [False, True])
def test_lines_lie_where_they_are_drawn(crop: bool, isolate: str) -> None:
    """Each character's box holds ink, and no ink lies outside of all boxes; a wide gap parts lines."""
    image, lines, pictures = read(made(crop=crop), pdf_text="auto", isolate=isolate)
    assert [line.text for line in lines] == [text for text, *_ in TEXTS] and not pictures
    ink = image.min(axis=2) < 128
    covered = np.zeros_like(ink)
    for line in lines:
        assert len(line.boxes) == len(line.text)
        for character, (x0, y0, x1, y1) in zip(line.text, line.boxes, strict=True):
            part = ink[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1]
            assert part.any() or character == " "
            covered[int(y0) - 1 : int(y1) + 2, int(x0) - 1 : int(x1) + 2] = True
    assert ink.any() and covered[ink].all()


def test_pages_on_their_side_are_left_to_ocr_and_turned_ones_not() -> None:
    assert read(made(rotation=90), pdf_text="auto")[1] == ()  # its text runs downwards
    assert read(made(rotation=180), pdf_text="auto")[1] == ()  # and here from right to left


def test_who_does_not_ask_gets_none() -> None:
    assert read(made())[1:] == ((), True)


def test_invisible_text_only_if_always() -> None:
    assert read(made(hidden=True), pdf_text="auto")[1:] == ((), True)
    assert [line.text for line in read(made(hidden=True), pdf_text="always")[1]] == [text for text, *_ in TEXTS]


def test_broken_encodings_are_left_to_ocr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "FPDFText_HasUnicodeMapError", lambda *_: 1)
    assert read(made(), pdf_text="auto", isolate="never")[1] == ()


def test_pictures_are_told() -> None:
    assert read(made(picture=True), pdf_text="auto")[2] is True
