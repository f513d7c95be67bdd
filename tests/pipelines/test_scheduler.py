"""Pages of all callers over a window: the same bytes as page by page, in order, bounded, errors at their pages."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import ptocr
from ptocr.inputs.page import Page
from ptocr.pipelines.scheduler import Scheduler
from ptocr.runtime import batching, devices
from ptocr.runtime.batching import BatchingSession
from tests.pipelines.conftest import found_lines, offline, page, random_home

__all__ = ["found_lines", "offline", "page", "random_home"]


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def batching_device(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The CPU as a device that likes batches, as a GPU is; the numbers of pictures of its runs."""
    kind = replace(devices.KINDS["cpu"], host=False, kernels="")
    monkeypatch.setitem(devices.KINDS, "cpu", kind)
    monkeypatch.setitem(devices.BY_BACKEND, "cpu", kind)
    sizes: list[int] = []
    run = BatchingSession._run_together

    def counted(self: BatchingSession, tickets: Any) -> None:
        sizes.append(sum(ticket.count for ticket in tickets))
        run(self, tickets)

    monkeypatch.setattr(BatchingSession, "_run_together", counted)
    return sizes


def blank(number: int) -> Page:
    return Page(np.full((8, 8, 3), number, np.uint8))


def number_of(page: Page) -> int:
    return int(page.image[0, 0, 0])


def test_in_order_and_side_by_side(three_threads: None) -> None:
    scheduler = Scheduler(["cpu"])
    most, lock = [0, 0], threading.Lock()

    def read(page: Page) -> int:
        with lock:
            most[0] += 1
            most[1] = max(most)
        time.sleep(0.02 * (number_of(page) % 3))
        with lock:
            most[0] -= 1
        return number_of(page)

    assert list(scheduler.map((blank(n) for n in range(20)), read)) == list(range(20))
    assert scheduler.width == 3 and most[1] == 3
    assert list(scheduler.map(iter([]), read)) == []
    assert list(scheduler.map((blank(n) for n in [7]), read)) == [7]


def test_no_more_pages_in_memory_than_the_window_needs(three_threads: None) -> None:
    made = []

    def pages() -> Iterator[Page]:
        for n in range(100):
            made.append(n)
            yield blank(n)

    results = Scheduler(["cpu"]).map(pages(), number_of)
    for n in range(10):
        assert next(results) == n
    time.sleep(0.1)
    assert len(made) <= 10 + 2 * 3 + 4 + 1  # given out, in the window, read ahead, in the reader's hand
    results.close()  # type: ignore[attr-defined]


def test_large_pages_wait_for_each_other(three_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptocr.pipelines.scheduler.MOST_PIXELS", 100)  # one page and a half
    working, most = [], []

    def read(page: Page) -> int:
        working.append(page)
        time.sleep(0.01)
        most.append(len(working))
        working.remove(page)
        return number_of(page)

    assert list(Scheduler(["cpu"]).map((blank(n) for n in range(8)), read)) == list(range(8))
    assert max(most) == 1


def test_an_error_belongs_to_its_page(three_threads: None) -> None:
    def read(page: Page) -> int:
        if number_of(page) == 5:
            raise ValueError("page 5")
        return number_of(page)

    scheduler = Scheduler(["cpu"])
    results = scheduler.map((blank(n) for n in range(20)), read)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="page 5"):
        next(results)
    assert scheduler._working == 0

    def source() -> Iterator[Page]:
        yield from (blank(n) for n in range(4))
        raise OSError("the file ends")

    results = scheduler.map(source(), number_of)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(OSError, match="the file ends"):
        next(results)


def test_a_consumer_that_stops_leaves_nothing_running(three_threads: None) -> None:
    scheduler = Scheduler(["cpu"])
    begun = []
    closed = threading.Event()

    def source() -> Iterator[Page]:
        try:
            yield from (blank(n) for n in range(200))
        finally:
            closed.set()

    def read(page: Page) -> int:
        begun.append(page)
        time.sleep(0.02)
        return number_of(page)

    results = scheduler.map(source(), read)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    results.close()  # type: ignore[attr-defined]
    count = len(begun)
    assert scheduler._working == 0 and closed.wait(5)
    time.sleep(0.1)
    assert len(begun) == count < 20
    assert not [thread for thread in threading.enumerate() if thread.name == "ptocr-read-ahead"]


