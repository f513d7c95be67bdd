"""Reading ahead (prefetching): the next pages are decoded while the networks work on this one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_END = object()


class ReadAhead(Iterator[T], Generic[T]):
    """The same items in the same order, up to `depth` of them made in advance by a thread of its own.

    An exception of the source is raised where its item would have come. When the consumer stops early (`close`), so
    does the thread, and the source is closed.
    """

    def __init__(self, items: Iterator[T], depth: int = 1) -> None:
        self._items = items
        self._ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=depth)
        self._stopped = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """Whether the next item, or the end, is there without waiting."""
        return self._ended or not self._ready.empty()

    @property
    def ended(self) -> bool:
        """Whether there is known to be no further item, without waiting."""
        return self._ended or (not self._ready.empty() and self._ready.queue[0][0] is _END)

    def __next__(self) -> T:
        """The next item; waits for it."""
        if self._ended:
            raise StopIteration
        if self._thread is None:
            self._thread = threading.Thread(target=self._produce, name="ptocr-read-ahead", daemon=True)
            self._thread.start()
        item, error = self._ready.get()
        if item is not _END:
            return item
        self._ended = True
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> None:
        """Stop the thread; a slow download may not hold the consumer up."""
        self._stopped.set()
        self._ended = True
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _put(self, item: Any, error: BaseException | None = None) -> bool:
        while not self._stopped.is_set():
            try:
                self._ready.put((item, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def _produce(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    return
            self._put(_END)
        except BaseException as error:
            self._put(_END, error)
        finally:
            if (close := getattr(self._items, "close", None)) is not None:
                close()
