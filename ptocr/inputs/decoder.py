"""Decoder process: renders and decodes files for the process that started it (`ptocr.inputs.isolation`).

It gets a JSON object a line on its standard input and answers each with one on its standard output; files and
pictures pass through a file that both have open. It ends with the other side, when it has had nothing to do for a
while, and when a page takes much longer than it may: nothing is left running, however the other side ends.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from ptocr.errors import InputError
from ptocr.inputs.frames import Frame, frames
from ptocr.inputs.handover import Handover
from ptocr.inputs.page import ReadOptions

try:
    import resource
except ImportError:  # Windows: no limit of memory
    resource = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

_DAMAGE = re.compile(
    r"corrupt|premature|bad|warning|invalid|error|decod|truncat|missing|unexpected|not enough|short", re.I
)
# about tags; or of JPEGs, of which `image_files` tells
_HARMLESS = re.compile(r"TIFF(Read|Fetch)\w*: Warning|iCCP|sRGB|profile|metadata|[Ee]xif| JPEG")
_MOST_COMPLAINTS = 3
IDLE_SECONDS = 300.0
SPARE_BYTES = 256 << 20  # beyond what pictures take: the libraries' own
TIRED_BYTES = 512 << 20  # that decoding may leave behind before another process takes over


class _Desk:
    """Decodes one file at a time, a page per request."""

    def __init__(self, shared: Handover) -> None:
        self.shared = shared
        self.frames: Iterator[Frame] = iter(())
        self.name, self.seconds, self.memory = "", 60.0, 0
        self.at_first = address_space()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the request asks for, or why not."""
        try:
            if request["do"] == "open":
                self._open(request)
            set_alarm(1.5 * self.seconds + 5)
            return self._next()
        except InputError as error:
            return {"error": str(error)}
        except MemoryError:
            return {"error": f"{self.name}: needs more than {self.memory} bytes of memory (page_memory)", "tired": True}
        except Exception as error:  # of a broken file, through whatever library
            return {"error": f"{self.name}: cannot be decoded ({type(error).__name__}: {error})", "tired": True}
        finally:
            set_alarm(0)

    def _open(self, request: dict[str, Any]) -> None:
        options = ReadOptions(**request["options"])
        self.name, self.seconds, self.memory = request["name"], options.page_timeout, options.page_memory
        data: str | bytes = request["path"] or self.shared.read(np.empty(request["bytes"], np.uint8)).tobytes()
        set_limit(address_space() + 2 * request["bytes"] + SPARE_BYTES + options.page_memory)
        self.frames = frames(data, self.name, options, self.shared.room)

    def _next(self) -> dict[str, Any]:
        frame = next(self.frames, None)
        if frame is None:
            return self._end()
        image, index, count, pdf = frame
        last = index + 1 == count
        self.shared.write(np.ascontiguousarray(image).reshape(-1))
        where = None if pdf is None else pdf.to_plain()
        answer = {"shape": image.shape, "index": index, "count": count, "pdf": where}
        return answer | (self._end() if last else {})

    def _end(self) -> dict[str, Any]:
        self.close()
        return {"end": True, "tired": address_space() > self.at_first + TIRED_BYTES}

    def close(self) -> None:
        """Let go of the file."""
        self.frames = iter(())
        set_limit(0)


def address_space() -> int:
    """Bytes of this process's address space; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def set_limit(size: int) -> None:
    """Limit the address space to `size` bytes, 0 = any; on Linux, as other systems do not keep to it."""
    if resource is not None and sys.platform == "linux":
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = size or hard
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))


def set_alarm(seconds: float) -> None:
    """End this process in so many seconds, whatever it is at; 0 = not. For a process that nobody waits for any more."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


class _Said:
    """What libraries print to standard output and error, which is how libjpeg and libtiff tell of damage."""

    def __init__(self) -> None:
        # in memory where the system has that: there may be no disk to write to
        memory = hasattr(os, "memfd_create")
        self.file = os.fdopen(os.memfd_create("ptocr"), "r+b") if memory else tempfile.TemporaryFile()  # noqa: SIM115
        for number in (1, 2):
            os.dup2(self.file.fileno(), number)

    def complaints(self) -> list[str]:
        """The first few lines since the last time that tell of damage to pixels, each once."""
        number = self.file.fileno()
        size = os.lseek(number, 0, os.SEEK_CUR)  # the three share a position
        os.lseek(number, 0, os.SEEK_SET)
        lines = os.read(number, min(size, 1 << 16)).decode("utf-8", "replace").splitlines()
        os.ftruncate(number, 0)
        os.lseek(number, 0, os.SEEK_SET)
        told = [line.strip() for line in lines if _DAMAGE.search(line) and not _HARMLESS.search(line)]
        return list(dict.fromkeys(told))[:_MOST_COMPLAINTS]


class _Kept(logging.Handler):
    """Log records for the other side."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append((record.name, record.levelno, record.getMessage()))


def _listen(requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        requests.put(json.loads(line))
    os._exit(0)  # the other side has ended, and may have left a page in work


def main(place: str, level: int) -> None:
    """Answer until there is nobody to. place: path or number of the shared file; level: of the log records to send."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other side
    answers = os.fdopen(os.dup(1), "wb")
    said = _Said()
    kept = _Kept()
    logging.getLogger("ptocr").addHandler(kept)
    logging.getLogger("ptocr").setLevel(level)
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=[requests], daemon=True).start()
    with open(int(place) if place.isdigit() else place, "r+b", buffering=0) as shared:
        desk = _Desk(Handover(shared))  # type: ignore[arg-type]  # FileIO is one
        answer: dict[str, Any] = {"ready": True}
        while True:
            answer["log"], kept.records = kept.records, []
            answers.write(json.dumps(answer).encode("ascii") + b"\n")
            answers.flush()
            try:
                while (request := requests.get(timeout=IDLE_SECONDS))["do"] == "close":  # needs no answer
                    desk.close()
            except queue.Empty:
                return
            answer = desk.answer(request)
            for complaint in said.complaints():
                log.warning("%s: damaged, its decoder says: %s", desk.name, complaint)
