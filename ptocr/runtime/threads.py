"""Threads: how many there are, and small batches side by side, each on one thread of a shared pool.

A text line is too little work to share between threads; as many lines at once as there are threads is the better use.
Where torch is loaded its setting is everybody's; until then the same is kept here.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ptocr.runtime.cgroup import cpu_quota

A = TypeVar("A")
T = TypeVar("T")
_LOCK = threading.Lock()
AHEAD = 2  # prepared results per thread: bounds memory, keeps the threads busy


class _Mine(threading.local):
    """Threads that this thread's work may use, where torch was not there to keep the number."""

    count: int | None = None


_mine = _Mine()
_asked: list[int] = []  # the number that was set while torch was not there
_MET = threading.Event()  # torch's own default has been held to this process's quota


def count() -> int:
    """Threads that work of this thread may use."""
    if _mine.count is not None:
        return _mine.count
    torch = _torch()
    return torch.get_num_threads() if torch is not None else _asked[0] if _asked else _default()


def _torch() -> Any:
    """torch if it is loaded, which then has the number that was asked for before, and no more than a quota allows."""
    torch: Any = sys.modules.get("torch")
    if not hasattr(torch, "set_num_threads"):  # not there, or just being loaded
        return None
    with _LOCK:
        if _asked:
            torch.set_num_threads(_asked.pop())
        elif not _MET.is_set() and not _wanted() and (quota := cpu_quota()):
            torch.set_num_threads(min(quota, torch.get_num_threads()))
        _MET.set()
    return torch


def _default() -> int:
    """$OMP_NUM_THREADS, or all processors."""
    return _wanted() or processors()


def processors() -> int:
    """Processors that this process may use, also in a container with a quota."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(here, cpu_quota() or here)


def _wanted() -> int:
    """The number in $OMP_NUM_THREADS, 0 without one."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdigit() else 0


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
    torch = _torch()
    with _LOCK:
        return _pool(threads, name, each, torch is not None)


@functools.cache
def _pool(threads: int, name: str, each: int, with_torch: bool) -> ThreadPoolExecutor:
    """The caller's own setting of threads stays as it was."""
    ready = threading.Barrier(threads + 1)
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    torch: Any = sys.modules["torch"] if with_torch else None

    def start() -> None:
        if with_torch:
            torch.get_num_threads()  # a thread takes over the default when it first asks; then it keeps its own
            torch.set_num_threads(each)  # for this thread; it also becomes the default of threads yet to come
        else:
            _mine.count = each
        ready.wait()

    before = torch.get_num_threads() if with_torch else 0
    for _ in range(threads):
        pool.submit(start)
    ready.wait()
    if with_torch:
        torch.set_num_threads(before)
    return pool


_FORKED = threading.Event()


def set_threads(number: int) -> None:
    """Threads for this thread and those to come; always one in a process forked from one with torch (`_after_fork`)."""
    number, torch = 1 if _FORKED.is_set() else number, _torch()
    if torch is not None:
        torch.set_num_threads(number)
    else:
        _asked[:] = [number]


def _after_fork() -> None:
    """Threads do not survive a fork, and OpenMP would wait for its own forever: the new process does without."""
    _pool.cache_clear()
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        _FORKED.set()
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
