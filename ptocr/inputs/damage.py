"""Damage (corruption) that decoders keep to themselves, in all but JPEGs: checksums, and lengths that disagree."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

from ptocr.inputs.jpeg import JPEG_END, jpeg_complaint, jpeg_frame

_UNPACKED = 1 << 20  # bytes that are unpacked at a time, to be thrown away
_MOST_UNPACKED = 1 << 28
_SPARE_BYTES = 1 << 26  # that the tiles of a small TIFF may reach beyond it
_PLAIN, _FAXES, _JPEG, _DEFLATED = 1, (2, 3, 4), 7, (8, 32946)  # compressions of TIFF
_COMPRESSION, _PLACES, _SIZES, _TABLES = 259, 273, 279, 347  # tags of TIFF
_TILE_PLACES, _TILE_SIZES = 324, 325
_BITS, _SAMPLES, _FORMAT = 258, 277, 339
_SHORT, _FLOAT = 3, 3  # a type of tags, a format of numbers
_SCAN = b"\xff\xda"  # a marker of JPEG
_GIF_END = b";"
_TILE, _CODESTREAM_END = b"\xff\x90", b"\xff\xd9"  # markers of JPEG 2000
_PNM_HEAD = 1 << 16
_GAP = rb"(?:\s|#[^\n]*\n)+"
_PNM = {
    kind: re.compile(b"P%d" % kind + numbers * (_GAP + rb"(\d+)") + rb"\s")
    for kind, numbers in ((4, 2), (5, 3), (6, 3))
}


def tiff_complaint(tags: Any, data: bytes, plain_bytes: int) -> str | None:
    """What is wrong with a page of a TIFF that libtiff reads without a word.

    tags: of the page, by number, as Pillow gives them. plain_bytes: of its pixels.
    """
    packing = tags.get(_COMPRESSION, _PLAIN)
    places, sizes = (_numbers(tags, *pair) for pair in ((_PLACES, _TILE_PLACES), (_SIZES, _TILE_SIZES)))
    if packing == _PLAIN and _TILE_PLACES not in tags and 0 < sum(sizes) < plain_bytes:
        return f"its strips hold {sum(sizes)} of {plain_bytes} bytes"
    if packing != _JPEG and packing not in _DEFLATED:
        return None
    left = _SPARE_BYTES + 4 * plain_bytes  # one part may stand for many
    for place, size in zip(places, sizes, strict=False):
        part = data[place : place + size]
        if packing == _JPEG:
            tables = tags.get(_TABLES, b"")
            used, complaint = _tiff_jpeg(
                tables.removesuffix(JPEG_END) + part[2:] if tables[:2] == part[:2] else part, left
            )
        else:
            used, complaint = _unpacked(part, left)
        if complaint is not None:
            return complaint
        left -= used
        if left <= 0:
            return "its parts hold more than its pixels take"
    return None


def _tiff_jpeg(data: bytes, most: int) -> tuple[int, str | None]:
    """(pixels of all scans, what is wrong with it), which is not looked for where the pixels are more than `most`."""
    frame, start = jpeg_frame(data)
    pixels = frame[0] * frame[1] * max(1, data.count(_SCAN)) if frame else 0
    return pixels, jpeg_complaint(data, start) if pixels <= most else None


def _numbers(tags: Any, *names: int) -> tuple[int, ...]:
    found = next((tags[name] for name in names if name in tags), ())
    return found if isinstance(found, tuple) else (found,)


def speaks_aside(data: str | bytes) -> bool:
    """Whether its decoder tells of damage on standard error alone, which only a process of its own can hear: a fax."""
    return not isinstance(data, str) and tiff_entries(data).get(_COMPRESSION, (0, 0))[1] in _FAXES


def tiff_entries(data: bytes) -> dict[int, tuple[int, int]]:
    """Tags of the first page of a TIFF: how many numbers each has, and the first of these, or where they are."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return {}
    order = "<" if data[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        places = [start + 2 + 12 * number for number in range(count)]
        heads = [struct.unpack_from(order + "HHI", data, place) for place in places]
        return {
            tag: (count, *struct.unpack_from(order + ("H" if kind == _SHORT and count <= 2 else "I"), data, place + 8))
            for place, (tag, kind, count) in zip(places, heads, strict=True)
        }
    except struct.error:
        return {}


def odd_tiff(data: bytes) -> str | None:
    """What the pixels of a TIFF are, where these are of a kind that Pillow does not read; None where they are not."""
    tags = tiff_entries(data)
    count, bits = tags.get(_BITS, (1, 1))
    if count > 2:  # they are elsewhere
        bits = int.from_bytes(data[bits : bits + 2], "little" if data[:2] == b"II" else "big")
    count = tags.get(_SAMPLES, (1, 1))[1]
    usual = count <= 4 and (bits == 8 or (bits == 16 and tags.get(_FORMAT, (1, 1))[1] != _FLOAT))
    if usual or not 1 <= count <= 1000 or bits not in (8, 16, 24, 32, 64):
        return None
    return f"{count} x {bits} bits a pixel"


def pdf_picture_complaint(data: bytes, filters: list[str], plain_bytes: int) -> str | None:
    """What is wrong with a picture of a PDF, which PDFium draws without a word. data: as it lies in the file."""
    if filters == ["DCTDecode"]:
        return jpeg_complaint(data)
    if filters[:1] != ["FlateDecode"]:
        return None
    return _deflate_complaint(data, plain_bytes if len(filters) == 1 else 0)


def _deflate_complaint(data: bytes, plain_bytes: int = 0) -> str | None:
    """What is wrong with deflated data: their checksum, or that they end before `plain_bytes` are there."""
    size, complaint = _unpacked(data, _MOST_UNPACKED)
    if complaint is None and size < min(plain_bytes, _MOST_UNPACKED):
        return f"its data ends after {size} of {plain_bytes} bytes"
    return complaint


def _unpacked(data: bytes, most: int) -> tuple[int, str | None]:
    """(bytes that deflated data have become, what is wrong with them); looked at up to about `most` bytes."""
    unpacker, size, rest = zlib.decompressobj(), 0, data
    try:
        while not unpacker.eof and size < most:
            part = unpacker.decompress(rest, _UNPACKED)
            size, rest = size + len(part), unpacker.unconsumed_tail
            if not part:
                break
    except zlib.error as error:
        return size, str(error)
    return size, None


def container_complaint(data: bytes) -> str | None:
    """Whether bytes are missing from, or have come into, a file that says how long its parts are; None if not."""
    for starts, end in _ENDS:
        if starts(data):
            try:
                expected = end(data)
            except (struct.error, IndexError, ValueError):
                expected = None
            return _difference(data, expected)
    return None


def _difference(data: bytes, expected: int | None) -> str | None:
    """Zeros behind the end are padding, and no damage."""
    if expected is None or expected > len(data):
        return "bytes are missing from it"
    if data[expected:].strip(b"\0\r\n"):
        return f"it goes on for {len(data) - expected} bytes behind its end"
    return None


def _boxes_end(data: bytes) -> int | None:
    """Of JPEG 2000 and AVIF: boxes that begin with their length."""
    place = 0
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        head = 16 if size == 1 else 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, place + 8)
        if kind == b"jp2c":
            end = _codestream_end(data, place + head)
            return None if end is None else len(data)
        if size == 0:
            return len(data)
        if size < 8 or not kind.isascii():
            return place
        place += size
    return place


