"""Searchable PDF: the original pages, or the page's picture, with an invisible text layer in the places of the words.

Pages of a PDF stay as they are; PDFium only appends to them. A JPEG file goes in byte by byte.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath
from typing import BinaryIO, Literal

import cv2
import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image

from ptocr.document import language
from ptocr.document.draw import to_picture
from ptocr.document.tree import Line, Page
from ptocr.document.writers.text_layer import (
    add_text,
    has_forms,
    has_text,
    is_covered,
    pieces_of,
    remove_invisible_text,
    visible_text_boxes,
)
from ptocr.errors import InputError
from ptocr.files import write_atomic
from ptocr.inputs.page import Original
from ptocr.inputs.pdf import PDFIUM_LOCK, open_pdf

log = logging.getLogger(__name__)

ExistingText = Literal["skip", "redo"]
ToPage = Callable[[np.ndarray], np.ndarray]

_A4_WIDTH = 595.0
_CHECKED_SIDE = 800  # pixels of the longer side of a page that is looked at before and after
# The unit square of a picture -> the upright page of size (1, 1), by EXIF orientation: a, b, c, d, e, f of the matrix.
_ORIENTATIONS = {
    1: (1, 0, 0, 1, 0, 0),
    2: (-1, 0, 0, 1, 1, 0),
    3: (-1, 0, 0, -1, 1, 1),
    4: (1, 0, 0, -1, 0, 1),
    5: (0, -1, -1, 0, 1, 1),
    6: (0, -1, 1, 0, 0, 1),
    7: (0, 1, 1, 0, 0, 0),
    8: (0, 1, -1, 0, 1, 0),
}


def write_pdf(
    pages: Iterable[Page],
    path: str | Path,
    jpeg_quality: int = 85,
    *,
    existing_text: ExistingText = "skip",
    lang: str | None = None,
) -> None:
    """Write a searchable PDF of all pages, one after the other.

    Pages of PDFs: the output has every page of such a PDF, also those that were not read, with links, outline,
    metadata, page sizes and rotation as they were; pages that were read get a text layer. Encryption and permissions
    of a single PDF stay; an encrypted PDF is not joined with other inputs. Memory holds one page at a time, and texts.
    Pictures: a page each. A JPEG file is embedded byte by byte and turned as its EXIF orientation says, others are
    stored as JPEG. The shorter side becomes that of A4, small ones get a point per pixel.

    existing_text: what to do with PDF pages that have text: "skip" leaves them alone; "redo" takes an invisible text
        layer off and adds ours where no visible text stands.
    lang: BCP 47 tag of the text for screen readers; None: the document's own, else what the script tells.

    Raises:
        ValueError: a page without its picture; `path` is one of the inputs.
        InputError: an original PDF cannot be opened any more, or is encrypted and would have to be joined.
        OSError: writing fails.
    """
    if existing_text not in ("skip", "redo"):
        raise ValueError(f"existing_text={existing_text!r}: use 'skip' or 'redo'")
    book = _Book(Path(path), jpeg_quality, existing_text)
    try:
        for page in pages:
            book.add(page)
        book.set_language(lang)
        write_atomic(path, book.save)
    finally:
        book.close()


def write_text_layer(source: Page, path: str | Path, size: tuple[float, float]) -> None:
    """Write a PDF page of `size` (width, height) in points with the text alone, to be laid over another page.

    Raises:
        OSError: writing fails.
    """
    scale = np.array([size[0] / source.extent[0], -size[1] / source.extent[1]])
    pieces = [piece for line in source.lines for piece in pieces_of(line, lambda points: points * scale + (0, size[1]))]

    def save(stream: BinaryIO) -> None:
        with PDFIUM_LOCK:
            document = pdfium.PdfDocument.new()
            page = document.new_page(*size)
            add_text(document, page, pieces)
            page.gen_content()
            page.close()
            document.save(_Quiet(stream))
            document.close()

    write_atomic(path, save)


class _Quiet:
    """What PDFium writes to. It cannot pass an error on, and would print it; `write_atomic` knows of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream

    def write(self, data: bytes) -> None:
        """Write, or not."""
        with contextlib.suppress(OSError):
            self.stream.write(data)


