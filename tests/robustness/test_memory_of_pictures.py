"""Decoding takes no more than `page_memory` is asked for, whatever the format; more is refused by the header."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.read import iter_pages

WIDTH, HEIGHT = 4000, 3500
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ptocr.inputs.read import iter_pages
def peak():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) << 10
list(iter_pages(sys.argv[2], isolate="never"))  # libraries are loaded
before = peak()
(page,) = iter_pages(sys.argv[3], isolate="never")
print(peak() - before, page.image.shape)
"""


def picture(mode: str, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Smooth, so that files are small, and never the same everywhere."""
    channel = np.add.outer(np.arange(height) // 16, np.arange(width) // 16)
    if mode == "I;16":
        return Image.fromarray((channel * 40).astype(np.uint16))
    if mode in ("F", "I"):
        return Image.fromarray((channel * 1000).astype(np.float32 if mode == "F" else np.int32))
    channels = [
        Image.fromarray((channel * (n + 1)).astype(np.uint8)) for n in range(len(Image.new(mode, (1, 1)).getbands()))
    ]
    return channels[0] if mode == "L" else Image.merge(mode, channels)


def rgba16(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    import cv2

    pixels = np.asarray(picture("RGBA", width, height)).astype(np.uint16) * 257
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def saved(mode: str, kind: str, **options: object) -> Callable[..., bytes]:
    def make(width: int = WIDTH, height: int = HEIGHT) -> bytes:
        out = io.BytesIO()
        picture(mode, width, height).save(out, kind, **options)  # type: ignore[arg-type]
        return out.getvalue()

    return make


KINDS: dict[str, Callable[..., bytes]] = {
    "jpeg": saved("RGB", "JPEG"),
    "progressive jpeg": saved("RGB", "JPEG", progressive=True, subsampling=0),
    "cmyk jpeg": saved("CMYK", "JPEG"),
    "png": saved("RGB", "PNG", compress_level=1),
    "png with alpha": saved("RGBA", "PNG", compress_level=1),
    "png of 16 bits with alpha": rgba16,
    "tiff": saved("RGB", "TIFF", compression="tiff_deflate"),
    "tiff with alpha": saved("RGBA", "TIFF", compression="tiff_lzw"),
    "float tiff": saved("F", "TIFF", compression="tiff_deflate"),
    "32-bit tiff": saved("I", "TIFF"),
    "16-bit tiff": saved("I;16", "TIFF"),
    "webp": saved("RGBA", "WEBP", lossless=True, method=0, quality=0),
    "jpeg 2000": saved("RGB", "JPEG2000"),
    "avif": saved("RGB", "AVIF", speed=10),
    "gif": saved("L", "GIF"),
    "bmp": saved("RGB", "BMP"),
}


def made(kind: str, **size: int) -> bytes:
    try:
        return KINDS[kind](**size)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow cannot write it ({error})")


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize("kind", KINDS)
def test_decoding_takes_what_was_asked_for(kind: str, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(made(kind, width=64, height=64))
    (tmp_path / "large").write_bytes(made(kind))
    with pytest.raises(InputError, match="page_memory") as refusal:
        list(iter_pages(tmp_path / "large", page_memory=1 << 20, isolate="never"))
    asked = int(re.search(r"about (\d+) bytes", str(refusal.value))[1])  # type: ignore[index]
    command = [sys.executable, "-c", SCRIPT, str(ROOT), str(tmp_path / "small"), str(tmp_path / "large")]
    out = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    taken = int(out.split()[0]) - os.path.getsize(tmp_path / "large")
    assert taken < 1.05 * asked + (24 << 20), f"{taken / WIDTH / HEIGHT:.1f} bytes a pixel, asked for {asked}"
    assert f"({HEIGHT}, {WIDTH}, 3)" in out


def test_the_largest_ordinary_pictures_are_within_the_default() -> None:
    from ptocr.inputs.page import MAX_PIXELS, PAGE_MEMORY, ReadOptions, check_bytes

    check_bytes((MAX_PIXELS, 1), 6, ReadOptions(), "jpeg or png")
    assert MAX_PIXELS * 9 <= PAGE_MEMORY
