"""A batch job from its manifest to its end: one process that keeps the books, and workers that read."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

import filelock

from ptocr.batch.inventory import Item
from ptocr.batch.manifest import Manifest
from ptocr.batch.work import Outcome, Recipe, read_item
from ptocr.errors import PtocrError, SpecError
from ptocr.files import write_atomic

FAILED = "failed.tsv"
_STARTS = 3  # of a worker in a row that ends before it is ready


@dataclass(frozen=True)
class Job:
    """recipes: one per worker process. retries: further attempts at an item whose failure may have been chance, or with
    which a worker died; again: items that failed in an earlier run, too."""

    recipes: tuple[Recipe, ...]
    retries: int = 2
    again: bool = False


def run_job(
    job: Job,
    manifest: Manifest,
    engine: Callable[[Job, Manifest], Iterator[Outcome]] | None = None,
    on_done: Callable[[Outcome], None] = lambda outcome: None,
) -> dict[str, int]:
    """Read what the manifest has left; returns its counts. on_done: called with each item that is done or failed.

    Raises:
        SpecError: another process works on this folder. PtocrError: no worker can be started.
    """
    lock = filelock.FileLock(manifest.path.with_name(".batch.lock"), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise SpecError(f"{manifest.path.parent}: another process works on this job") from None
    try:
        for outcome in (engine or local_engine)(job, manifest):
            if outcome.reason:
                manifest.failed(outcome.number, outcome.reason)
            else:
                manifest.done(outcome.number, outcome.pages, outcome.seconds)
            on_done(outcome)
        rows = [f"{name}\t{' '.join(reason.split())}\n" for name, reason in manifest.failures()]
        text = "".join(rows).encode("utf-8", "backslashreplace")
        if rows or manifest.path.with_name(FAILED).exists():
            write_atomic(manifest.path.with_name(FAILED), text)
        return manifest.counts()
    finally:
        lock.release()


# ---------------------------------------------------------------------------------------- processes of this machine


class _Worker:
    """A process that reads items. slots: how many at a time, 0 until it is ready."""

    def __init__(self, recipe: Recipe) -> None:
        context = multiprocessing.get_context("spawn")
        self.recipe = recipe
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, recipe), daemon=True)
        self.process.start()
        theirs.close()
        self.slots = 0
        self.items: dict[int, tuple[Item, bool]] = {}

    def stop(self) -> None:
        """End the process; what it is at is lost, and read again when the job goes on."""
        self.pipe.close()
        self.process.join(timeout=10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _work(pipe: Connection, recipe: Recipe) -> None:
    """The life of a worker: it ends when the process that keeps the books closes the pipe, or has ended itself."""
    try:
        pipeline = recipe.make()
        if hasattr(pipeline, "warm_up"):
            pipeline.warm_up()
        slots = getattr(pipeline, "width", 1)
        pipe.send(slots)
    except PtocrError as error:
        pipe.send(str(error))
        return
    except OSError:  # the job has ended before this worker was ready
        return
    with ThreadPoolExecutor(slots) as pool:
        try:
            while True:
                arguments = pipe.recv()
                future = pool.submit(read_item, pipeline, recipe, *arguments)
                future.add_done_callback(lambda f: _send(pipe, f.result()))
        except (EOFError, OSError, KeyboardInterrupt):
            pool.shutdown(wait=False, cancel_futures=True)


def _send(pipe: Connection, outcome: Outcome) -> None:
    with contextlib.suppress(OSError):  # nobody keeps the books any more; it is read again when the job goes on
        pipe.send(outcome)


def local_engine(job: Job, manifest: Manifest) -> Iterator[Outcome]:
    """Outcomes of all items, from worker processes on this machine. A worker that dies is replaced; what it was at is
    tried again, each item alone, so that it can take no other with it."""
    waiting = deque(manifest.todo(job.again))
    suspects: deque[tuple[int, Item, bool]] = deque()
    attempts: dict[int, int] = {}
    workers = [_Worker(recipe) for recipe in job.recipes[: max(1, len(waiting))]] if waiting else []
    deaths = 0
    try:
        while waiting or suspects or any(worker.items for worker in workers):
            for worker in workers:
                _feed(worker, waiting, suspects, manifest, attempts)
            ready = wait([worker.pipe for worker in workers])
            for number, worker in enumerate(workers):
                if worker.pipe not in ready:
                    continue
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    deaths = deaths + 1 if worker.slots == 0 else 0
                    if deaths >= _STARTS:
                        raise PtocrError("a worker ends before it is ready (see above for why)") from None
                    yield from _bury(worker, job, suspects, attempts)
                    workers[number] = _Worker(worker.recipe)
                    continue
                if isinstance(message, str):
                    raise PtocrError(message)
                if isinstance(message, int):
                    worker.slots = message
                    continue
                row = worker.items.pop(message.number)
                if message.again and attempts[message.number] <= job.retries:
                    suspects.append((message.number, row[0], True))
                else:
                    yield message
    finally:
        for worker in workers:
            worker.stop()


def _feed(
    worker: _Worker,
    waiting: deque[tuple[int, Item, bool]],
    suspects: deque[tuple[int, Item, bool]],
    manifest: Manifest,
    attempts: dict[int, int],
) -> None:
    """Give a worker what it has room for; a suspect only when it has nothing else, and nothing beside it."""
    while len(worker.items) < worker.slots and not any(attempts[n] > 1 for n in worker.items):
        if suspects and not worker.items:
            number, item, begun = suspects.popleft()
        elif waiting:
            number, item, begun = waiting.popleft()
        else:
            return
        manifest.begun(number)
        attempts[number] = attempts.get(number, 0) + 1
        worker.items[number] = (item, begun)
        try:
            worker.pipe.send((number, item, begun))
        except OSError:
            return  # it has died; its pipe says so


def _bury(
    worker: _Worker, job: Job, suspects: deque[tuple[int, Item, bool]], attempts: dict[int, int]
) -> Iterator[Outcome]:
    """What a dead worker was at: tried again, or failed."""
    code = worker.process.exitcode
    how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
    for number, (item, _) in worker.items.items():
        if attempts[number] <= job.retries:
            suspects.append((number, item, True))
        else:
            yield Outcome(number, reason=f"{item.name}: the worker that read it ended ({how}) {attempts[number]} times")
    worker.items.clear()