def _bmp_end(data: bytes) -> int:
    """Of a BMP. The length that it gives is often wrong; plain pixels say it again."""
    said, _, start, _, width, height, _, bits, packing = struct.unpack_from("<IIIIiiHHI", data, 2)
    plain = start + (width * bits + 31) // 32 * 4 * abs(height)
    return len(data) if packing in (0, 3) and len(data) - 4 <= plain <= len(data) else int(said)


def _codestream_end(data: bytes, place: int = 0) -> int | None:
    """Of JPEG 2000: tiles that begin with their length, up to a marker. What is behind that is no part of the picture;
    None where they lead nowhere."""
    place = data.index(_TILE, place)
    while (marker := data[place : place + 2]) == _TILE:
        (size,) = struct.unpack_from(">I", data, place + 6)
        if size == 0:  # up to the end
            return len(data)
        place += max(size, 12)
    return len(data) if marker == _CODESTREAM_END else None


def _pnm_end(data: bytes) -> int | None:
    """Of a PNM of bytes; another one may follow."""
    kind = data[1] - ord("0")
    head = _PNM[kind].match(data[:_PNM_HEAD])
    if head is None:
        return None
    width, height, *most = map(int, head.groups())
    row = {4: (width + 7) // 8, 5: width, 6: 3 * width}[kind] * (2 if most and most[0] > 255 else 1)
    end = head.end() + row * height
    return len(data) if data[end : end + 1] == b"P" else end


def _gif_end(data: bytes) -> int | None:
    """Of a GIF: blocks of pieces that begin with their length, up to a mark, which some lack. What is behind that is no
    part of the picture; None where they lead nowhere."""
    place = 13 + _palette(data[10])
    while (kind := data[place : place + 1]) not in (_GIF_END, b""):
        if kind == b",":
            place += 11 + _palette(data[place + 9])
        elif kind == b"!":
            place += 2
        else:
            return None
        while data[place]:
            place += 1 + data[place]
        place += 1
    return len(data)


def _palette(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


_ENDS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], int | None]], ...] = (
    (lambda data: data[:2] == b"BM", _bmp_end),
    (lambda data: data[:4] == b"RIFF", lambda data: 8 + struct.unpack_from("<I", data, 4)[0]),
    (lambda data: data[4:8] in (b"ftyp", b"jP  "), _boxes_end),
    (lambda data: data[:4] == b"\xff\x4f\xff\x51", _codestream_end),
    (lambda data: data[:4] == b"GIF8", _gif_end),
    (lambda data: data[:2] in (b"P4", b"P5", b"P6"), _pnm_end),
)
