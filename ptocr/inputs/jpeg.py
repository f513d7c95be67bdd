"""JPEG files: what their headers say, and damage that decoders keep to themselves. Nothing is decoded at full size."""

from __future__ import annotations

import struct

JPEG_END = b"\xff\xd9"
_SAYS = ("Corrupt", "Premature", "Unsupported marker", "Inconsistent progression", "Invalid", "Bogus")
_NO_GREY = "Unsupported color conversion"  # of a file of four inks


def jpeg_frame(data: bytes) -> tuple[tuple[int, int, int, int] | None, int]:
    """((width, height, components, precision) of the frame header or None, offset of the first scan)."""
    position, frame = 2, None
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return frame, position
        marker = data[position + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:  # fill bytes and markers without a length
            position += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA:
            return frame, position
        (length,) = struct.unpack_from(">H", data, position + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and position + 10 <= len(data):
            precision, height, width, components = struct.unpack_from(">BHHB", data, position + 4)
            frame = (width, height, components, precision)
        position += 2 + length
    return (frame, position) if frame and position < len(data) else (None, len(data))


def jpeg_complaint(data: bytes, start_of_scan: int | None = None) -> str | None:
    """What libjpeg says of damage, which OpenCV, Pillow and PDFium keep to themselves. Read at an eighth of its size.

    It says nothing of a few bytes that are left over. Of a sound file none are: without its last one, something is
    missing.
    """
    says = _libjpeg_says(data)
    end = data.find(JPEG_END, jpeg_frame(data)[1] if start_of_scan is None else start_of_scan)
    if says is not None or end < 0:
        return says if says is not None and says.startswith(_SAYS) else None
    shorter = data[: end - (2 if data[end - 2 : end] == b"\xff\0" else 1)] + JPEG_END
    return "Corrupt JPEG data: more than its pixels take" if _libjpeg_says(shorter) is None else None


def _libjpeg_says(data: bytes) -> str | None:
    """Why it cannot be decoded, or what is wrong with it."""
    try:
        from simplejpeg import decode_jpeg
    except ImportError:  # a system without it: such damage goes unnoticed
        return "nothing"
    says = None
    for colors in ("GRAY", "CMYK"):
        try:
            decode_jpeg(data, colorspace=colors, min_height=1, min_width=1, min_factor=8)
        except ValueError as error:
            says = str(error)
            if not says.startswith(_NO_GREY):
                return says
        else:
            return None
    return says
