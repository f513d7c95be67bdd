"""What readers hand out (`Page`), what they may be told (`ReadOptions`), and which pages of a document are wanted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from ptocr.errors import InputError

# The same number as PaddleX 3.x and Pillow use: 512 MiB of 24-bit colour.
MAX_PIXELS = 178_956_970
# A PDF page has no pixels of its own, so a page that is too large is rendered coarser instead of being refused.
MAX_PDF_PIXELS = 50_000_000
# Bytes that decoding one page may take: enough for the largest picture of 8-bit colours.
PAGE_MEMORY = 3 * 2**29
# Upstream renders PDF pages at twice 72 dpi.
PDF_DPI = 144.0

# Seconds in which a page is decoded or rendered; ordinary ones take a tenth of one.
PAGE_TIMEOUT = 60.0

PageRange = str | Sequence[int]
Isolate = Literal["auto", "always", "never"]
PdfText = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class PdfLine:
    """A line of a PDF's own text; boxes: x0, y0, x1, y1 of each character in pixels of the rendered page."""

    text: str
    boxes: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class PdfPage:
    """Where a rendered PDF page comes from: `size` (width, height) in points, `scale` in pixels per point. lines: its
    own text, where that was asked for and can be read; pictures: whether there may be more text in pictures."""

    size: tuple[float, float]
    scale: float
    lines: tuple[PdfLine, ...] = field(default=(), repr=False)
    pictures: bool = True

    def to_plain(self) -> list[Any]:
        """Lists and numbers, for JSON."""
        return [self.size, self.scale, [[line.text, line.boxes] for line in self.lines], self.pictures]

    @classmethod
    def from_plain(cls, plain: list[Any]) -> PdfPage:
        """Of what `to_plain` gave."""
        size, scale, lines, pictures = plain
        read = tuple(PdfLine(text, tuple((*box,) for box in boxes)) for text, boxes in lines)
        return cls((*size,), scale, read, pictures)


@dataclass(frozen=True, eq=False)
class Original:
    """The file that a page was read from, for writers that keep it: its path, or its bytes where it has none."""

    data: str | bytes = field(repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Page:
    """One picture to read.

    image: (height, width, 3) uint8, BGR.
    input_path: path or URL as the user gave it; None for pictures that came from memory.
    page_index: 0-based page or frame number; None for inputs that hold one picture only (a PDF page always has one).
    page_count: pages or frames of that input.
    pdf: set for PDF pages.
    original: the PDF or JPEG file that it comes from; None for other pictures.
    """

    image: np.ndarray
    input_path: str | None = None
    page_index: int | None = None
    page_count: int = 1
    pdf: PdfPage | None = None
    original: Original | None = field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True)
class ReadOptions:
    """How inputs are read; see `ptocr.inputs.read.iter_pages` for each field."""

    recursive: bool = False
    max_pages: int = 0
    page_range: PageRange | None = None
    max_pixels: int = MAX_PIXELS
    pdf_dpi: float = PDF_DPI
    password: str | None = None
    allow_private: bool = False
    url_timeout: float = 30.0
    url_max_bytes: int = 64 * 2**20
    isolate: Isolate = "auto"
    page_timeout: float = PAGE_TIMEOUT
    page_memory: int = PAGE_MEMORY
    pdf_text: PdfText = "never"

    def __post_init__(self) -> None:
        """Raises ValueError for values that no input could satisfy."""
        if self.max_pages < 0 or self.max_pixels <= 0 or self.pdf_dpi <= 0:
            raise ValueError(
                f"max_pages={self.max_pages} must be >= 0; max_pixels={self.max_pixels} and pdf_dpi={self.pdf_dpi} > 0"
            )
        if self.isolate not in get_args(Isolate) or self.page_timeout <= 0 or self.page_memory <= 0:
            raise ValueError(
                f"isolate={self.isolate!r} must be one of {', '.join(get_args(Isolate))}; "
                f"page_timeout={self.page_timeout} and page_memory={self.page_memory} > 0"
            )
        if self.page_range is not None:
            parse_page_range(self.page_range)


def parse_page_range(page_range: PageRange) -> list[tuple[int, int | None]]:
    """'1-3,7,10-' or [1, 2, 7] (numbers start at 1, as viewers show them) -> [(first, last or None), ...].

    Raises ValueError for anything else.
    """
    if not isinstance(page_range, str):
        numbers = [int(number) for number in page_range]
        if any(number < 1 for number in numbers):
            raise ValueError(f"page_range {page_range!r}: page numbers start at 1")
        return [(number, number) for number in numbers]
    spans: list[tuple[int, int | None]] = []
    for part in page_range.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:(-)\s*(\d*)\s*)?", part)
        if match is None:
            raise ValueError(f"page_range {page_range!r}: expected something like '1-3,7,10-'")
        first = int(match[1])
        last = first if match[2] is None else int(match[3]) if match[3] else None
        if first < 1 or (last is not None and last < first):
            raise ValueError(f"page_range {page_range!r}: {part.strip()!r} is no range of pages, which count from 1 up")
        spans.append((first, last))
    return spans


def select_pages(count: int, options: ReadOptions, name: str) -> list[int]:
    """0-based indices of the wanted ones among `count` pages, in document order, at most `max_pages` of them."""
    chosen = range(count)
    if options.page_range is not None:
        spans = parse_page_range(options.page_range)
        wanted = [i for i in chosen if any(a <= i + 1 and (b is None or i + 1 <= b) for a, b in spans)]
        if not wanted:
            raise InputError(f"{name}: has {count} page(s), none of them in page_range {options.page_range!r}")
    else:
        wanted = list(chosen)
    return wanted[: options.max_pages] if options.max_pages else wanted


def check_pixels(width: int, height: int, options: ReadOptions, name: str) -> None:
    """Refuse a picture by the size in its header, before anything is allocated."""
    if width <= 0 or height <= 0:
        raise InputError(f"{name}: picture of {width} x {height} pixels")
    if width * height > options.max_pixels:
        raise InputError(
            f"{name}: {width} x {height} pixels is more than the limit of {options.max_pixels} pixels (max_pixels)"
        )


def check_bytes(size: tuple[int, int], each: int, options: ReadOptions, name: str) -> None:
    """Refuse a picture of `size` (width, height) by what decoding it takes, `each` bytes a pixel."""
    needed = size[0] * size[1] * each
    if needed > options.page_memory:
        raise InputError(
            f"{name}: {size[0]} x {size[1]} pixels of this kind take about {needed} bytes, more than the limit of "
            f"{options.page_memory} bytes (page_memory)"
        )
