"""PDF pages -> page images with pypdfium2, which must not run in two threads at once: one lock around every call."""

from __future__ import annotations

import ctypes
import functools
import itertools
import logging
import math
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2 as pdfium

from ptocr.errors import InputError
from ptocr.inputs.damage import pdf_picture_complaint
from ptocr.inputs.page import MAX_PDF_PIXELS, PdfPage, ReadOptions, select_pages
from ptocr.inputs.pdf_text import has_pictures, text_lines

log = logging.getLogger(__name__)

PDFIUM_LOCK = threading.RLock()
_DEPTH, _MOST_PICTURES = 4, 200  # forms in forms, and pictures of a page, that are looked at for damage
_SCAN_BYTES = 64 * 2**20  # of a PDF that does not open, so much is searched for the reason

Room = Callable[[int], np.ndarray]
"""Gives memory for a page: bytes -> (bytes,) uint8."""


def own_room(count: int) -> np.ndarray:
    """New memory of this process."""
    return np.empty(count, np.uint8)


def count_pdf_pages(source: str | bytes, name: str, password: str | None = None) -> int:
    """Number of pages of a PDF given as path or bytes. Raises InputError if it cannot be opened."""
    with PDFIUM_LOCK:
        document = open_pdf(source, name, password)
        try:
            return len(document)
        finally:
            document.close()


def pdf_pages(
    source: str | bytes, name: str, options: ReadOptions, room: Room = own_room
) -> Iterator[tuple[np.ndarray, int, int, PdfPage]]:
    """Render the wanted pages of a PDF given as path or bytes, one at a time, into the memory that `room` gives.

    Yields (BGR image, page index, number of pages, PdfPage). A page too large for `max_pixels` is rendered coarser.
    Raises InputError when the file cannot be opened or a page cannot be rendered.
    """
    with PDFIUM_LOCK:
        document = open_pdf(source, name, options.password)
    try:
        count = len(document)
        for index in select_pages(count, options, name):
            with PDFIUM_LOCK:
                image, info = _render(document, index, name, options, room)
            yield image, index, count, info
    finally:
        with PDFIUM_LOCK:
            document.close()


def open_pdf(source: str | bytes, name: str, password: str | None) -> pdfium.PdfDocument:
    """Open a PDF given as path or bytes; hold `PDFIUM_LOCK`. Raises InputError that says why it cannot be opened."""
    try:
        document = pdfium.PdfDocument(source, password=password)
    except (pdfium.PdfiumError, OSError, ValueError) as error:
        raise InputError(f"{name}: {_why_not(source, password)}") from error
    if len(document) == 0:
        document.close()
        raise InputError(f"{name}: the PDF has no pages")
    try:
        document.init_forms()  # so that what was typed into form fields is drawn
    except pdfium.PdfiumError:
        log.debug("%s: form fields cannot be drawn", name)
    return document


def _why_not(source: str | bytes, password: str | None) -> str:
    """PDFium's error code may be that of the file before, so the file itself is asked."""
    try:
        data = source if isinstance(source, bytes) else _read_some(Path(source))
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if b"/Encrypt" in data:
        return "the PDF needs a password (option password)" if password is None else "wrong password for this PDF"
    if re.search(rb"/Count\s+0\b", data) and not re.search(rb"/Type\s*/Page\b", data):
        return "the PDF has no pages"
    if b"%%EOF" not in data[-2048:]:
        return "is not a readable PDF, it is cut off or damaged"
    return "is not a readable PDF"


def _read_some(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_SCAN_BYTES)


def _render(
    document: pdfium.PdfDocument, index: int, name: str, options: ReadOptions, room: Room
) -> tuple[np.ndarray, PdfPage]:
    try:
        page = document[index]
        try:
            width, height = page.get_size()
            scale = _scale(width, height, f"{name}: page {index + 1}", options)
            # fewest surprises: opaque white paper, 8-bit BGR, annotations and form fields drawn
            maker = functools.partial(_bitmap, room)
            bitmap = page.render(scale=scale, force_bitmap_format=pdfium.raw.FPDFBitmap_BGR, bitmap_maker=maker)
            image = bitmap.to_numpy()
            bitmap.close()  # but not the memory
            _tell_of_damage(page, f"{name}: page {index + 1}")
            lines = () if options.pdf_text == "never" else text_lines(page, scale, options.pdf_text == "always")
            pictures = not lines or has_pictures(page)
        finally:
            page.close()
    except (pdfium.PdfiumError, RuntimeError, MemoryError) as error:
        raise InputError(f"{name}: page {index + 1} of the PDF cannot be rendered ({error})") from error
    return image, PdfPage((width, height), scale, lines, pictures)


def _bitmap(room: Room, width: int, height: int, *kind: Any, **options: Any) -> pdfium.PdfBitmap:
    """Three bytes a pixel, no gaps."""
    size = 3 * width * height
    memory = (ctypes.c_ubyte * size).from_buffer(room(size).data)
    return pdfium.PdfBitmap.new_native(width, height, *kind, buffer=memory, stride=3 * width, **options)


def _tell_of_damage(page: pdfium.PdfPage, name: str) -> None:
    """PDFium draws what it can of a damaged picture, and says nothing."""
    pictures = page.get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_IMAGE], max_depth=_DEPTH)
    for picture in itertools.islice(pictures, _MOST_PICTURES):
        facts = picture.get_metadata()
        plain_bytes = facts.height * (facts.width * facts.bits_per_pixel // 8)
        data = bytes(picture.get_data(decode_simple=False))
        complaint = pdf_picture_complaint(data, picture.get_filters(), plain_bytes)
        if complaint is not None:
            log.warning("%s: a picture of it is damaged (%s); parts of it may look wrong", name, complaint)


def _scale(width: float, height: float, name: str, options: ReadOptions) -> float:
    """Pixels per point: `pdf_dpi`, or less where the page would have too many pixels."""
    if not (width > 0 and height > 0):
        raise InputError(f"{name} of the PDF has no area ({width:g} x {height:g} points)")
    scale = options.pdf_dpi / 72.0
    limit = min(options.max_pixels, MAX_PDF_PIXELS)
    if math.ceil(width * scale) * math.ceil(height * scale) <= limit:
        return scale
    scale = math.sqrt(limit / (width * height))
    if min(width, height) * scale < 1.0:
        scale = limit / max(width, height) / 2  # a thread of a page: one pixel wide
    log.warning("%s measures %g x %g points; rendered at %.3g dpi", name, width, height, scale * 72.0)
    return scale
