"""Reading ahead keeps order, bounds, errors and clean-up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from ptocr.inputs.ahead import ReadAhead


def test_same_items_in_the_same_order() -> None:
    assert list(ReadAhead(iter(range(50)))) == list(range(50))
    assert list(ReadAhead(iter([]))) == []


def test_reads_no_further_than_its_depth() -> None:
    made = []

    def source() -> Iterator[int]:
        for n in range(10):
            made.append(n)
            yield n

    ahead = ReadAhead(source(), depth=1)
    assert next(ahead) == 0
    deadline = time.monotonic() + 5
    while len(made) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert made == [0, 1, 2]  # one handed out, one waiting, one in the thread's hand
    ahead.close()


def test_an_error_comes_at_its_place() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken page")

    ahead = ReadAhead(source())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken page"):
        next(ahead)


def test_stopping_early_closes_the_source_and_ends_the_thread() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    ahead = ReadAhead(source())
    next(ahead)
    ahead.close()
    assert closed.wait(5)
    assert not [t for t in threading.enumerate() if t.name == "ptocr-read-ahead"]
