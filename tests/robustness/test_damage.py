"""Damaged pictures do not pass in silence: what a decoder notices is a warning that names the file, or an error."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.page import Isolate
from ptocr.inputs.read import iter_pages
from tests.silent_damage import KINDS, tell

NOISE = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytearray:
    out = io.BytesIO()
    Image.fromarray(NOISE).resize((320, 240)).convert(mode).save(out, kind, **options)  # type: ignore[arg-type]
    return bytearray(out.getvalue())


def heard(data: bytes, caplog: pytest.LogCaptureFixture, isolate: Isolate = "never") -> bool:
    """Whether the file is refused, or read with a warning that names it."""
    caplog.clear()
    try:
        list(iter_pages(data, isolate=isolate))
    except InputError:
        return True
    return any(
        record.levelno >= logging.WARNING and record.getMessage().startswith("input") for record in caplog.records
    )


@pytest.mark.parametrize("progressive", [False, True])
def test_altered_jpegs_are_heard_of_where_libjpeg_notices(progressive: bool, caplog: pytest.LogCaptureFixture) -> None:
    data = encoded("JPEG", quality=85, progressive=progressive)
    noticed = 0
    for seed in range(60):
        rng, altered = np.random.default_rng(seed), bytearray(data)
        for place in rng.integers(data.find(b"\xff\xda") + 14, len(data) - 2, 2):
            altered[place] ^= 1 << int(rng.integers(8))
        try:
            simplejpeg.decode_jpeg(bytes(altered), colorspace="BGR")  # libjpeg-turbo's own word, at full size
        except ValueError:
            noticed += 1
            assert heard(bytes(altered), caplog), seed
    assert noticed > 15


def higher_tiff(compression: str | None, mode: str = "RGB") -> bytes:
    data = encoded("TIFF", mode, **({} if compression is None else {"compression": compression}))
    (start,) = struct.unpack_from("<I", data, 4)
    for place in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        tag, kind = struct.unpack_from("<HH", data, place)
        if tag in (257, 278):  # rows, and rows of a strip
            struct.pack_into("<H" if kind == 3 else "<I", data, place + 8, 2400)
    return bytes(data)


def higher(kind: str) -> bytes:
    """The same data, with a header that claims ten times the rows."""
    data = encoded(kind, "P" if kind == "GIF" else "RGB")
    if kind == "JPEG":
        struct.pack_into(">H", data, data.find(b"\xff\xc0") + 5, 2400)
    elif kind == "PNG":
        struct.pack_into(">I", data, 20, 2400)
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    elif kind == "BMP":
        struct.pack_into("<i", data, 22, 2400)
    elif kind == "GIF":
        struct.pack_into("<H", data, 8, 2400)
        struct.pack_into("<H", data, data.find(b"," + bytes(4) + struct.pack("<HH", 320, 240)) + 7, 2400)
    elif kind == "WEBP":
        struct.pack_into("<H", data, data.find(b"\x9d\x01\x2a") + 5, 2400)
    return bytes(data.replace(b"320 240", b"320 2400") if kind == "PPM" else data)


CLAIMS: dict[str, Callable[[], bytes]] = {
    **{kind: (lambda kind=kind: higher(kind)) for kind in ("JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM")},  # type: ignore[misc]
    **{
        f"TIFF {packing}": (lambda packing=packing: higher_tiff(packing))  # type: ignore[misc]
        for packing in (None, "tiff_lzw", "tiff_deflate", "packbits")
    },
}


@pytest.mark.parametrize("make", CLAIMS.values(), ids=CLAIMS)
def test_rows_that_are_claimed_and_not_there(make: Callable[[], bytes], caplog: pytest.LogCaptureFixture) -> None:
    assert heard(make(), caplog)


def test_what_libraries_print_in_a_decoder_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    """libtiff says on standard error alone that a fax is damaged."""
    data = encoded("TIFF", "1", compression="group4")
    data[len(data) // 3] ^= 0xFF
    assert heard(bytes(data), caplog, isolate="always")
    assert "damaged, its decoder says: Fax4Decode" in caplog.text
    assert not heard(bytes(encoded("TIFF", "1", compression="group4")), caplog, isolate="always")


@pytest.mark.parametrize("isolate", ["never", "always"])
def test_sound_files_are_read_without_a_word(corpus: Path, isolate: Isolate, caplog: pytest.LogCaptureFixture) -> None:
    files = sorted((corpus / "pages").iterdir())
    pages = list(iter_pages(files, isolate=isolate, max_pages=2, pdf_dpi=36))
    assert len(pages) >= len(files) > 20
    assert caplog.text == ""


def test_ordinary_jpegs_are_read_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    for mode in ("RGB", "L", "CMYK"):
        for subsampling in (0, 1, 2):
            for progressive in (False, True):
                data = encoded("JPEG", mode, subsampling=subsampling, progressive=progressive)
                assert not heard(bytes(data), caplog), (mode, subsampling, progressive)


def test_a_thumbnail_is_no_end_of_its_picture(caplog: pytest.LogCaptureFixture) -> None:
    """EXIF holds a whole JPEG, with scan and end, before the picture's own."""
    small = encoded("JPEG", quality=20)
    data = encoded("JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(small)) + small
    assert not heard(bytes(data[:2] + segment + data[2:]), caplog)


TOLD = {  # share of damaged files that are read without a word, at most: a bit flipped, 64 bytes overwritten
    "PNG": (0.0, 0.0),
    "deflated TIFF": (0.0, 0.0),
    "PDF of a deflated picture": (0.05, 0.0),  # the page's own text is not covered
    "fax (TIFF)": (0.2, 0.05),
    "JPEG": (0.85, 0.2),
    "CMYK JPEG": (0.8, 0.05),
    "JPEG in TIFF": (0.8, 0.05),
    "PDF of a JPEG": (0.85, 0.15),
    "LZW TIFF": (0.9, 0.05),
    "GIF": (0.85, 0.1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_told_as_far_as_a_format_can_tell(kind: str) -> None:
    """Lost bytes always, except from a JPEG whose rest is one as well; altered ones where there are checksums."""
    count = 25
    try:
        found = tell(kind, count)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow cannot write it ({error})")
    if kind not in ("JPEG", "CMYK JPEG", "progressive JPEG", "PDF of a JPEG"):
        assert not found["lost"].unheard
    for way, most in zip(("a bit", "64 bytes"), TOLD.get(kind, (1.0, 1.0)), strict=True):
        assert len(found[way].unheard) <= most * count, way
    if kind in ("plain TIFF", "BMP", "PNM", "PCX", "SGI"):  # no more is wrong than what was altered
        assert max(found["a bit"].unheard, default=0) <= 0.0001
