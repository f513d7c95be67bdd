"""Hours of use in a short form: memory, open files and threads reach a plateau (`tests/soak_pages.py`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


def laps(kind: str, amount: float, engine: str, checkout: Path) -> np.ndarray:
    """(laps, 3): resident memory in MB, open files, threads."""
    command = [sys.executable, "-m", "tests.soak_pages", kind, str(amount), engine]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=600 + 2 * amount
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return np.array([[float(number) for number in line.split()] for line in done.stdout.splitlines()])


def assert_plateau(found: np.ndarray, spare: float = 0.0) -> None:
    """Of the last third against the middle third: memory within 3 %, files and threads within what is in work."""
    middle, last = found[len(found) // 3 : 2 * len(found) // 3], found[2 * len(found) // 3 :]
    before, after = np.median(middle[:, 0]), np.median(last[:, 0])
    assert after <= before * 1.03 + spare, f"{before:.0f} MB -> {after:.0f} MB"
    assert last[:, 1].max() <= middle[:, 1].max() + 12, "open files"
    assert last[:, 2].max() <= middle[:, 2].max() + 4, "threads"


@pytest.mark.parametrize(
    ("engine", "seconds"),
    [
        pytest.param("torch", 30, id="30 s"),
        pytest.param("torch", 600, marks=pytest.mark.slow, id="10 min"),
        pytest.param("native", 600, marks=pytest.mark.slow, id="10 min native"),
        pytest.param("torch", 7200, marks=pytest.mark.slow, id="2 h"),
    ],
)
def test_mixed_pages_from_four_threads(engine: str, seconds: float, checkout: Path) -> None:
    found = laps("pages", seconds, engine, checkout)
    assert len(found) > 20
    assert_plateau(found, 40.0 if seconds < 100 else 0.0)  # a short run has not seen everything by its middle


@pytest.mark.parametrize("count", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_pipelines_that_are_made_and_dropped(count: int, checkout: Path) -> None:
    found = laps("pipelines", count, "torch", checkout)
    assert len(found) == count
    assert_plateau(found, 10.0)


@pytest.mark.parametrize("count", [45, pytest.param(300, marks=pytest.mark.slow)])
def test_a_long_pdf_is_streamed(count: int, checkout: Path) -> None:
    found = laps("book", count, "torch", checkout)
    assert len(found) == count
    assert_plateau(found)
