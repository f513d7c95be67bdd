"""A script, `python -m tests.silent_damage COUNT [KIND ...]`: how much damage of each kind of file is told.

Files hold a page of text. Each is damaged COUNT times in three ways: a bit flipped, 64 bytes overwritten, 64 bytes
lost. Prints for each kind and way: of the files whose pixels changed, how many were refused, warned of, and read
without a word; and of the latter the median and the largest share of pixels that differ by more than 32 of 255.
"""

from __future__ import annotations

import io
import logging
import sys
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.read import iter_pages
from tests.fuzz import Warnings
from tests.hostile_files import pdf

VISIBLE = 32
PIECE = 64  # bytes
WORDS = ("The quick brown fox", "jumps over the lazy dog", "0123456789 and some", "more words of a page")


def page() -> Image.Image:
    """320 x 400 pixels, text on paper with a little noise, some of it coloured."""
    sheet = np.random.default_rng(0).integers(238, 246, (400, 320, 3)).astype(np.uint8)
    for line in range(18):
        color = (20, 20, 20 + 150 * (line % 6 == 0))
        cv2.putText(sheet, WORDS[line % 4], (8, 22 + 21 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.55, color, 1, cv2.LINE_AA)
    return Image.fromarray(sheet)


def saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    page().convert(mode).save(out, kind, **options)
    return out.getvalue()


def flate_pdf() -> bytes:
    data = zlib.compress(np.asarray(page()).tobytes())
    entries = b"/Type/XObject/Subtype/Image/Width 320/Height 400/ColorSpace/DeviceRGB/BitsPerComponent 8"
    drawn = b"<<%s/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (entries, len(data), data)
    return pdf(b"300 0 0 300 0 0 cm /I Do", b"/XObject<</I 20 0 R>>", (drawn,))


KINDS: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: saved("PNG"),
    "JPEG": lambda: saved("JPEG", quality=85),
    "progressive JPEG": lambda: saved("JPEG", quality=85, progressive=True),
    "CMYK JPEG": lambda: saved("JPEG", "CMYK", quality=85),
    "PDF of a JPEG": lambda: saved("PDF", quality=85),
    "PDF of a deflated picture": flate_pdf,
    "deflated TIFF": lambda: saved("TIFF", compression="tiff_deflate"),
    "fax (TIFF)": lambda: saved("TIFF", "1", compression="group4"),
    "JPEG in TIFF": lambda: saved("TIFF", compression="jpeg", quality=85),
    "LZW TIFF": lambda: saved("TIFF", compression="tiff_lzw"),
    "PackBits TIFF": lambda: saved("TIFF", compression="packbits"),
    "plain TIFF": lambda: saved("TIFF"),
    "GIF": lambda: saved("GIF", "P"),
    "WebP": lambda: saved("WEBP", quality=85),
    "lossless WebP": lambda: saved("WEBP", lossless=True),
    "AVIF": lambda: saved("AVIF"),
    "JPEG 2000": lambda: saved("JPEG2000", quality_mode="rates", quality_layers=[8]),
    "BMP": lambda: saved("BMP"),
    "PNM": lambda: saved("PPM"),
    "PCX": lambda: saved("PCX"),
    "SGI": lambda: saved("SGI"),
}


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    out[int(rng.integers(len(out)))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def overwritten(data: bytes, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(len(data) - PIECE))
    return data[:place] + rng.bytes(PIECE) + data[place + PIECE :]


def lost(data: bytes, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(len(data) - PIECE))
    return data[:place] + data[place + PIECE :]


WAYS = {"a bit": flipped, "64 bytes": overwritten, "lost": lost}


class Damaged:
    """What came of the damaged copies of one file. unheard: shares of pixels that differ, of each that was silent."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sound = self._read(data)
        self.warned = Warnings()
        self.refused = self.aloud = 0
        self.unheard: list[float] = []

    @staticmethod
    def _read(data: bytes) -> np.ndarray:
        return next(iter(iter_pages(data, max_pixels=4_000_000, page_memory=200 << 20, max_pages=1))).image

    def read(self, data: bytes) -> None:
        self.warned.count = 0
        try:
            image = self._read(data)
        except InputError:
            self.refused += 1
            return
        if image.shape == self.sound.shape and np.array_equal(image, self.sound):
            return
        if self.warned.count:
            self.aloud += 1
        elif image.shape != self.sound.shape:
            self.unheard.append(1.0)
        else:
            difference = np.abs(image.astype(int) - self.sound).max(axis=2)
            self.unheard.append(float((difference > VISIBLE).mean()))


def tell(kind: str, count: int) -> dict[str, Damaged]:
    """One kind of file, by the way it was damaged."""
    data, found = KINDS[kind](), {}
    for way, damage in WAYS.items():
        found[way] = Damaged(data)
        logging.getLogger().addHandler(found[way].warned)
        for number in range(count):
            found[way].read(damage(data, np.random.default_rng([7, number])))
        logging.getLogger().removeHandler(found[way].warned)
    return found


def main(count: int, kinds: list[str]) -> None:
    for kind in kinds or KINDS:
        try:
            found = tell(kind, count)
        except (KeyError, OSError) as error:
            print(f"| {kind} | not made here ({error}) |")
            continue
        cells = []
        for way in found.values():
            shares = way.unheard or [0.0]
            worst = f"{100 * np.median(shares):.2g} %, {100 * max(shares):.2g} %"
            cells.append(f"{way.refused} + {way.aloud}, {len(way.unheard)} ({worst})")
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
