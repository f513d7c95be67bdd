"""A script, `python -m tests.crafted ISOLATE`: read files that were made to harm, some sixty, written on the fly.

Prints a line for each: seconds, the peaks of memory in MB of this process and of decoders so far, its name, what came.
"""

from __future__ import annotations

import io
import resource
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs import isolation
from ptocr.inputs.read import iter_pages
from tests.hostile_files import SLOW_PDFS, pdf, stream

SECONDS, MEMORY = 4.0, 256 << 20
FORM = b"/Type/XObject/Subtype/Form/BBox[0 0 300 300]"


def image(width: int, height: int, more: bytes, data: bytes = b"\0" * 1000) -> bytes:
    """A PDF page with a picture that claims a size."""
    entries = b"/Type/XObject/Subtype/Image/Width %d/Height %d%s" % (width, height, more)
    drawn = b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(data), data)
    return pdf(b"300 0 0 300 0 0 cm /I Do", b"/XObject<</I 20 0 R>>", (drawn,))


def form(content: bytes, entries: bytes = b"") -> bytes:
    """A PDF page that paints a form XObject, which may paint itself."""
    body = stream(content, FORM + b"/Resources<</XObject<</F 20 0 R>>/ExtGState<</G 21 0 R>>>>" + entries)
    return pdf(b"/F Do", b"/XObject<</F 20 0 R>>/ExtGState<</G 21 0 R>>", (body, b"<</SMask<</S/Alpha/G 20 0 R>>>>"))


def replaced(old: bytes, new: bytes, data: bytes | None = None) -> bytes:
    data = data or pdf(b"0 0 50 50 re f")
    assert old in data
    return data.replace(old, new)


BOX, RED = b"/MediaBox[0 0 300 300]", b"/ColorSpace/DeviceRGB/BitsPerComponent 8"
PDFS: dict[str, Callable[[], bytes]] = {
    **SLOW_PDFS,
    "form that paints itself": lambda: form(b"/F Do"),
    "form that paints itself a hundred times": lambda: form(b"/F Do " * 100),
    "mask that masks itself": lambda: form(b"/G gs 0 0 300 300 re f"),
    "group that is its own": lambda: form(b"/F Do", b"/Group<</S/Transparency>>"),
    "deep arrays": lambda: replaced(BOX, BOX + b"/X " + b"[" * 200_000),
    "deep dictionaries": lambda: replaced(BOX, BOX + b"/X " + b"<</A" * 100_000),
    "pages that hold themselves": lambda: replaced(b"/Kids[5 0 R]", b"/Kids[2 0 R]"),
    "a page a hundred thousand times": lambda: replaced(
        b"/Kids[5 0 R]/Count 1", b"/Kids[" + b"5 0 R " * 100_000 + b"]/Count 100000"
    ),
    "two thousand million pages": lambda: replaced(b"/Count 1", b"/Count 2147483647"),
    "page of a million points": lambda: replaced(BOX, b"/MediaBox[0 0 1000000 1000000]"),
    "page of 10^30 points": lambda: replaced(BOX, b"/MediaBox[0 0 1" + b"0" * 30 + b" 1" + b"0" * 30 + b"]"),
    "page of no width": lambda: replaced(BOX, b"/MediaBox[0 0 0 300]"),
    "page as thin as a thread": lambda: replaced(BOX, b"/MediaBox[0 0 0.0001 14400]"),
    "page turned inside out": lambda: replaced(BOX, b"/MediaBox[300 300 0 0]/Rotate 91"),
    "huge user unit": lambda: replaced(BOX, BOX + b"/UserUnit 1000000"),
    "references in a circle": lambda: replaced(BOX, b"/MediaBox 20 0 R", pdf(b"", b"", (b"21 0 R", b"20 0 R"))),
    "gigabyte of nothing as content": lambda: pdf(bytes(1 << 30)),
    "hundred thousand saved states": lambda: pdf(b"q " * 1_000_000),
    "million clips": lambda: pdf(b"0 0 300 300 re W n " * 200_000 + b"0 0 300 300 re f"),
    "million letters": lambda: pdf(b"BT /F 9 Tf (" + b"x" * 1_000_000 + b") Tj ET"),
    "tiny dashes": lambda: pdf(b"[0.0001] 0 d 9 w 0 0 m 300 300 l S 0 300 m 300 0 l S"),
    "million operands": lambda: pdf(b"1 " * 3_000_000 + b"re f"),
    "picture of 60,000 squared": lambda: image(60_000, 60_000, b"/ColorSpace/DeviceGray/BitsPerComponent 1"),
    "picture of 2^31 columns": lambda: image(2**31 - 1, 2**31 - 1, RED),
    "picture of -5 columns": lambda: image(-5, -5, RED),
    "filters of filters": lambda: image(
        100, 100, RED + b"/Filter[" + b"/FlateDecode" * 2000 + b"]", zlib.compress(b"x")
    ),
    "JPEG 2000 that is none": lambda: image(9000, 9000, b"/Filter/JPXDecode"),
    "JBIG2 that is none": lambda: image(
        30_000, 30_000, b"/ColorSpace/DeviceGray/BitsPerComponent 1/Filter/JBIG2Decode"
    ),
    "fax of a million rows": lambda: image(
        1_000_000,
        1_000_000,
        b"/ColorSpace/DeviceGray/BitsPerComponent 1/Filter/CCITTFaxDecode/DecodeParms<</K -1/Columns 1000000>>",
    ),
    "predictor of a million columns": lambda: image(
        99, 99, RED + b"/Filter/FlateDecode/DecodeParms<</Predictor 12/Columns 999999999>>", zlib.compress(bytes(9))
    ),
    "table that leads to itself": lambda: replaced(b"/Size 99", b"/Prev 9/Size 99"),
    "encrypted by nobody": lambda: replaced(b"/Size 99", b"/Encrypt<</Filter/Standard/V 5/R 9/O()/U()/P -1>>/Size 99"),
    "ends in its head": lambda: b"%PDF-1.7\n",
}


