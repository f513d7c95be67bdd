"""Isolation (sandboxing) of untrusted files: they are decoded in processes that are ended when they take too long.

Each process is a Python of its own, neither forked nor one that runs the user's script again; a few are kept and used
again. Pictures come through a file in memory that both have open, into an array of this process. A decoder gets a
limit of memory as well (on Linux), and whatever ends it is an InputError that names the file.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from ptocr.errors import InputError
from ptocr.inputs.damage import speaks_aside
from ptocr.inputs.decoder import IDLE_SECONDS
from ptocr.inputs.frames import Frame, frames, kind_of
from ptocr.inputs.handover import Handover
from ptocr.inputs.page import PdfPage, ReadOptions

log = logging.getLogger(__name__)

START_SECONDS = 60.0
_LONGEST_SLEEP = 3600.0
_MOST_IDLE = max(2, os.cpu_count() or 1)
_START = (
    "import sys; sys.path[:] = sys.argv[3:]; from ptocr.inputs.decoder import main; main(sys.argv[1], int(sys.argv[2]))"
)
# Idle threads take address space. Memory that glibc gave back after each picture would be cleared anew for the next.
_ALONE = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}  # fmt: skip


def all_frames(data: str | bytes, name: str, options: ReadOptions, foreign: bool = False) -> Iterator[Frame]:
    """As `frames`, in another process where `options.isolate` wants that. foreign: the file is somebody else's."""
    asked = options.isolate == "always"
    wanted = foreign or kind_of(data) == "pdf" or speaks_aside(data)
    if not asked and (options.isolate == "never" or not wanted):
        return _here(data, name, options)
    if not sys.executable or getattr(sys, "frozen", False):
        if asked:
            raise InputError(f"{name}: isolate='always' needs a Python to start another process with")
        log.warning("%s: decoded in this process, as there is no Python to start another one with", name)
        return _here(data, name, options)
    return _isolated(data, name, options)


def warm_up() -> None:
    """Have a decoder process ready, so that the first file need not wait for it. Raises InputError if that fails."""
    if sys.executable and not getattr(sys, "frozen", False):
        _POOL.give(_POOL.take("warm_up"))


def _here(data: str | bytes, name: str, options: ReadOptions) -> Iterator[Frame]:
    try:
        yield from frames(data, name, options)
    except MemoryError:
        raise InputError(f"{name}: needs more memory than there is") from None


def _isolated(data: str | bytes, name: str, options: ReadOptions) -> Iterator[Frame]:
    decoder = _POOL.take(name)
    done = 0
    try:
        request: dict[str, Any] = decoder.opening(data, name, options)
        while True:
            where = f"{name}: page {done + 1}" if kind_of(data) == "pdf" else name
            answer = decoder.ask(request, options.page_timeout, where)
            if "error" in answer:
                raise InputError(answer["error"])
            if "shape" not in answer:
                return
            image = np.empty(answer["shape"], np.uint8)
            decoder.shared.read(image.reshape(-1))
            pdf = answer["pdf"] and PdfPage.from_plain(answer["pdf"])
            yield image, answer["index"], answer["count"], pdf
            if "end" in answer:
                return
            done, request = done + 1, {"do": "next"}
    finally:
        _POOL.give(decoder)


class _Decoder:
    """A decoder process of this one. clean: it waits for a request; open: for more of the same file, too; tired: it has
    grown."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        file, self.place, inherited = _shared_file()
        self.shared = Handover(file)
        level = str(log.getEffectiveLevel())
        apart: dict[str, Any] = {"start_new_session": True, "pass_fds": inherited}
        if os.name == "nt":
            apart = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, self.place, level, *map(str, sys.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **_ALONE}, **apart,
        )  # fmt: skip
        self.clean = self.open = self.tired = self.late = False
        self.used = time.monotonic()

    def opening(self, data: str | bytes, name: str, options: ReadOptions) -> dict[str, Any]:
        """The request that opens a file; its bytes go into the shared file."""
        request = {"do": "open", "name": name, "path": "", "bytes": 0, "options": vars(options)}
        if isinstance(data, str):
            return {**request, "path": os.path.abspath(data)}
        try:
            self.shared.write(np.frombuffer(data, np.uint8))
        except OSError as error:
            raise InputError(f"{name}: cannot be given to the process that decodes it ({error.strerror})") from error
        return {**request, "bytes": len(data)}

    def ask(self, request: dict[str, Any] | None, seconds: float, where: str) -> dict[str, Any]:
        """The answer to a request; None: that it is ready. Raises InputError, about `where`, when there is none."""
        if self.owner != os.getpid():
            raise InputError(f"{where}: was opened before this process forked; read it anew")
        self.clean = False
        _WATCH.begin(self, seconds)
        try:
            answer = self._exchange(request)
        finally:
            _WATCH.end(self)
        if not answer.endswith(b"\n"):
            raise InputError(f"{where}: {self._why_ended(seconds)}")
        self.clean = True
        content: dict[str, Any] = json.loads(answer)
        self.tired, self.open = content.get("tired", self.tired), "end" not in content
        for name, level, message in content["log"]:
            logging.getLogger(name).log(level, "%s", message)
        return content

    def _exchange(self, request: dict[str, Any] | None) -> bytes:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            if request is not None:
                self.process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
                self.process.stdin.flush()
            return self.process.stdout.readline()
        except (OSError, ValueError):  # it, or this process, has ended
            return b""

    def end_late(self) -> None:
        """End the process, which has taken too long."""
        self.late = True
        self.process.kill()

    def _why_ended(self, seconds: float) -> str:
        code = self.process.wait()
        if self.late:
            return f"not decoded within {seconds:g} s (page_timeout)"
        why = str(code)
        with contextlib.suppress(ValueError):
            why = signal.Signals(-code).name
        return f"ended the process that decodes it ({why}): it is damaged, or needs more than page_memory"

    def forget(self) -> None:
        """In a forked process: the decoder belongs to the other one."""
        self.shared.close()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def end(self) -> None:
        """End the process and everything of it."""
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
            self.forget()
            if not self.place.isdigit():
                with contextlib.suppress(OSError):
                    os.unlink(self.place)


def _shared_file() -> tuple[BinaryIO, str, tuple[int, ...]]:
    """(unbuffered file, what the other process opens, descriptors to inherit): in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("ptocr")
        return os.fdopen(number, "r+b", buffering=0), str(number), (number,)  # type: ignore[return-value]
    number, path = tempfile.mkstemp(prefix="ptocr-")
    return os.fdopen(number, "r+b", buffering=0), path, ()  # type: ignore[return-value]


