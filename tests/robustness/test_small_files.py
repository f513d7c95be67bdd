"""Small files that would keep a decoder busy, or fill the memory: refused at once, by name."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.page import Page
from ptocr.inputs.read import iter_pages

PIXELS = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)


def many_scans() -> bytes:
    """A progressive JPEG whose last scan is repeated 2,000 times."""
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * 2000 + b"\xff\xd9"


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def long_stream() -> bytes:
    """A PNG of 64 x 64 pixels whose stream unpacks to 200 MB."""
    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    return png((b"IHDR", header), (b"IDAT", zlib.compress(bytes(200_000_000), 1)), (b"IEND", b""))


def many_directories() -> bytes:
    """A TIFF with 60,000 pages that are all the same one."""
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "TIFF")
    data = bytearray(stream.getvalue())
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    directory = bytes(data[first : first + 2 + 12 * entries])
    start, size = len(data) + len(data) % 2, len(directory) + 4
    struct.pack_into("<I", data, first + 2 + 12 * entries, start)
    data += bytes(start - len(data))
    for number in range(1, 60_001):
        data += directory + struct.pack("<I", 0 if number == 60_000 else start + number * size)
    return bytes(data)


def claimed_frames() -> bytes:
    """An APNG that says it has 2^31 - 1 frames."""
    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    control = (b"acTL", struct.pack(">II", 2**31 - 1, 0))
    return png((b"IHDR", header), control, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (many_scans, "more than 500 scans"),
        (long_stream, "bytes for 64 x 64 pixels"),
        (many_directories, "more than 10000 pages"),
        (claimed_frames, "claims 2147483648 frames"),
    ],
)
def test_refused_by_what_they_claim(make, message: str, tmp_path: Path) -> None:
    (tmp_path / "small.bin").write_bytes(make())
    with pytest.raises(InputError, match=rf"small\.bin: refused, .*{message}"):
        list(iter_pages(str(tmp_path / "small.bin")))


def icon(content: bytes) -> bytes:
    """An icon whose list says 32 x 32."""
    return b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 32, 32, 0, 0, 1, 32, len(content), 22) + content


@pytest.mark.parametrize(
    "content",
    [
        png((b"IHDR", struct.pack(">IIBBBBB", 13_000, 13_000, 8, 6, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(9)))),
        struct.pack("<IiiHHIIiiII", 40, 13_000, 13_000, 1, 32, 0, 0, 0, 0, 0, 0),
        struct.pack("<IHHHH", 12, 13_000, 13_000, 1, 24),
    ],
)
def test_an_icon_is_refused_by_its_picture(content: bytes) -> None:
    with pytest.raises(InputError, match=r"13000 x 13000 pixels of this kind take about .* \(page_memory\)"):
        list(iter_pages(icon(content), isolate="never"))


def test_icons_are_read() -> None:
    for kind in ("png", "bmp"):
        out = io.BytesIO()
        Image.fromarray(PIXELS).save(out, "ICO", bitmap_format=kind, sizes=[(64, 64), (16, 16)])
        (page,) = iter_pages(out.getvalue())
        np.testing.assert_array_equal(page.image[:, :, ::-1], PIXELS)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_ordinary_files_are_read(suffix: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / f"page{suffix}"), PIXELS)
    (page,) = iter_pages(str(tmp_path / f"page{suffix}"))
    assert page.image.shape == (64, 64, 3)


def test_noise_that_does_not_compress_is_read(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "noise.png", compress_level=0)
    (page,) = iter_pages(str(tmp_path / "noise.png"))
    np.testing.assert_array_equal(page.image[:, :, ::-1], PIXELS)


def test_a_sparse_file_is_not_read_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff\xe0")
        file.truncate(20 << 30)
    with pytest.raises(InputError, match=r"sparse\.jpg: a picture file of 21474836480 bytes"):
        list(iter_pages(str(tmp_path / "sparse.jpg")))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_in_a_files_place_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, plain = tmp_path / "page.png", (tmp_path / "plain.png")
    plain.write_bytes(b"x")
    os.mkfifo(path)
    look = Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **more: look(plain if self == path else self, **more))
    found: list[Page | InputError] = []
    reading = threading.Thread(target=lambda: found.extend(iter_pages(str(path), on_error=found.append)), daemon=True)
    reading.start()
    reading.join(20)
    assert len(found) == 1 and "is a named pipe, not a file" in str(found[0])
