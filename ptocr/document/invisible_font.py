"""A font without ink for the text layer of searchable PDFs: three glyphs of different width, built in memory.

A glyph is a single stroke of no width, so nothing is painted even by a viewer that ignores the invisible mode; all the
same it has an extent, from which readers conclude what stands on one line.

Table layouts: the OpenType specification (learn.microsoft.com/typography/opentype/spec).
"""

from __future__ import annotations

import struct
import unicodedata

UNITS = 1000
ASCENT, DESCENT = 800, 200
# extent of the glyphs: less than the line, since the boxes of neighbouring lines may overlap a little
_TOP, _BOTTOM = 700, -100
# glyph 0 stands for missing characters, then narrow (i, l, comma), ordinary (Latin) and wide (Chinese) ones
ADVANCES = (500, 280, 550, 1000)
_NARROW = frozenset("iljtfrI1!|.,:;'`()[]{}-/\\\"")


def glyph_of(char: str) -> int:
    """The empty glyph whose width suits a character."""
    if unicodedata.east_asian_width(char) in ("W", "F"):
        return 3
    return 1 if char in _NARROW or char == " " else 2


def width_of(text: str) -> float:
    """Width of a text at size 1."""
    return sum(ADVANCES[glyph_of(char)] for char in text) / UNITS


def build_font() -> bytes:
    """The font file (TrueType)."""
    glyphs = [_glyph(advance) for advance in ADVANCES]
    return _assemble({
        b"OS/2": _os2(),
        b"cmap": _cmap(),
        b"glyf": b"".join(glyphs),
        b"head": _head(),
        b"hhea": struct.pack(">HHhhhHhhhhhhhhhhhH", 1, 0, ASCENT, -DESCENT, 0, 1000, *[0] * 11, len(ADVANCES)),
        b"hmtx": b"".join(struct.pack(">Hh", advance, 0) for advance in ADVANCES),
        b"loca": struct.pack(f">{len(ADVANCES) + 1}H", *(i * len(glyphs[0]) // 2 for i in range(len(ADVANCES) + 1))),
        b"maxp": struct.pack(">HHH13H", 1, 0, len(ADVANCES), 2, 1, 0, 0, 2, *[0] * 8),
        b"name": _name("PtocrTextLayer"),
        b"post": struct.pack(">IIhhIIIII", 0x00030000, 0, 0, 0, 1, 0, 0, 0, 0),
    })  # fmt: skip


def _glyph(advance: int) -> bytes:
    """One contour of two points, from the lower left corner to the upper right one."""
    head = struct.pack(">hhhhh", 1, 0, _BOTTOM, advance, _TOP)
    points = struct.pack(">HH", 1, 0) + b"\x01\x01" + struct.pack(">hhhh", 0, advance, _BOTTOM, _TOP - _BOTTOM)
    return head + points + bytes(-len(head + points) % 4)


def _cmap() -> bytes:
    """Format 4 with nothing but its closing segment: characters are addressed by number, not by code."""
    segment = struct.pack(">HHHHHHH", 4, 24, 0, 2, 2, 0, 0) + struct.pack(">HHHhH", 0xFFFF, 0, 0xFFFF, 1, 0)
    return struct.pack(">HHHHI", 0, 1, 3, 1, 12) + segment


def _head() -> bytes:
    magic = struct.pack(">HHHHII", 1, 0, 1, 0, 0, 0x5F0F3CF5)
    return magic + struct.pack(">HHqqhhhhHHhhh", 0, UNITS, 0, 0, 0, -DESCENT, UNITS, ASCENT, 0, 8, 2, 0, 0)


def _os2() -> bytes:
    head = struct.pack(">HhHHH", 4, 500, 400, 5, 0) + struct.pack(">10h", *[0] * 10) + struct.pack(">h", 0)
    middle = bytes(10) + bytes(16) + b"PTOC" + struct.pack(">HHH", 0x40, 0x20, 0xFFFF)
    metrics = struct.pack(">hhhHH", ASCENT, -DESCENT, 0, ASCENT, DESCENT) + bytes(8)
    return head + middle + metrics + struct.pack(">hhHHH", 500, 700, 0, 0x20, 0)


def _name(name: str) -> bytes:
    text = name.encode("utf-16-be")
    ids = (1, 4, 6)
    records = b"".join(struct.pack(">HHHHHH", 3, 1, 0x409, number, len(text), 0) for number in ids)
    return struct.pack(">HHH", 0, len(ids), 6 + len(records)) + records + text


def _checksum(data: bytes) -> int:
    padded = data + bytes(-len(data) % 4)
    return sum(struct.unpack(f">{len(padded) // 4}I", padded)) & 0xFFFFFFFF


def _assemble(tables: dict[bytes, bytes]) -> bytes:
    count = len(tables)
    power = count.bit_length() - 1
    directory = struct.pack(">IHHHH", 0x00010000, count, 16 << power, power, (count - (1 << power)) * 16)
    offset, body = 12 + 16 * count, b""
    for tag in sorted(tables):
        data = tables[tag]
        directory += struct.pack(">4sIII", tag, _checksum(data), offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    font = bytearray(directory + body)
    at = font.index(b"head") + 8
    (head,) = struct.unpack_from(">I", font, at)
    struct.pack_into(">I", font, head + 8, (0xB1B0AFBA - _checksum(bytes(font))) & 0xFFFFFFFF)
    return bytes(font)
