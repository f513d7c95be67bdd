"""The scheduler: pages of all callers flow through a pipeline over a window, several at once, and come in their order.

On a CPU each page of the window has a narrow worker, a thread that computes on one core: nobody waits at barriers, as
all threads of one network would. A page that is alone is read wide, by all threads. On a GPU a worker is a thread that
waits for the device most of the time; what all of them want run goes in batches (`ptocr.runtime.batching`).

A page reads the same however it is read, and an error belongs to its page.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from ptocr.inputs.ahead import ReadAhead
from ptocr.inputs.page import Page
from ptocr.runtime import threads
from ptocr.runtime.devices import BY_BACKEND, place_of

R = TypeVar("R")

GPU_WINDOW = 16  # pages in work per GPU
CPU_WINDOW = 16  # at most, whatever the number of cores: bounds memory
MOST_PIXELS = 64_000_000  # of the pages in a caller's window, a lone page excepted
LOOK = 0.01  # seconds between looks at whether a further page has been decoded


class Scheduler:
    """Reads pages of all callers, so many at a time as suit the devices of one pipeline.

    devices: names as in `RuntimeOptions`, one per set of models.
    """

    def __init__(self, devices: list[str]) -> None:
        self.devices = devices
        self._lock = threading.Lock()
        self._working = 0

    @property
    def width(self) -> int:
        """Pages that are read at once: per GPU `GPU_WINDOW`, on a CPU one a thread."""
        return max(len(self.devices), GPU_WINDOW * self._gpus or min(threads.count(), CPU_WINDOW))

    @property
    def _gpus(self) -> int:
        return sum(not BY_BACKEND[place_of(name).partition(":")[0]].host for name in self.devices)

    def map(self, pages: Iterator[Page], read: Callable[[Page], R]) -> Iterator[R]:
        """What `read` makes of each page, in order.

        A page's exception is raised in its place. When the consumer stops early, what has not begun is dropped, and
        what has is waited for: nothing is left running.
        """
        width = self.width
        ahead = ReadAhead(pages, depth=max(1, min(width, 4)))
        window: deque[tuple[Future[R], int]] = deque()
        broken: Exception | None = None
        try:
            while broken is None and (page := _next(ahead)) is not None:
                if isinstance(page, Exception):
                    broken = page  # in its place: behind the results of the pages before it
                elif not window and not self._has_company(ahead, width):
                    with self._busy():
                        result = read(page)
                    yield result
                else:
                    size = page.image.shape[0] * page.image.shape[1]
                    while window and sum(pixels for _, pixels in window) + size > MOST_PIXELS:
                        yield window.popleft()[0].result()
                    window.append((self._pool(width).submit(self._busily, read, page), size))
                    while window and (len(window) >= 2 * width or not _another(ahead, window[0][0])):
                        yield window.popleft()[0].result()
            while window:
                yield window.popleft()[0].result()
            if broken is not None:
                raise broken
        finally:
            wait([future for future, _ in window if not future.cancel()])
            ahead.close()

    def _has_company(self, ahead: ReadAhead[Page], width: int) -> bool:
        """Whether further pages are in work or will be in a moment; else one page may have the whole device."""
        return width > 1 and (self._working > 0 or (ahead.ready and not ahead.ended))

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        """A page is in work."""
        with self._lock:
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1

    def _busily(self, read: Callable[[Page], R], page: Page) -> R:
        with self._busy():
            return read(page)

    def _pool(self, width: int) -> ThreadPoolExecutor:
        each = 1 if self._gpus else max(1, threads.count() // width)
        return threads.pool_of(width, "ptocr-page", each)


def _next(ahead: ReadAhead[Page]) -> Page | Exception | None:
    """The next page, or what went wrong with it, or None at the end."""
    try:
        return next(ahead, None)
    except Exception as error:
        return error


def _another(ahead: ReadAhead[Any], first: Future[Any]) -> bool:
    """Waits until the next page is there (true) or the first result (false); the end of the pages counts as a page."""
    while not ahead.ready:
        if first.done():
            return False
        wait([first], timeout=LOOK)
    return True
