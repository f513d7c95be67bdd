"""Micro-batching (dynamic batching): what several threads want run goes through the network together.

For devices that are idle on small batches. Whoever waits for its answer runs the device when it is free: its own
pictures and those of the same size that have gathered meanwhile. So a lone caller waits for nothing, and the more
callers there are the larger the batches get, without timers and without a thread that has to be ended.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ptocr.runtime.session import Session

MOST_PICTURES = 128  # in one run
MOST_VALUES = 48 << 20  # of the input of one run: bounds memory, about 17 pages of 960 x 960
AHEAD = 16  # batches of one caller that may wait at a time

_COUNT_LOCK = threading.Lock()
counted = {"runs": 0, "pictures": 0}  # of all sessions of this process, for whoever watches it

_Key = tuple[tuple[int, ...], ...]  # shapes of the inputs but for the number of pictures


class _Ticket:
    """One caller's inputs, and later its outputs or what went wrong with them."""

    def __init__(self, arrays: tuple[np.ndarray, ...]) -> None:
        self.arrays = arrays
        self.key: _Key = tuple(array.shape[1:] for array in arrays)
        self.count = len(arrays[0])
        self.outputs: list[np.ndarray] | None = None
        self.error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.outputs is not None or self.error is not None


class BatchingSession:
    """A session whose runs are shared by all threads that want one at the time. Answers are those of single runs, as
    long as a picture's answer does not depend on the others of its batch."""

    parallel = False
    batch: int | None = None

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting: dict[_Key, deque[_Ticket]] = {}
        self._lock = threading.Lock()  # of `_waiting`
        self._device = threading.Lock()  # held while the network runs

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """As the session's."""
        return self._result(self._submit(*arrays))

    def stream(self, batches: Iterable[Callable[[], np.ndarray]]) -> Iterator[list[np.ndarray]]:
        """Outputs of one caller's batches in their order; the next ones are made and wait while one runs."""
        waiting: deque[_Ticket] = deque()
        for make in batches:
            waiting.append(self._submit(make()))
            if len(waiting) >= AHEAD:
                yield self._result(waiting.popleft())
        while waiting:
            yield self._result(waiting.popleft())

    def _submit(self, *arrays: np.ndarray) -> _Ticket:
        ticket = _Ticket(arrays)
        with self._lock:
            self._waiting.setdefault(ticket.key, deque()).append(ticket)
        return ticket

    def _result(self, ticket: _Ticket) -> list[np.ndarray]:
        while not ticket.done:
            with self._device:
                if not ticket.done:
                    self._run_with_mates(ticket.key)
        if ticket.error is not None:
            raise ticket.error
        assert ticket.outputs is not None
        return ticket.outputs

    def _run_with_mates(self, key: _Key) -> None:
        tickets = self._gather(key)
        try:
            self._run_together(tickets)
        except Exception as error:
            if len(tickets) == 1:
                tickets[0].error = error
                return
            for ticket in tickets:  # an error belongs to its own pictures
                try:
                    ticket.outputs = self._session.run(*ticket.arrays)
                except Exception as own:
                    ticket.error = own

    def _gather(self, key: _Key) -> list[_Ticket]:
        """The oldest tickets of a size, as many as one run may hold."""
        values = sum(int(np.prod(shape)) for shape in key)
        most = max(1, min(MOST_PICTURES, MOST_VALUES // max(values, 1)))
        chosen: list[_Ticket] = []
        with self._lock:
            waiting = self._waiting[key]
            while waiting and (not chosen or sum(t.count for t in chosen) + waiting[0].count <= most):
                chosen.append(waiting.popleft())
            if not waiting:
                del self._waiting[key]
        return chosen

    def _run_together(self, tickets: list[_Ticket]) -> None:
        with _COUNT_LOCK:
            counted["runs"] += 1
            counted["pictures"] += sum(ticket.count for ticket in tickets)
        if len(tickets) == 1:
            tickets[0].outputs = self._session.run(*tickets[0].arrays)
            return
        inputs = [np.concatenate(arrays) for arrays in zip(*(t.arrays for t in tickets), strict=True)]
        outputs = self._session.run(*inputs)
        total = sum(t.count for t in tickets)
        if any(len(output) != total for output in outputs):
            raise ValueError("an output without a row per picture")
        start = 0
        for ticket in tickets:
            ticket.outputs = [output[start : start + ticket.count] for output in outputs]
            start += ticket.count
