"""Frames: the pages of one file, PDF or picture, whatever it is; decoded in this process."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import numpy as np

from ptocr.errors import InputError
from ptocr.inputs.image_files import HEAD_BYTES, decode_frames, describe_unknown, sniff
from ptocr.inputs.page import PdfPage, ReadOptions
from ptocr.inputs.pdf import Room, own_room, pdf_pages

Frame = tuple[np.ndarray, int, int, PdfPage | None]
"""BGR image, index, number of frames, and for a PDF page where it comes from."""


MAX_FILE = 1 << 30  # bytes of a picture file, which is read as a whole


def kind_of(data: str | bytes) -> str | None:
    """As `sniff`; a path is that of a PDF."""
    return "pdf" if isinstance(data, str) else sniff(data[:HEAD_BYTES])


def frames(data: str | bytes, name: str, options: ReadOptions, room: Room = own_room) -> Iterator[Frame]:
    """The wanted pages of a file one after another. data: its bytes, or the path of a PDF; name: for messages; room:
    where PDF pages are rendered.

    Raises InputError for what cannot be decoded or is larger than its limits, MemoryError.
    """
    if kind_of(data) == "pdf":
        yield from pdf_pages(data, name, options, room)
    else:
        assert isinstance(data, bytes)
        for image, index, count in decode_frames(data, name, options):
            yield image, index, count, None


def file_data(path: str) -> str | bytes:
    """The bytes of a picture file; of a PDF the path.

    Raises InputError for anything else, OSError and ValueError where there is no such file.
    """
    # without waiting: a named pipe may have taken the file's place since it was looked at
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise InputError(f"{path}: is {_other_kind(facts.st_mode)}, not a file")
        head = file.read(HEAD_BYTES)
        kind = sniff(head)
        if kind is None:
            raise InputError(f"{path}: {describe_unknown(head)}")
        if kind == "pdf":
            return path
        if facts.st_size > MAX_FILE:
            raise InputError(f"{path}: a picture file of {facts.st_size} bytes; at most {MAX_FILE} are read")
        return head + file.read()


def _other_kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a folder" if stat.S_ISDIR(mode) else "a device"
