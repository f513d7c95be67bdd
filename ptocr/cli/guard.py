"""What every command line does with errors and signals: one line each, no stack traces, and exit codes."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from ptocr.errors import InputError, PtocrError

DONE, SOME_FAILED, USAGE = 0, 1, 2
INTERRUPTED, TERMINATED = 130, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


class Failures:
    """Names each unreadable input on standard error and counts them.

    done: what an interrupted or failed command has finished, in words; None where nothing can be said. ended: the exit
    code of what ended it before its time.
    """

    def __init__(self) -> None:
        self.count = 0
        self.done: Callable[[], str] | None = None
        self.ended: int | None = None

    @property
    def code(self) -> int:
        """The command's exit code."""
        return self.ended if self.ended is not None else SOME_FAILED if self.count else DONE

    def __call__(self, error: InputError) -> None:
        self.count += 1
        say(f"error: {error}")

    def what_is_done(self) -> str:
        """'; ...' behind a message."""
        return "" if self.done is None else f"; {self.done()}"


def say(text: str) -> None:
    """One line on standard error, above a progress bar where one is shown."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr)


@contextlib.contextmanager
def guarded(args: argparse.Namespace) -> Iterator[Failures]:
    """The errors of a command become messages, and its exit code stands in `code` of what the block gets.

    0 done, 1 some inputs failed or an output could not be written to its end, 2 usage or set-up (nothing was done),
    130 after Ctrl-C, 143 after SIGTERM.
    """
    _set_up_output(getattr(args, "show_log", False))
    failures = Failures()
    try:
        with _terminable(), _insisting():
            yield failures
            sys.stdout.flush()
    except InputError as error:
        failures(error)
    except PtocrError as error:
        say(f"error: {error}")
        failures.ended = USAGE
    except BrokenPipeError:  # the reader of standard output went away, as `| head` does
        _discard_output()
        failures.ended = DONE
    except OSError as error:
        say(f"error: {describe(error)}{failures.what_is_done()}")
        _discard_output()
        failures.ended = USAGE if failures.done is None else SOME_FAILED
    except Terminated:
        say(f"terminated{failures.what_is_done()}")
        failures.ended = TERMINATED
    except KeyboardInterrupt:
        say(f"interrupted{failures.what_is_done()}")
        failures.ended = INTERRUPTED


def _discard_output() -> None:
    """Python would try to write what is left for standard output once more, and complain, when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def describe(error: OSError) -> str:
    """'FILE: reason' of an operating system's error."""
    reason = (error.strerror or str(error)).lower()
    return reason if error.filename is None else f"{error.filename}: {reason}"


@contextlib.contextmanager
def unstoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until what is finished has been written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated` instead of ending the process in the middle of a file."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextlib.contextmanager
def _insisting() -> Iterator[None]:
    """Ctrl-C or SIGTERM comes again where it was lost.

    One that comes while Python runs a finaliser or the callback of a weak reference is printed there and forgotten.
    """
    before = sys.unraisablehook

    def again(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            number = signal.SIGTERM if issubclass(lost.exc_type, Terminated) else signal.SIGINT
            threading.Timer(0.01, _signal_main, [number]).start()
        else:
            before(lost)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before


def _signal_main(number: int) -> None:
    """Where it can be, to the thread itself, so that what it waits for is left."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


class _Lines(logging.Handler):
    """Log records as lines of standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "note" if record.levelno <= logging.INFO else record.levelname.lower()
        say(f"{level}: {record.getMessage()}")


def _set_up_output(show_log: bool) -> None:
    """Warnings are shown, and downloads, which take a while; names that are not Unicode are shown escaped."""
    logging.basicConfig(level=logging.INFO if show_log else logging.WARNING, handlers=[_Lines()])
    for name in ("ptocr.weights", "ptocr.pipelines"):  # what is fetched, which model was chosen
        logging.getLogger(name).setLevel(logging.INFO)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
