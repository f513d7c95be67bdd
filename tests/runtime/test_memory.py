"""The memory contract: no growth with the number of pictures or of different sizes, and a bound for large pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptocr.errors import DeviceError
from ptocr.processing.det import det_size
from ptocr.runtime import compiled as aot
from ptocr.spec.settings import DetPreprocess

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


@pytest.mark.parametrize(
    ("mode", "count"),
    [
        ("native", 240),
        pytest.param("native", 3000, marks=pytest.mark.slow),
        pytest.param("aot", 240, marks=pytest.mark.slow),
        pytest.param("aot", 3000, marks=pytest.mark.slow),
        # oneDNN's cache of primitives has to fill up before there is a plateau
        pytest.param("torch", 3000, marks=pytest.mark.slow),
    ],
)
def test_memory_reaches_a_plateau_over_random_sizes(mode: str, count: int, checkout: Path) -> None:
    """Median resident memory of the last third within 3 % of that of the middle third."""
    if mode == "aot":
        try:
            aot.require_compiler()
        except DeviceError as error:
            pytest.skip(str(error))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.soak", str(count), mode]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    memory = np.array([float(line) for line in done.stdout.split()])
    assert len(memory) == count
    middle, last = np.median(memory[count // 3 : 2 * count // 3]), np.median(memory[2 * count // 3 :])
    assert last <= middle * 1.03, f"{middle:.0f} MB -> {last:.0f} MB"


@pytest.mark.parametrize("size", [(20000, 20000), (3508, 2480), (1, 20000), (12000, 1200)])
def test_large_pages_are_detected_at_a_bounded_size(size: tuple[int, int]) -> None:
    pre = DetPreprocess(limit_type="min", limit_side_len=736)
    height, width = det_size(*size, pre.limit_side_len, pre.limit_type, pre.max_side_limit, pre.max_pixels)
    assert height * width <= pre.max_pixels * 1.05
    unbounded = det_size(*size, pre.limit_side_len, pre.limit_type, 10**6, 0)
    assert unbounded[0] * unbounded[1] >= height * width