class _Book:
    """A PDF that grows by pages. sources: where the pages of each original PDF begin."""

    def __init__(self, path: Path, jpeg_quality: int, existing_text: ExistingText) -> None:
        self.path = path
        self.jpeg_quality = jpeg_quality
        self.existing_text = existing_text
        self.document: pdfium.PdfDocument | None = None
        self.sources: dict[str | int, int] = {}
        self.letters: Counter[str] = Counter()
        self.languages: set[str] = set()  # of pages that were read by a model of one language

    def add(self, source: Page) -> None:
        """Append a picture, or put the text on its page of the original PDF."""
        self.letters.update(language.scripts(line.text for line in source.lines))
        if len(source.languages) == 1:
            self.languages.update(source.languages)
        original = source.original
        if original is not None and isinstance(original.data, str):
            self._refuse(original.data)
        if source.pdf is not None and original is not None and source.index is not None:
            with PDFIUM_LOCK:
                self._add_to_original(source, original, source.index, source.pdf.scale)
            return
        if source.image is None:
            raise ValueError(f"result of {source.source} holds no picture to put into a PDF")
        jpeg, orientation = _kept_jpeg(source) or (_jpeg(source.image, self.jpeg_quality), 1)
        with PDFIUM_LOCK:
            first = self.document is None
            if self.document is None:
                self.document = pdfium.PdfDocument(_skeleton(PurePath(source.source or "").stem))
            _add_picture(self.document, source, jpeg, orientation)
            if first:
                self.document.del_page(0)  # that of the skeleton

    def _refuse(self, source: str) -> None:
        if self.path.exists() and os.path.exists(source) and os.path.samefile(self.path, source):
            raise ValueError(f"{self.path}: is one of the inputs, and those are not overwritten")

    def _add_to_original(self, source: Page, original: Original, index: int, scale: float) -> None:
        name = source.source or "the PDF"
        key = original.data if isinstance(original.data, str) else id(original.data)
        if key not in self.sources:
            self.sources[key] = self._append(original, name)
        assert self.document is not None
        edit = _Edit([_in_own_picture(line) for line in source.lines], scale, self.existing_text)
        number = self.sources[key] + index
        if not edit.fits(self.document, number):
            return
        if edit.rewrites and not _looks_the_same(original, name, index, edit):
            log.warning("%s: page %d is kept without text, which would change how it looks", name, index + 1)
            return
        edit.apply(self.document, number)

    def _append(self, original: Original, name: str) -> int:
        """Make the pages of an original part of the book; returns the number of its first page."""
        source = open_pdf(original.data, name, original.password)
        if self.document is None:
            if raw.FPDF_GetSignatureCount(source.raw) > 0:
                log.warning("%s: is signed; the signature does not cover the added text", name)
            self.document = source
            return 0
        try:
            if raw.FPDF_GetSecurityHandlerRevision(source.raw) >= 0:
                raise InputError(
                    f"{name}: is encrypted and not joined with other inputs; write it to a file of its own"
                )
            first = len(self.document)
            self.document.import_pages(source)
        finally:
            source.close()
        return first

    def set_language(self, lang: str | None) -> None:
        """The document's language where it has none, or as asked."""
        known = next(iter(self.languages)) if len(self.languages) == 1 else None
        tag = lang or known or language.language_of(self.letters)
        if self.document is None or not tag:
            return
        with PDFIUM_LOCK:
            if lang or raw.FPDFCatalog_GetLanguage(self.document.raw, None, 0) <= 2:  # the end of an empty string
                encoded = (tag + "\0").encode("utf-16-le")
                text = (ctypes.c_ushort * (len(encoded) // 2)).from_buffer_copy(encoded)
                raw.FPDFCatalog_SetLanguage(self.document.raw, text)

    def save(self, stream: BinaryIO) -> None:
        """Write the file."""
        with PDFIUM_LOCK:
            document = self.document or pdfium.PdfDocument.new()
            document.save(_Quiet(stream))
            if self.document is None:
                document.close()

    def close(self) -> None:
        """Let go of the originals."""
        if self.document is not None:
            with PDFIUM_LOCK:
                self.document.close()


# ---- pages of an original ----


class _Edit:
    """A text layer for one page. rewrites: the page's own content is touched, or may be, as far as PDFium goes."""

    def __init__(self, lines: list[Line], scale: float, existing_text: ExistingText) -> None:
        self.lines = lines
        self.scale = scale
        self.redo = existing_text == "redo"
        self.rewrites = False

    def fits(self, document: pdfium.PdfDocument, number: int) -> bool:
        """Whether this page gets the text."""
        if not self.lines:
            return False
        page = document[number]
        try:
            text = has_text(page)
            # PDFium drops what only form XObjects without resources of their own use of the page's
            self.rewrites = (text and self.redo) or has_forms(page)
            return self.redo or not text
        finally:
            page.close()

    def apply(self, document: pdfium.PdfDocument, number: int) -> None:
        """Put the text on a page."""
        page = document[number]
        try:
            pieces = [piece for line in self.lines for piece in pieces_of(line, _to_user_space(page, self.scale))]
            if self.redo:
                if remove_invisible_text(page):
                    page.gen_content()
                boxes = visible_text_boxes(page)
                pieces = [piece for piece in pieces if not is_covered(piece.corners, boxes)]
            add_text(document, page, pieces)
            page.gen_content()
        finally:
            page.close()


def _looks_the_same(original: Original, name: str, index: int, edit: _Edit) -> bool:
    """Whether an edited copy of a page is rendered to the same pixels as before."""
    scratch = open_pdf(original.data, name, original.password)
    try:
        before = _rendered(scratch, index)
        edit.apply(scratch, index)
        return np.array_equal(before, _rendered(scratch, index))
    finally:
        scratch.close()


def _rendered(document: pdfium.PdfDocument, index: int) -> np.ndarray:
    page = document[index]
    try:
        bitmap = page.render(scale=_CHECKED_SIDE / max(*page.get_size(), 1.0))
        pixels = bitmap.to_numpy().copy()
        bitmap.close()
        return pixels
    finally:
        page.close()


def _to_user_space(page: pdfium.PdfPage, scale: float) -> ToPage:
    """Pixels of the rendered page -> its own coordinates, which know neither its rotation nor the corner of its box."""
    box = raw.FS_RECTF()
    raw.FPDF_GetPageBoundingBox(page.raw, box)
    turn = raw.FPDFPage_GetRotation(page.raw)
    # where the upper left corner of what is seen lies, and where its x and y axes point
    corner = ((box.left, box.top), (box.left, box.bottom), (box.right, box.bottom), (box.right, box.top))[turn]
    across = ((1, 0), (0, 1), (-1, 0), (0, -1))[turn]
    down = ((0, -1), (1, 0), (0, 1), (-1, 0))[turn]
    axes = np.array([across, down], np.float64) / scale
    return lambda points: np.asarray(points, np.float64) @ axes + corner


# ---- pictures ----


def _add_picture(document: pdfium.PdfDocument, source: Page, jpeg: bytes, orientation: int) -> None:
    assert source.image is not None
    # points per pixel
    scale = min(1.0, _A4_WIDTH / min(source.image.shape[:2])) if source.pdf is None else 1.0 / source.pdf.scale
    height, width = (side * scale for side in source.image.shape[:2])
    page = document.new_page(width, height)
    image = pdfium.PdfImage.new(document)
    image.load_jpeg(io.BytesIO(jpeg), inline=True)
    a, b, c, d, e, f = _ORIENTATIONS[orientation]
    image.set_matrix(pdfium.PdfMatrix(a * width, b * height, c * width, d * height, e * width, f * height))
    page.insert_obj(image)

    def to_page(points: np.ndarray) -> np.ndarray:
        return np.asarray(points) * (scale, -scale) + (0.0, height)

    add_text(document, page, [piece for line in source.lines for piece in pieces_of(line, to_page)])
    page.gen_content()
    page.close()


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    picture: Image.Image = to_picture(image)
    if (image[:, :, 0] == image[:, :, 1]).all() and (image[:, :, 1] == image[:, :, 2]).all():
        picture = picture.convert("L")
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _kept_jpeg(source: Page) -> tuple[bytes, int] | None:
    """The JPEG file that a page was read from and its EXIF orientation; None where the page's picture is another
    one (turned, flattened), or viewers may show the file differently (cut off, four colours).
    """
    if source.pdf is not None or source.original is None or source.image is None:
        return None
    if any(line.original is not None and not np.array_equal(line.original, line.poly) for line in source.lines):
        return None
    try:
        data = source.original.data
        data = Path(data).read_bytes() if isinstance(data, str) else data
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            orientation = picture.getexif().get(0x0112, 1)
            picture.load()
            mode, size = picture.mode, picture.size
    except (OSError, ValueError, SyntaxError):
        return None
    if orientation not in _ORIENTATIONS:
        orientation = 1
    upright = size if orientation < 5 else size[::-1]
    return (data, orientation) if mode in ("L", "RGB") and upright == source.image.shape[1::-1] else None


def _skeleton(title: str) -> bytes:
    """A PDF of one empty page that has a title and says who made it (PDFium keeps these but cannot set them)."""
    encoded = ("\ufeff" + title).encode("utf-16-be", "replace").hex()
    text = f"/Title <{encoded}>" if title else ""
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[4 0 R]/Count 1>>",
        f"<<{text}/Producer (ptocr)/Creator (ptocr)>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 1 1]>>",
    ]
    data, offsets = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{content}\nendobj\n".encode()
    rows = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}"
    trailer = f"trailer\n<</Size {len(objects) + 1}/Root 1 0 R/Info 3 0 R>>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + table.encode() + trailer.encode()


# ---- lines ----


def _in_own_picture(line: Line) -> Line:
    """A line in the user's own picture, where the page's one was turned or flattened."""
    if line.original is None or np.array_equal(line.original, line.poly):
        return line
    matrix, _ = cv2.findHomography(np.asarray(line.poly, np.float64), np.asarray(line.original, np.float64))
    if matrix is None:
        return line
    return line.mapped(lambda points: _projected(points, matrix))


def _projected(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    return np.asarray(cv2.perspectiveTransform(points.reshape(1, -1, 2), matrix)).reshape(points.shape)
