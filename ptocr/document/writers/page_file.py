"""Pages pushed one by one into a writer that pulls them: each output file has a thread that waits for its pages."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ptocr.document.results import OCRResult

Write = Callable[[Iterable[OCRResult]], list[Path]]
_END = object()


class _Dropped(Exception):
    """Told to a writer whose file is not wanted any more."""


class PageFile:
    """A consumer thread around a writer such as `write_results`, with a bounded queue of pages. pages: how many of them
    the writer has taken.

    write: takes an iterator of pages, returns the files it wrote, and leaves nothing behind when the iterator raises.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._queue: queue.Queue[OCRResult | object] = queue.Queue(maxsize=2)
        self._stopped = threading.Event()
        self._dropped = False
        self._ended = False
        self._error: BaseException | None = None
        self._written: list[Path] = []
        self.pages = 0
        self._thread = threading.Thread(target=self._run, name="ptocr-write", daemon=True)
        self._thread.start()

    def add(self, page: OCRResult) -> None:
        """Hand over the next page; waits while the writer is behind. Raises what the writer raised, OSError mostly."""
        self._put(page)

    def finish(self) -> list[Path]:
        """End the file and wait until it is complete; returns the files written. Raises what the writer raised."""
        self._end()
        if self._error is not None:
            raise self._error
        return self._written

    def drop(self) -> None:
        """Give the file up: nothing of it is written."""
        self._dropped = True
        self._end()

    def _end(self) -> None:
        if not self._ended and not self._stopped.is_set():
            self._put(_END)
            self._ended = True
        self._thread.join()

    def _put(self, item: OCRResult | object) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return
            except queue.Full:
                continue
        if self._error is not None and item is not _END:
            raise self._error

    def _run(self) -> None:
        try:
            self._written = self._write(self._pages())
        except _Dropped:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._stopped.set()

    def _pages(self) -> Iterator[OCRResult]:
        while (item := self._queue.get()) is not _END:
            if self._dropped:
                break
            self.pages += 1
            yield item  # type: ignore[misc]
        if self._dropped:
            raise _Dropped
