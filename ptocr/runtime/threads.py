"""Small batches side by side on a CPU: each on one thread of a shared pool, not one after the other on all threads.

A text line is too little work to share between threads; as many lines at once as there are threads is the better use.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

A = TypeVar("A")
T = TypeVar("T")
_LOCK = threading.Lock()
AHEAD = 2  # prepared results per thread: bounds memory, keeps the threads busy


def side_by_side(function: Callable[[A], T], arguments: Iterable[A], threads: int) -> Iterator[T]:
    """Results of the function in the order of its arguments, `threads` of them at a time, each on one thread.

    Stopping early leaves nothing running but what has begun.
    """
    pool = pool_of(threads)
    pending: deque[Future[T]] = deque()
    try:
        for argument in arguments:
            pending.append(pool.submit(function, argument))
            if len(pending) >= AHEAD * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def pool_of(threads: int, name: str = "ptocr-line", each: int = 1) -> ThreadPoolExecutor:
    """The pool of a name with so many threads, which use `each` threads inside operators; shared by all who ask."""
    with _LOCK:
        return _pool(threads, name, each)


@functools.cache
def _pool(threads: int, name: str, each: int) -> ThreadPoolExecutor:
    """The caller's own setting of threads stays as it was."""
    ready = threading.Barrier(threads + 1)
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def start() -> None:
        torch.get_num_threads()  # a thread takes over the default when it first asks; afterwards it keeps its own
        torch.set_num_threads(each)  # for this thread; it also becomes the default of threads yet to come
        ready.wait()

    before = torch.get_num_threads()
    for _ in range(threads):
        pool.submit(start)
    ready.wait()
    torch.set_num_threads(before)
    return pool


_FORKED = threading.Event()


def set_threads(count: int) -> None:
    """torch's threads for this thread and those to come; always one in a forked process (see `_after_fork`)."""
    torch.set_num_threads(1 if _FORKED.is_set() else count)


def _after_fork() -> None:
    """Threads do not survive a fork, and OpenMP would wait for its own forever: the new process does without."""
    _pool.cache_clear()
    _FORKED.set()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
