"""Admission control: a bounded queue before the pipeline, a deadline for each request, limits per client."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from ptocr.inputs.page import Isolate
from ptocr.serving.body import Refused

T = TypeVar("T")
_LOOK = 0.25  # seconds between looks at whether the server ends
_SMOOTHING = 0.2  # weight of the latest request in the mean time that a request takes


@dataclass(frozen=True)
class Limits:
    """What a server takes on.

    workers: requests that are read at once; queue: that may wait for a worker; deadline: seconds in which a request is
    answered, counted from when its body is here; per_client: requests of one client at a time, 0 = any; max_body: bytes
    of one body, bodies: of all in memory; body_timeout: seconds for a body; max_pages: of each PDF, 0 = all;
    max_pixels: of each picture, None = as everywhere; isolate, page_timeout, page_memory: as in `iter_pages`.
    """

    workers: int = 2
    queue: int = 32
    deadline: float = 60.0
    per_client: int = 0
    max_body: int = 64 << 20
    bodies: int = 512 << 20
    body_timeout: float = 30.0
    max_pages: int = 10
    max_pixels: int | None = None
    isolate: Isolate = "always"
    page_timeout: float = 20.0
    page_memory: int = 512 << 20


class Admission:
    """Who may come in, and who waits. Requests run on threads of a pool; first come, first served."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.running = 0
        self.stopping = False
        self._clients: Counter[str] = Counter()
        self._queue: deque[asyncio.Future[None]] = deque()  # who waits; each future belongs to its request's loop
        self._free = limits.workers
        self._ended = False
        self._seconds = 1.0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="ptocr-request")

    @property
    def waiting(self) -> int:
        """Requests that wait for a worker."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether a further request could not even wait."""
        return self._free == 0 and self.waiting >= self.limits.queue

    def check(self, client: str) -> None:
        """Refuse at once what would be refused after its body: 503 and 429, raised as `Refused`."""
        if self.stopping:
            raise Refused(503, "the server is stopping", retry_after=5)
        if self.full:
            raise self._busy()
        if self.limits.per_client and self._clients[client] >= self.limits.per_client:
            raise Refused(429, f"{self.limits.per_client} requests of this client are in work already", retry_after=1)

    def wait(self) -> float:
        """Seconds after which a place is likely, at most a minute."""
        return min(60.0, (self.waiting + 1) * self._seconds / self.limits.workers)

    @contextlib.contextmanager
    def client(self, name: str) -> Iterator[None]:
        """Counts a client's request while it is here."""
        self.check(name)
        self._clients[name] += 1
        try:
            yield
        finally:
            self._clients[name] -= 1
            if not self._clients[name]:
                del self._clients[name]

    async def run(self, work: Callable[[Callable[[], bool]], T], gone: Callable[[], Awaitable[bool]]) -> T:
        """The result of `work` on a thread, within the deadline.

        work: gets a function that says whether to give up, to be asked between pages. gone: asked when its turn comes:
        whether nobody waits for the answer any more. Raises `Refused` 503.
        """
        until = time.monotonic() + self.limits.deadline
        await self._place(until)
        try:
            if await gone():
                raise Refused(499, "the client has gone")
            began = time.monotonic()
            task = self._pool.submit(work, lambda: time.monotonic() > until or self._ended)
        except BaseException:
            self._release()
            raise
        self.running += 1
        task.add_done_callback(lambda _: self._done(began))
        result = asyncio.wrap_future(task)
        await self._settled(result, until)
        if not result.done():
            raise self._late()
        return result.result()

    def stop(self, seconds: float) -> None:
        """Take nothing new; after `seconds` whoever still waits is told so."""
        self.stopping = True
        asyncio.get_running_loop().call_later(max(seconds, 0.0), self._end)

    def _end(self) -> None:
        self._ended = True

    def _done(self, began: float) -> None:
        """Work has ended, on its thread: its place goes to the next."""
        with self._lock:
            self.running -= 1
            self._seconds += _SMOOTHING * (time.monotonic() - began - self._seconds)
        self._release()

    async def _place(self, until: float) -> None:
        """Wait for a worker. Raises `Refused` 503 where too many wait already, and when the time is over."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._free:
                self._free -= 1
                return
            if self.full:
                raise self._busy()
            self._queue.append(turn)
        try:
            await self._settled(turn, until)
            if not turn.done():
                raise self._late()
        except BaseException:
            with self._lock:
                got = turn not in self._queue  # in the meantime
                if not got:
                    self._queue.remove(turn)
            if got:
                self._release()
            raise

    def _release(self) -> None:
        """A worker is free, from whatever thread this is said."""
        with self._lock:
            if not self._queue:
                self._free += 1
                return
            turn = self._queue.popleft()
        try:
            turn.get_loop().call_soon_threadsafe(_set, turn)
        except RuntimeError:  # its loop has ended, and with it whoever waited
            self._release()

    async def _settled(self, task: asyncio.Future[Any], until: float) -> None:
        """Wait for a task, the deadline or the end of the server, whichever comes first; the task goes on."""
        while not task.done() and not self._ended and (left := until - time.monotonic()) > 0:
            await asyncio.wait({task}, timeout=min(left, _LOOK))

    def _busy(self) -> Refused:
        return Refused(503, f"{self.waiting} requests are waiting already", retry_after=self.wait())

    def _late(self) -> Refused:
        if self.stopping:
            return Refused(503, "the server is stopping", retry_after=5)
        return Refused(503, f"no answer within {self.limits.deadline:g} s", retry_after=self.wait())


def _set(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
