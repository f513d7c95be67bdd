"""Ctrl-C and SIGTERM end a command wherever they come."""

from __future__ import annotations

import argparse
import signal
import time
import weakref
from collections.abc import Callable

import pytest

from ptocr.cli.guard import Terminated, guarded

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


class Thing:
    """Something that can be waited for."""


def in_a_callback(number: int) -> None:
    thing = Thing()
    callback: Callable[[object], None] = lambda _: signal.raise_signal(number)  # noqa: E731
    reference = weakref.ref(thing, callback)
    del thing
    assert reference() is None


def in_a_finaliser(number: int) -> None:
    class Last(Thing):
        def __del__(self) -> None:
            signal.raise_signal(number)

    Last()


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("where", [in_a_callback, in_a_finaliser])
def test_a_signal_that_python_forgets_comes_again(where: Callable[[int], None], number: int, code: int) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
    begun = time.monotonic()
    try:
        with guarded(argparse.Namespace()) as failures:
            where(number)
            time.sleep(20)
    finally:
        signal.signal(signal.SIGINT, before)
    assert failures.code == code
    assert time.monotonic() - begun < 10


def test_other_forgotten_errors_go_where_they_went(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda lost: told.append(lost.exc_type))

    class Bad:
        def __del__(self) -> None:
            raise ValueError

    with guarded(argparse.Namespace()) as failures:
        Bad()
    assert told == [ValueError] and failures.code == 0
    assert issubclass(Terminated, KeyboardInterrupt)