def test_a_slow_source_does_not_hold_a_result_back(three_threads: None) -> None:
    go = threading.Event()

    def source() -> Iterator[Page]:
        yield blank(0)
        yield blank(1)
        assert go.wait(10)
        yield blank(2)

    results = Scheduler(["cpu"]).map(source(), number_of)
    assert [next(results), next(results)] == [0, 1]
    go.set()
    assert list(results) == [2]


@pytest.fixture(scope="module")
def pages() -> list[np.ndarray]:
    made = []
    for n in range(4):
        image = np.full((200, 400 + 16 * (n % 2), 3), 255, np.uint8)
        for row in range(3):
            text = "windows of pages"[n : n + 4 + 3 * row]
            cv2.putText(image, text, (20, 58 + 60 * row), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 0, 0), 2)
        made.append(image)
    return made


def as_json(results: Any) -> list[Any]:
    return [result.json for result in results]


def test_the_same_bytes_however_pages_are_read(
    offline: object, found_lines: object, pages: list[np.ndarray], three_threads: None
) -> None:
    names = {"device": "cpu", "text_rec_score_thresh": 0.0}
    pipeline = ptocr.create_pipeline("PP-OCRv4_mobile", **names)
    singly = [as_json(pipeline.predict(image))[0] for image in pages]
    assert as_json(pipeline.predict(pages)) == singly
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda n: as_json(pipeline.predict(pages[n : n + 1])), range(4)))
    assert [page for part in parts for page in part] == singly
    assert as_json(ptocr.create_pipeline("PP-OCRv4_mobile", **(names | {"device": "cpu,cpu"})).predict(pages)) == singly


def test_a_device_that_likes_batches(
    offline: object, found_lines: object, pages: list[np.ndarray], batching_device: list[int]
) -> None:
    pipeline = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu")
    assert pipeline.width == 16
    singly = list(pipeline.predict(pages[0]))
    for image in pages[1:]:
        singly += pipeline.predict(image)
    most, count = max(batching_device), len(batching_device)
    batching_device.clear()
    together = list(pipeline.predict(pages))
    assert max(batching_device) > most and len(batching_device) < count  # lines of several pages share runs
    for one, other in zip(singly, together, strict=True):
        assert one["rec_texts"] == other["rec_texts"]
        np.testing.assert_allclose(one["rec_scores"], other["rec_scores"], rtol=0, atol=1e-6)


class Doubling:
    """A session that doubles its pictures, and fails on negative ones."""

    parallel, batch = False, None

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        self.sizes.append(len(arrays[0]))
        if (arrays[0] < 0).any():
            raise ValueError("negative")
        return [2 * arrays[0]]


def test_who_waits_for_the_device_shares_its_next_run() -> None:
    inner = Doubling()
    session = BatchingSession(inner)
    inputs = [np.full((1 + n % 2, 3), n if n != 4 else -1, np.float32) for n in range(6)] + [
        np.ones((1, 5), np.float32)
    ]
    answers: dict[int, Any] = {}

    def ask(n: int) -> None:
        try:
            answers[n] = session.run(inputs[n])[0]
        except ValueError as error:
            answers[n] = str(error)

    before = dict(batching.counted)
    with session._device:
        threads = [threading.Thread(target=ask, args=(n,)) for n in range(7)]
        for thread in threads:
            thread.start()
        while sum(map(len, session._waiting.values())) < 7:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert answers.pop(4) == "negative"  # and nobody else's
    for n, answer in answers.items():
        np.testing.assert_array_equal(answer, 2 * inputs[n])
    assert sorted(inner.sizes) == [1, 1, 1, 1, 2, 2, 2, 9]  # all nine of a size together; as it failed, each alone
    assert not session._waiting
    # nine pictures together, and one of another size; those that followed the failure are the same pictures again
    assert {name: n - before[name] for name, n in batching.counted.items()} == {"runs": 2, "pictures": 10}


def test_a_stream_keeps_its_order() -> None:
    session = BatchingSession(Doubling())
    batches = (lambda n=n: np.full((1, 1 + n % 3), n, np.float32) for n in range(50))
    assert [int(out[0][0, 0]) for out in session.stream(batches)] == [2 * n for n in range(50)]
