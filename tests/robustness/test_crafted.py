"""Files made to harm (`tests/crafted.py`): each a page or an InputError, within its limits of time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crafted import MEMORY, PDFS, PICTURES, SECONDS

ROOT = Path(__file__).resolve().parents[2]
LIMITED = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30)); sys.argv.pop(0);"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and read as Linux does")
@pytest.mark.parametrize("isolate", ["auto", pytest.param("always", marks=pytest.mark.slow)])
def test_crafted_files(isolate: str) -> None:
    assert len(PDFS) + len(PICTURES) >= 60
    code = f"{LIMITED} runpy.run_module('tests.crafted', run_name='__main__')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, "crafted", isolate]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == len(PDFS) + len(PICTURES)
    for line in lines:
        seconds, here, there, what = line.split(" ", 3)
        assert float(seconds) < 2 * SECONDS + 15, what  # two pages, and a new process on a busy machine
        assert int(here) < 600 and int(there) < (MEMORY >> 20) + 500, what