class _Watch:
    """A thread that ends decoders when their time is over. It sleeps till the first of them may be late, and is not
    woken for any that comes later."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.until: dict[_Decoder, float] = {}
        self.wakes: float | None = None  # when the thread will look; None: there is no thread

    def begin(self, decoder: _Decoder, seconds: float) -> None:
        """The decoder has so many seconds from now."""
        until = time.monotonic() + seconds
        with self.changed:
            self.until[decoder] = until
            if self.wakes is None:
                threading.Thread(target=self._look, name="ptocr-decoders", daemon=True).start()
                self.wakes = 0.0
            elif until < self.wakes:
                self.changed.notify()

    def end(self, decoder: _Decoder) -> None:
        """The decoder has answered, or ended."""
        with self.changed:
            self.until.pop(decoder, None)

    def _look(self) -> None:
        with self.changed:
            while True:
                now = time.monotonic()
                for decoder in [decoder for decoder, until in self.until.items() if until <= now]:
                    del self.until[decoder]
                    decoder.end_late()
                self.wakes = min([*self.until.values(), now + _LONGEST_SLEEP])
                self.changed.wait(self.wakes - now)


class _Pool:
    """Decoders that wait for work. As many as are asked for at once are started, so that nobody waits for others."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.idle: list[_Decoder] = []
        self.all: weakref.WeakSet[_Decoder] = weakref.WeakSet()

    def take(self, name: str) -> _Decoder:
        """A decoder that is ready. Raises InputError, about `name`, when none can be started."""
        while True:
            with self.lock:
                decoder = self.idle.pop() if self.idle else None
            if decoder is None:
                return self._started(name)
            if decoder.process.poll() is None and time.monotonic() < decoder.used + IDLE_SECONDS / 2:
                return decoder
            decoder.end()

    def _started(self, name: str) -> _Decoder:
        try:
            decoder = _Decoder()
        except OSError as error:
            raise InputError(f"{name}: no process to decode it can be started ({error.strerror or error})") from error
        with self.lock:
            self.all.add(decoder)
        try:
            decoder.ask(None, START_SECONDS, f"{name}: starting a process to decode it")
        except BaseException:
            decoder.end()
            raise
        return decoder

    def give(self, decoder: _Decoder) -> None:
        """Take a decoder back, or end it if it is at work still, has grown, or enough wait already."""
        decoder.used = time.monotonic()
        if decoder.clean and not decoder.tired and decoder.owner == os.getpid():
            with contextlib.suppress(OSError, ValueError), self.lock:
                if len(self.idle) < _MOST_IDLE:
                    assert decoder.process.stdin is not None
                    if decoder.open:
                        decoder.process.stdin.write(b'{"do": "close"}\n')
                        decoder.process.stdin.flush()
                    self.idle.append(decoder)
                    return
        decoder.end()

    def close(self) -> None:
        """End all decoders."""
        with self.lock:
            self.idle.clear()
            decoders = list(self.all)
        for decoder in decoders:
            decoder.end()

    def forget(self) -> None:
        """In a forked process: begin anew."""
        for decoder in list(self.all):
            decoder.forget()
        self.__init__()  # type: ignore[misc]


_WATCH = _Watch()
_POOL = _Pool()
atexit.register(_POOL.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL.forget)
    os.register_at_fork(after_in_child=_WATCH.__init__)  # type: ignore[misc]