def chunks(
    *parts: tuple[bytes, bytes], size: tuple[int, int] = (64, 64), kind: int = 2, depth: int = 8, laced: int = 0
) -> bytes:
    """A PNG of these parts, its header before and its end behind them."""
    header = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, laced)
    body = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", header), *parts, (b"IEND", b"")):
        body += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return body


def saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).convert(mode).save(out, kind, **options)
    return out.getvalue()


def tiff(*entries: tuple[int, int, int, int], then: int = 0, data: bytes = b"") -> bytes:
    """A TIFF with one directory of (tag, type, count, value)."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + struct.pack("<I", then) + data


def plain_tiff(**changes: int) -> bytes:
    tags = {
        "width": 256,
        "height": 257,
        "bits": 258,
        "packing": 259,
        "kind": 262,
        "place": 273,
        "samples": 277,
        "rows": 278,
        "size": 279,
    }
    values = {
        "width": 64,
        "height": 64,
        "bits": 8,
        "packing": 1,
        "kind": 1,
        "place": 200,
        "samples": 1,
        "rows": 64,
        "size": 4096,
    }
    entries = [(tags[name], 4, 1, value) for name, value in {**values, **changes}.items()]
    return tiff(*entries, data=bytes(5000))


def gif_frames() -> bytes:
    return saved("GIF", "P")[:-1] + (b",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0") * 60_000 + b";"


def jpeg_of(width: int, height: int, **options: Any) -> bytes:
    data = bytearray(saved("JPEG", **options))
    struct.pack_into(">HH", data, data.find(b"\xff\xc2" if options else b"\xff\xc0") + 5, height, width)
    return bytes(data)


def grey_jpeg(width: int, height: int, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("L", (width, height), 99).save(out, "JPEG", **options)
    return out.getvalue()


def tiff_of_one_part(part: bytes, strips: int, packing: int, **facts: int) -> bytes:
    """A TIFF whose strips are all the same bytes."""
    table = 8 + 2 + 12 * 9 + 4
    values = {256: 80, 257: strips, 258: 8, 259: packing, 262: 1, 273: table, 277: 1, 278: 1, 279: table + 4 * strips}
    values |= {int(tag[1:]): value for tag, value in facts.items()}
    entries = ((tag, 4, strips if tag in (273, 279) else 1, value) for tag, value in values.items())
    lists = struct.pack(f"<{2 * strips}I", *[table + 8 * strips] * strips, *[len(part)] * strips)
    return tiff(*entries, data=lists + part)


def nested_directories(big: bool) -> bytes:
    """A TIFF of a sound page and 9,000 directories of 65,535 entries, each of which begins in the one before."""
    first, count, entry = (16, 8, 20) if big else (8, 2, 12)
    numbers, place = ("<HHQQ", "<Q") if big else ("<HHII", "<I")
    tags = {256: 64, 257: 64, 258: 8, 259: 1, 262: 1, 273: 300, 277: 1, 278: 64, 279: 4096}
    out = bytearray(5000 + 24 * 9000 + count + entry * 65_535 + 8)
    out[:16] = struct.pack("<2sHHHQ", b"II", 43, 8, 0, first) if big else struct.pack("<2sHIQ", b"II", 42, first, 0)
    for at, amount in ((first, len(tags)), *((5000 + 24 * number, 65_535) for number in range(9000))):
        struct.pack_into("<Q" if big else "<H", out, at, amount)
        following = 5000 if at == first else at + 24 if at < 5000 + 24 * 8999 else 0
        struct.pack_into(place, out, at + count + entry * amount, following)
    for number, (tag, value) in enumerate(tags.items()):
        struct.pack_into(numbers, out, first + count + entry * number, tag, 16 if big else 4, 1, value)
    return bytes(out)


FILLED = (b"IDAT", zlib.compress(bytes(64 * 193)))
PICTURES: dict[str, Callable[[], bytes]] = {
    "png of 10^10 pixels": lambda: chunks(FILLED, size=(100_000, 100_000)),
    "png of 13,000 squared, empty": lambda: chunks((b"IDAT", zlib.compress(bytes(9))), size=(13_000, 13_000)),
    "png of 12,000 squared, 16 bits, alpha": lambda: chunks(FILLED, size=(12_000, 12_000), kind=6, depth=16),
    "interlaced png of 13,000 squared": lambda: chunks(FILLED, size=(13_000, 13_000), laced=1),
    "png of no width": lambda: chunks(FILLED, size=(0, 64)),
    "png with a text of a gigabyte": lambda: chunks((b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 30))), FILLED),
    "png with a profile of a gigabyte": lambda: chunks((b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 30))), FILLED),
    "png of two hundred thousand parts": lambda: chunks(*[(b"teXt", b"")] * 200_000, FILLED),
    "png stream of 200 MB": lambda: chunks((b"IDAT", zlib.compress(bytes(200_000_000), 1))),
    "png with 2^31 frames": lambda: chunks((b"acTL", struct.pack(">II", 2**31 - 1, 0)), FILLED),
    "png with a palette of a million": lambda: chunks((b"PLTE", bytes(3_000_000)), FILLED, kind=3),
    "jpeg of 65,500 squared": lambda: jpeg_of(65_500, 65_500),
    "jpeg of 13,000 squared": lambda: jpeg_of(13_000, 13_000),
    "progressive jpeg of 11,000 squared": lambda: jpeg_of(11_000, 11_000, progressive=True),
    "jpeg of two thousand scans": lambda: (
        (d := saved("JPEG", progressive=True))[:-2] + d[d.rfind(b"\xff\xda") : -2] * 2000 + b"\xff\xd9"
    ),
    "jpeg of 4,700 squared with 490 scans": lambda: (
        (d := grey_jpeg(4700, 4700, progressive=True))[:-2] + d[d.rfind(b"\xff\xda") : -2] * 480 + b"\xff\xd9"
    ),
    "jpeg of a million comments": lambda: b"\xff\xd8" + b"\xff\xfe\0\x02" * 1_000_000 + saved("JPEG")[2:],
    "jpeg of a million fill bytes": lambda: b"\xff\xd8" + b"\xff" * 5_000_000 + saved("JPEG")[3:],
    "tiff of 10^9 columns": lambda: plain_tiff(width=10**9),
    "tiff of 13,000 squared": lambda: plain_tiff(width=13_000, height=13_000, rows=13_000),
    "tiff of rows of one strip each": lambda: plain_tiff(height=100_000, rows=1),
    "tiff of 255 samples": lambda: plain_tiff(samples=255),
    "tiff whose strip is 4 GB": lambda: plain_tiff(size=2**32 - 1),
    "tiff packed as nothing known": lambda: plain_tiff(packing=34_712),
    "tiff of 9,000 strips that are 200 MB": lambda: tiff_of_one_part(zlib.compress(bytes(200_000_000), 1), 9000, 8),
    "tiff of 2,000 jpegs of 8,000 squared": lambda: tiff_of_one_part(
        grey_jpeg(8000, 8000), 2000, 7, _257=120_000, _278=60
    ),
    "tiff of nested directories": lambda: nested_directories(False),
    "large tiff of nested directories": lambda: nested_directories(True),
    "icon of 13,000 squared": lambda: (
        b"\0\0\1\0\1\0"
        + struct.pack("<BBBBHHII", 32, 32, 0, 0, 1, 32, 999, 22)
        + chunks((b"IDAT", zlib.compress(bytes(13_000 * 13_000 // 100), 1)), size=(13_000, 13_000), kind=6)
    ),
    "tiff that leads to itself": lambda: tiff((256, 4, 1, 64), (257, 4, 1, 64), then=8),
    "tiff with an entry of 4 GB": lambda: tiff((256, 4, 2**30, 8), (257, 4, 1, 64), (33432, 2, 2**32 - 1, 8)),
    "gif of 65,535 squared": lambda: saved("GIF", "P")[:6] + b"\xff\xff\xff\xff" + saved("GIF", "P")[10:],
    "gif of sixty thousand frames": gif_frames,
    "webp of 16,383 squared": lambda: saved("WEBP").replace(
        struct.pack("<HH", 80, 60), struct.pack("<HH", 16_383, 16_383)
    ),
    "bmp of 2^31 rows": lambda: (d := saved("BMP"))[:22] + struct.pack("<i", 2**31 - 1) + d[26:],
    "pnm with an endless comment": lambda: b"P2\n#" + b"x" * 20_000_000,
    "pnm of 99,999 squared": lambda: b"P6 99999 99999 255\n" + bytes(1000),
    "pnm of numbers of a million digits": lambda: b"P2 " + b"9" * 1_000_000 + b" 9 255 0",
    "pnm with a hundred thousand comments": lambda: (
        b"P5\n" + b"#" * 200 + b"\n#\n" * 1_000_000 + b"9 9 255 " + bytes(81)
    ),
    "jpeg 2000 head": lambda: saved("JPEG2000")[:90],
    "icon of 65,535 pictures": lambda: (
        b"\0\0\1\0\xff\xff" + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, 2**31, 22) * 65_535
    ),
    "avif cut off": lambda: saved("AVIF")[:150],
}


def peak(who: int) -> int:
    """MiB. Of this process since it began: the system's own figure counts what it was forked from."""
    if who == resource.RUSAGE_SELF:
        (line,) = (row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) // 1024
    return resource.getrusage(who).ru_maxrss // 1024


def main(isolate: str) -> None:
    options: dict[str, Any] = {"page_timeout": SECONDS, "page_memory": MEMORY, "max_pages": 2}
    list(iter_pages([pdf(b""), saved("PNG")], isolate=isolate, **options))
    for name, make in {**PDFS, **PICTURES}.items():
        try:
            data = make()
        except (KeyError, OSError) as error:  # this Pillow cannot write it
            print(f"0.00 {peak(resource.RUSAGE_SELF)} 0 {name}: not made ({error})")
            continue
        began = time.monotonic()
        try:
            came = f"{len(list(iter_pages(data, isolate=isolate, **options)))} page(s)"
        except InputError as error:
            came = str(error)
        took = time.monotonic() - began
        isolation._POOL.close()  # so that its peak is known
        print(f"{took:.2f} {peak(resource.RUSAGE_SELF)} {peak(resource.RUSAGE_CHILDREN)} {name}: {came}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
