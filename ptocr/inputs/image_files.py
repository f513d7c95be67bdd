"""Picture files -> page images, decided by content, refused by header, with what can be saved of damaged ones."""

from __future__ import annotations

import io
import logging
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageOps

from ptocr.errors import InputError
from ptocr.inputs.arrays import to_bgr
from ptocr.inputs.damage import container_complaint, odd_tiff, tiff_complaint
from ptocr.inputs.jpeg import jpeg_complaint, jpeg_frame
from ptocr.inputs.page import ReadOptions, check_bytes, check_pixels, select_pages
from ptocr.inputs.pillow import BYTES_OF_AN_ICON, bytes_of_a_pixel, pillow_to_bgr, widen_planes

log = logging.getLogger(__name__)

# What Pillow may be asked to open. EPS (runs Ghostscript) and other programs in disguise are not among them.
_PILLOW_FORMATS = (
    "JPEG", "MPO", "PNG", "GIF", "TIFF", "WEBP", "BMP", "DIB", "PPM", "JPEG2000", "AVIF", "ICO", "TGA", "PCX", "SGI",
    "HEIF",
)  # fmt: skip
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PILLOW_MAGIC = (
    b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf", b"PF",
    b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51", b"\0\0\1\0", b"\x0a\x05\x01", b"\x01\xda",
)  # fmt: skip
HEAD_BYTES = 1024
_ORIENTATION = 0x112  # of EXIF
_BITS = 258  # of TIFF
_PNM_HEAD = 1 << 16
_PNM_SIZE = re.compile(rb"P\d(?:\s|#[^\n]*\n)*\d+(?:\s|#[^\n]*\n)+\d+")  # comments would be read byte by byte
_NO_MEMORY = -4  # StsNoMem of OpenCV
# Small files that keep a decoder busy are refused by what their structure claims.
MOST_SCANS = 500  # of a JPEG: progressive ones have about ten, each goes over the whole picture
MOST_SCANNED = 4_000_000_000  # pixels of all scans together, some seconds; 22 scans of the largest JPEG
MOST_FRAMES = 10_000
MOST_ENTRIES = 300_000  # of a TIFF's directories, which may lie one in the other
SPARE_BYTES = 1 << 16  # that a PNG's stream may have beyond twice its pixels


