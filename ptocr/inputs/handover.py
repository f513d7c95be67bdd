"""Shared memory in which files go to a decoder process and pictures come back: a file that both have open."""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import BinaryIO

import numpy as np

KEPT_BYTES = 64 << 20  # of the file, between pictures


class Handover:
    """The two sides of it write and read the file's start in turns.

    What the file has room for is copied to and from a mapping of it, in a third of the time that writing and reading
    take. It grows by writing, which tells when there is no space. file: unbuffered.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._map: np.ndarray | None = None

    def room(self, count: int) -> np.ndarray:
        """(count,) uint8 to make a picture in, which `write` then need not copy, unless it is large. Raises OSError."""
        size = self._shrunk()
        if not 0 < max(count, size) <= KEPT_BYTES:
            return np.empty(count, np.uint8)
        if count > size:
            self._put(size, memoryview(bytes(count - size)))
        return self._mapped(max(count, size))[:count]

    def write(self, data: np.ndarray) -> None:
        """Put (bytes,) uint8 there; what a large picture took before is given back first. Raises OSError."""
        if not len(data):
            return
        if self._map is not None and data.ctypes.data == self._map.ctypes.data:
            return
        size = self._shrunk()
        if len(data) <= size <= KEPT_BYTES:
            np.copyto(self._mapped(size)[: len(data)], data)
        else:
            self._put(0, data.data)

    def read(self, out: np.ndarray) -> np.ndarray:
        """Fill (bytes,) uint8 from there, and return it. Raises EOFError when there is less."""
        size = self._size()
        if size < len(out):
            raise EOFError("the shared file is shorter than said")
        if 0 < size <= KEPT_BYTES:
            np.copyto(out, self._mapped(size)[: len(out)])
            return out
        self.file.seek(0)
        rest = out.data
        while rest:
            rest = rest[self.file.readinto(rest) :]  # type: ignore[attr-defined]
        return out

    def close(self) -> None:
        """Let go of the file."""
        self._map = None
        with contextlib.suppress(OSError):
            self.file.close()

    def _shrunk(self) -> int:
        """The file's size, after it has given back what a large picture took."""
        size = self._size()
        if size > KEPT_BYTES:
            self._map = None
            with contextlib.suppress(OSError):  # Windows, while the other side has it mapped
                self.file.truncate(0)
                return 0
        return size

    def _put(self, place: int, rest: memoryview) -> None:
        self.file.seek(place)
        while rest:
            rest = rest[self.file.write(rest) :]

    def _size(self) -> int:
        return self.file.seek(0, os.SEEK_END)

    def _mapped(self, size: int) -> np.ndarray:
        if self._map is None or len(self._map) != size:
            self._map = None
            self._map = np.frombuffer(mmap.mmap(self.file.fileno(), size), np.uint8)
        return self._map
