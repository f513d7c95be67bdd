"""Pictures through the file that two processes share: whole, of any size and in any order."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ptocr.inputs import handover
from ptocr.inputs.handover import Handover

SIZES = (0, 5, 70_000, 12, 0, 1 << 20, 90_000, 1 << 20, 3, 70_000)


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Handover, Handover]:
    """Two that have the same file open; 100 kB of it are kept."""
    monkeypatch.setattr(handover, "KEPT_BYTES", 100_000)
    (tmp_path / "shared").touch()
    return tuple(Handover(open(tmp_path / "shared", "r+b", buffering=0)) for _ in range(2))  # type: ignore[return-value, arg-type]


@pytest.mark.parametrize("room", [False, True])
def test_what_is_written_is_read(sides: tuple[Handover, Handover], room: bool) -> None:
    rng = np.random.default_rng(0)
    for turn, size in enumerate(SIZES):
        writer, reader = sides if turn % 2 else sides[::-1]
        data = rng.integers(0, 256, size, dtype=np.uint8)
        if room:
            place = writer.room(size)
            place[:] = data
            writer.write(place)
        else:
            writer.write(data)
        assert (reader.read(np.empty(size, np.uint8)) == data).all(), size


def test_a_large_picture_leaves_nothing_behind(sides: tuple[Handover, Handover]) -> None:
    writer, reader = sides
    writer.write(np.ones(1 << 20, np.uint8))
    reader.read(np.empty(1 << 20, np.uint8))
    writer.write(np.ones(10, np.uint8))
    assert os.fstat(writer.file.fileno()).st_size == 10
    with pytest.raises(EOFError):
        reader.read(np.empty(11, np.uint8))


def test_what_was_read_stays_as_it_was(sides: tuple[Handover, Handover]) -> None:
    writer, reader = sides
    writer.write(np.ones(1000, np.uint8))
    first = reader.read(np.empty(1000, np.uint8))
    writer.write(np.zeros(1000, np.uint8))
    assert first.all()
