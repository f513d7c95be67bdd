"""A script, `python -m tests.fuzz COUNT SEED ISOLATE`: read COUNT altered files of all kinds, made on the way; a COUNT
such as `60s` means as many as there is time for.

Seeds are small files of each format; a few bits, bytes and pieces are changed, repeated, exchanged or cut off. Whatever
comes of it is a page or an InputError, within the limits of time and memory; anything else ends the script. Prints a
line per kind: files, read, read with a warning, refused, slowest in seconds; and the growth of memory in MB.
"""

from __future__ import annotations

import io
import itertools
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.read import iter_pages
from tests.hostile_files import pdf

SECONDS, PIXELS, MEMORY = 10.0, 4_000_000, 200 << 20
TOKENS = (
    b"\xff\xd8",
    b"\xff\xda",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"/Length 99999999",
    b"obj",
    b"IDAT",
)


def saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    picture = np.random.default_rng(0).integers(0, 255, (16, 20, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(picture).resize((80, 64)).convert(mode).save(out, kind, **options)
    return out.getvalue()


def seeds() -> dict[str, bytes]:
    """Small sound files, a name for each kind."""
    kinds: dict[str, Callable[[], bytes]] = {
        "jpeg": lambda: saved("JPEG"),
        "progressive jpeg": lambda: saved("JPEG", progressive=True),
        "cmyk jpeg": lambda: saved("JPEG", "CMYK"),
        "png": lambda: saved("PNG"),
        "png with alpha": lambda: saved("PNG", "RGBA"),
        "palette png": lambda: saved("PNG", "P"),
        "tiff": lambda: saved("TIFF"),
        "lzw tiff": lambda: saved("TIFF", compression="tiff_lzw"),
        "deflated tiff": lambda: saved("TIFF", compression="tiff_deflate"),
        "jpeg tiff": lambda: saved("TIFF", compression="jpeg"),
        "fax": lambda: saved("TIFF", "1", compression="group4"),
        "float tiff": lambda: saved("TIFF", "F"),
        "webp": lambda: saved("WEBP"),
        "lossless webp": lambda: saved("WEBP", "RGBA", lossless=True),
        "gif": lambda: saved("GIF", "P"),
        "bmp": lambda: saved("BMP"),
        "pnm": lambda: saved("PPM"),
        "jpeg 2000": lambda: saved("JPEG2000"),
        "avif": lambda: saved("AVIF"),
        "ico": lambda: saved("ICO", sizes=[(64, 64)]),
        "pcx": lambda: saved("PCX"),
        "sgi": lambda: saved("SGI"),
        "pdf": lambda: pdf(b"0 0 50 50 re f BT (text) Tj ET 1 0 0 RG 0 0 m 90 90 l S", pages=2),
        "pdf of a picture": lambda: saved("PDF"),
    }
    made = {}
    for name, make in kinds.items():
        try:
            made[name] = make()
        except (KeyError, OSError):  # this Pillow cannot write it
            continue
    return made


def altered(data: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to four changes."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        place, other = (int(number) for number in rng.integers(0, max(len(out), 1), 2))
        size = int(rng.integers(1, 40))
        change = int(rng.integers(7))
        if not out:
            break
        if change < 2:
            out[place] ^= 1 << int(rng.integers(8))
        elif change == 2:
            out[place] = int(rng.integers(256))
        elif change == 3:
            out[place:place] = out[other : other + size]
        elif change == 4:
            out[place : place + size] = b""
        elif change == 5:
            token = TOKENS[int(rng.integers(len(TOKENS)))]
            out[place : place + len(token)] = token
        elif rng.random() < 0.3:
            del out[place:]
    return bytes(out)


class Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


def resident() -> float:
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def numbers(count: str) -> Iterator[int]:
    """0, 1, 2 ... for so many files, or so many seconds."""
    if not count.endswith("s"):
        yield from range(int(count))
        return
    until = time.monotonic() + float(count[:-1])
    yield from itertools.takewhile(lambda _: time.monotonic() < until, itertools.count())


def main(count: str, seed: int, isolate: str) -> None:
    warned = Warnings()
    logging.getLogger().addHandler(warned)
    options: dict[str, Any] = {"page_timeout": SECONDS, "max_pixels": PIXELS, "page_memory": MEMORY, "isolate": isolate}
    options["max_pages"] = 3
    files = seeds()
    for data in files.values():
        assert len(list(iter_pages(data, **options))) >= 1
    before, totals = resident(), {name: [0, 0, 0, 0, 0.0] for name in files}
    for number in numbers(count):
        name = list(files)[number % len(files)]
        data = altered(files[name], np.random.default_rng([seed, number]))
        total, warned.count, began = totals[name], 0, time.monotonic()
        total[0] += 1
        try:
            read = len(list(iter_pages(data, **options)))
        except InputError:
            total[3] += 1
        else:
            total[2 if warned.count else 1] += read > 0
        total[4] = max(total[4], time.monotonic() - began)
    for name, (files_of_it, read, aloud, refused, slowest) in totals.items():
        print(f"{name}: {files_of_it} files, {read} read, {aloud} with a warning, {refused} refused, {slowest:.2f} s")
    print(f"grown {resident() - before:.1f}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