def sniff(head: bytes) -> str | None:
    """'jpeg', 'png', 'pdf' or 'other' (a picture for Pillow) by the first `HEAD_BYTES` bytes; None if unknown."""
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(_PNG_MAGIC):
        return "png"
    if head.startswith(_PILLOW_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[4:8] == b"ftyp":
        return "other"
    return "pdf" if b"%PDF-" in head[:HEAD_BYTES] else None


def describe_unknown(head: bytes) -> str:
    """Why a file that `sniff` does not know cannot be read, in a few words."""
    if not head:
        return "the file is empty"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return "SVG drawings are not supported; convert it to PNG"
    if start.startswith((b"<!doctype html", b"<html")):
        return "is a web page, not a picture or PDF"
    if head.startswith(b"PK\x03\x04"):
        return "is a ZIP archive or Office document, not a picture or PDF"
    if head.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return "PostScript is not supported; convert it to PDF"
    try:
        head[:-4].decode() if len(head) > 4 else head.decode()
    except UnicodeDecodeError:
        return "is not a picture or PDF that can be read"
    return "is text, not a picture or PDF" if b"\0" not in head else "is not a picture or PDF that can be read"


def decode_frames(data: bytes, name: str, options: ReadOptions) -> Iterator[tuple[np.ndarray, int, int]]:
    """Decode a picture file; yields (BGR image, frame index, number of frames) for the wanted frames, lazily.

    name: for messages. Raises InputError for what cannot be decoded or is larger than `options.max_pixels`.
    """
    kind = sniff(data[:HEAD_BYTES])
    damage = None
    if kind == "jpeg":
        image, damage = _decode_jpeg(data, name, options)
    elif kind == "png":
        image, damage = _decode_png(data, name, options)
    elif kind == "other":
        image = None
        _check_tiff(data, name)
        _check_icon(data, name, options)
        if data[:1] == b"P" and data[1:2] in b"123456" and _PNM_SIZE.match(data[:_PNM_HEAD]) is None:
            raise InputError(f"{name}: refused, the first {_PNM_HEAD} bytes of the PNM do not say its size")
    else:
        raise InputError(f"{name}: {describe_unknown(data[:HEAD_BYTES])}")
    if image is None:
        yield from _pillow_frames(data, name, options, damage)
        return
    select_pages(1, options, name)
    yield image, 0, 1


# ---- JPEG and PNG: OpenCV, so that ordinary files give the very pixels that upstream sees ----


def _decode_jpeg(data: bytes, name: str, options: ReadOptions) -> tuple[np.ndarray | None, str | None]:
    """(image, None), or (None, damage) for Pillow to try."""
    frame, start_of_scan = jpeg_frame(data)
    if frame is None:
        raise InputError(f"{name}: cannot be decoded, the JPEG is cut off before the picture begins")
    width, height, components, precision = frame
    check_pixels(width, height, options, name)
    each = (6 if components in (1, 3) else 13) + (6 if b"\xff\xc2" in data[:start_of_scan] else 0)  # progressive
    check_bytes((width, height), each, options, name)
    most = min(MOST_SCANS, MOST_SCANNED // (width * height))
    if data.count(b"\xff\xda") > most:  # in a scan's own data 0xff is never followed by it
        raise InputError(f"{name}: refused, the JPEG of {width} x {height} pixels has more than {most} scans")
    if data.rfind(b"\xff\xd9") < start_of_scan:
        return None, "the JPEG is cut off"
    if (complaint := jpeg_complaint(data, start_of_scan)) is not None:
        log.warning("%s: the JPEG is damaged (%s); parts of it may look wrong", name, complaint)
    if components not in (1, 3) or precision != 8:
        return None, None
    image = _imdecode(data, cv2.IMREAD_COLOR)
    return image, None if image is not None else "the JPEG is damaged"


@dataclass(frozen=True)
class _Png:
    width: int
    height: int
    depth: int
    color: int  # 0 grey, 2 colour, 3 palette, 4 grey + alpha, 6 colour + alpha
    chunks: frozenset[bytes]
    stream: int  # compressed bytes
    damage: str | None

    @property
    def channels(self) -> int:
        """Numbers of a pixel."""
        return {2: 3, 4: 2, 6: 4}.get(self.color, 1)

    @property
    def raw(self) -> int:
        """Bytes of the pixels before compression, about."""
        return self.height * (1 + self.width * self.depth * self.channels // 8)

    @property
    def bytes_of_a_pixel(self) -> int:
        """What decoding takes: the numbers, the page, and where there is transparency also what is laid on it."""
        return 6 + (self.channels * self.depth // 8 + 4 if self.channels in (2, 4) or self.depth == 16 else 0)


def _png_header(data: bytes, name: str) -> _Png:
    """Walk the chunks of a PNG (no pixel is decoded)."""
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise InputError(f"{name}: cannot be decoded, the PNG has no header")
    width, height, depth, color = struct.unpack_from(">IIBB", data, 16)
    chunks: set[bytes] = set()
    position, stream = 8, 0
    view = memoryview(data)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, end = data[position + 4 : position + 8], position + 8 + length
        if end + 4 > len(data):
            break
        if kind[:1].isupper() and zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return _Png(width, height, depth, color, frozenset(chunks), stream, "the PNG has a wrong checksum")
        chunks.add(kind)
        stream += length if kind == b"IDAT" else 0
        position = end + 4
        if kind == b"IEND":
            return _Png(width, height, depth, color, frozenset(chunks), stream, None)
    return _Png(width, height, depth, color, frozenset(chunks), stream, "the PNG is cut off")


def _decode_png(data: bytes, name: str, options: ReadOptions) -> tuple[np.ndarray | None, str | None]:
    """(image, None), or (None, damage) for Pillow to try."""
    png = _png_header(data, name)
    check_pixels(png.width, png.height, options, name)
    check_bytes((png.width, png.height), png.bytes_of_a_pixel, options, name)
    if png.stream > 2 * png.raw + SPARE_BYTES:
        raise InputError(f"{name}: refused, the PNG holds {png.stream} bytes for {png.width} x {png.height} pixels")
    if png.damage:
        return None, png.damage
    if b"acTL" in png.chunks or b"eXIf" in png.chunks or (b"tRNS" in png.chunks and png.depth <= 8):
        return None, None
    if png.color in (4, 6) or png.depth == 16:
        pixels = _imdecode(data, cv2.IMREAD_UNCHANGED)
        return (None, "the PNG is damaged") if pixels is None else (to_bgr(pixels, name), None)
    image = _imdecode(data, cv2.IMREAD_COLOR)
    return image, None if image is not None else "the PNG is damaged"


def _imdecode(data: bytes, flags: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if error.code == _NO_MEMORY:
            raise MemoryError from None
        return None


# ---- everything else, and damaged files: Pillow ----


def _check_tiff(data: bytes, name: str) -> None:
    """Refuse a TIFF whose directory is not in the file; Pillow would warn, guess, and say less."""
    order = "<" if data[:2] == b"II" else ">"
    if data[:4] in (b"II*\0", b"MM\0*"):
        start, count_of, place_of, entry = 4, order + "H", order + "I", 12
    elif data[:4] in (b"II+\0", b"MM\0+"):  # of more than 4 GB
        start, count_of, place_of, entry = 8, order + "Q", order + "Q", 20
    else:
        return
    (offset,) = struct.unpack_from(place_of, data.ljust(16, b"\xff"), start)
    if offset + 2 > len(data):
        raise InputError(f"{name}: cannot be decoded, the TIFF is cut off or not a TIFF at all")
    total = 0
    for _ in range(MOST_FRAMES):  # each directory ends with the place of the next
        try:
            (entries,) = struct.unpack_from(count_of, data, offset)
            (offset,) = struct.unpack_from(place_of, data, offset + struct.calcsize(count_of) + entry * entries)
        except struct.error:  # that is where Pillow ends
            return
        total += entries
        if total > MOST_ENTRIES:
            raise InputError(f"{name}: refused, the directories of the TIFF have more than {MOST_ENTRIES} entries")
        if offset == 0:
            return
    raise InputError(f"{name}: refused, the TIFF has more than {MOST_FRAMES} pages, or they lead in a circle")


def _check_icon(data: bytes, name: str, options: ReadOptions) -> None:
    """Refuse an icon by what its pictures say of themselves; Pillow believes their list, and decodes when it opens."""
    if data[:4] != b"\0\0\1\0" or len(data) < 6:
        return
    (count,) = struct.unpack_from("<H", data, 4)
    for place in range(6, 6 + 16 * count, 16):
        try:
            (start,) = struct.unpack_from("<I", data, place + 12)
            if data[start : start + 8] == _PNG_MAGIC:
                width, height = struct.unpack_from(">II", data, start + 16)
            else:  # a BMP, with its mask below it
                old = struct.unpack_from("<I", data, start) == (12,)
                width, height = struct.unpack_from("<HH" if old else "<II", data, start + 4)
        except struct.error:
            return
        if min(width, height) > 0:
            check_pixels(width, height, options, name)
            check_bytes((width, height), BYTES_OF_AN_ICON, options, name)


def open_pillow(data: bytes, name: str) -> Image.Image:
    """Open with Pillow (header only); every way it fails becomes an InputError."""
    try:
        return Image.open(io.BytesIO(data), formats=[f for f in _PILLOW_FORMATS if f in _registered_formats()])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{name}: refused: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # plugins let any exception of a broken file through
        raise InputError(f"{name}: {_undecodable(data)}") from error


def _registered_formats() -> set[str]:
    Image.init()
    return set(Image.OPEN)


def _undecodable(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis"):
        return "HEIC pictures are not supported; convert it to JPEG or PNG"
    if data[4:8] == b"ftyp":
        return "is a video or a picture format that is not supported"
    if (kind := odd_tiff(data)) is not None:
        return f"a TIFF of {kind} is not supported; convert it to integers of 8 or 16 bits, up to four a pixel"
    return "cannot be decoded, the picture is damaged or cut off"


def _pillow_frames(
    data: bytes, name: str, options: ReadOptions, damage: str | None
) -> Iterator[tuple[np.ndarray, int, int]]:
    if damage is None and (complaint := container_complaint(data)) is not None:
        log.warning("%s: the file is damaged, %s; parts of the picture may look wrong", name, complaint)
    with open_pillow(data, name) as image:
        check_pixels(image.width, image.height, options, name)
        count = 1 if damage or image.format == "MPO" else _count_frames(image, name)
        if count > MOST_FRAMES:
            raise InputError(f"{name}: refused, it claims {count} frames; at most {MOST_FRAMES} are read")
        for index in select_pages(count, options, name):
            try:
                image.seek(index)
                check_pixels(image.width, image.height, options, name)
                check_bytes(image.size, bytes_of_a_pixel(image), options, name)
                widen_planes(image)
                frame = _load(image, name, damage or _page_damage(image, data))
            except (InputError, MemoryError):
                raise
            except Exception as error:  # plugins let any exception of a broken file through
                raise InputError(f"{name}: frame {index} cannot be decoded ({error})") from error
            yield frame, index, count


def _page_damage(image: Image.Image, data: bytes) -> str | None:
    """What a page of a TIFF lacks, before it is decoded."""
    if image.format != "TIFF":
        return None
    bits = sum(image.tag_v2.get(_BITS, (1,)))  # type: ignore[attr-defined]
    complaint = tiff_complaint(image.tag_v2, data, image.height * (image.width * bits // 8))  # type: ignore[attr-defined]
    return None if complaint is None else f"the picture is damaged ({complaint})"


def _count_frames(image: Image.Image, name: str) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:
        log.warning("%s: damaged after its first frame; only that one is read", name)
        return 1


def _load(image: Image.Image, name: str, damage: str | None) -> np.ndarray:
    """Decode the current frame; of a damaged one, the rows that are there."""
    try:
        image.load()
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: refused: {error}") from None
    except MemoryError:
        raise
    except Exception as error:
        damage = damage or f"the picture is damaged ({error})"
        # nothing more to decode, so that the next load() hands out what has been decoded so far
        image.tile = []  # type: ignore[attr-defined]
    try:
        turned = image.getexif().get(_ORIENTATION, 1) != 1
        pixels = pillow_to_bgr(ImageOps.exif_transpose(image) if turned else image, name)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{name}: cannot be decoded ({error})") from error
    if damage:
        if not pixels.any():
            raise InputError(f"{name}: cannot be decoded, {damage} before any of the picture")
        log.warning("%s: %s; reading the part that is there", name, damage)
    return pixels
