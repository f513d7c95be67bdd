"""Batches side by side: in order, really at once, bounded, and leaving the caller's settings alone."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr.errors import DeviceError
from ptocr.runtime.devices import resolve_device
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime
from ptocr.runtime.threads import AHEAD, side_by_side
from tests.random_models import random_checkpoint


def test_results_come_in_order() -> None:
    assert list(side_by_side(lambda n: n * n, range(40), 3)) == [n * n for n in range(40)]
    assert list(side_by_side(abs, iter([]), 3)) == []


def test_tasks_run_at_once_on_one_thread_each() -> None:
    meet = threading.Barrier(2, timeout=20)

    def task(_: int) -> int:
        meet.wait()  # would time out if the other task did not run at the same time
        return torch.get_num_threads()

    assert list(side_by_side(task, range(2), 2)) == [1, 1]


def test_the_callers_threads_stay_as_they_were() -> None:
    before = torch.get_num_threads()
    list(side_by_side(lambda _: torch.get_num_threads(), range(4), 5))
    assert torch.get_num_threads() == before


def test_no_more_is_prepared_than_needed_and_errors_come_out() -> None:
    started = []

    def task(n: int) -> int:
        started.append(n)
        if n == 3:
            raise ValueError("broken line")
        return n

    results = side_by_side(task, range(1000), 2)
    assert next(results) == 0
    results.close()
    assert len(started) <= 2 * AHEAD * 2
    with pytest.raises(ValueError, match="broken line"):
        list(side_by_side(task, range(10), 2))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_works_in_a_forked_process() -> None:
    assert list(side_by_side(abs, [1, 2], 2)) == [1, 2]
    child = os.fork()
    if child == 0:
        done = list(side_by_side(abs, [1, 2], 2)) == [1, 2]
        os._exit(0 if done else 1)
    assert os.waitpid(child, 0)[1] == 0


FORKED = """
import os, signal
import numpy as np
from ptocr.runtime.devices import resolve_device
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime
from tests.random_models import random_checkpoint

runtime = Runtime(random_checkpoint("PP-OCRv4_mobile_det"), RuntimeOptions(device="cpu", threads=2))
x = np.random.default_rng(0).standard_normal((1, 3, 320, 320), dtype=np.float32)
before = runtime.run(x)[0]
child = os.fork()
if child == 0:
    signal.alarm(60)
    np.testing.assert_allclose(runtime.run(x)[0], before, atol=1e-5)
    again = Runtime(random_checkpoint("PP-OCRv4_mobile_det"), RuntimeOptions(device="cpu", threads=2))
    np.testing.assert_allclose(again.run(x)[0], before, atol=1e-5)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_network_that_ran_on_two_threads_works_in_a_forked_process(checkout: Path) -> None:
    """OpenMP's threads are not there after a fork, and waiting for them would last forever."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], cwd=checkout, check=True, timeout=180)


def test_cuda_after_a_fork_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    with pytest.raises(DeviceError, match="spawn"):
        resolve_device("gpu:0")


def test_streaming_equals_one_by_one() -> None:
    runtime = Runtime(random_checkpoint("PP-OCRv4_mobile_rec"), RuntimeOptions(device="cpu"))
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((1, 3, 48, width), dtype=np.float32) for width in (320, 411, 350, 640, 320)]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = list(runtime.stream([functools.partial(np.copy, batch) for batch in batches]))
        alone = [runtime.run(batch) for batch in batches]
    finally:
        torch.set_num_threads(before)
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5)
