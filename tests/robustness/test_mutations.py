"""Altered files of all kinds: a page or an InputError each, within limits of time and memory (`tests/fuzz.py`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMITED = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30)); sys.argv.pop(0);"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and read as Linux does")


def fuzz(count: int | str, seed: int, isolate: str, seconds: float) -> list[str]:
    code = f"{LIMITED} runpy.run_module('tests.fuzz', run_name='__main__')"
    command = [sys.executable, "-c", code, "fuzz", str(count), str(seed), isolate]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, cwd=ROOT)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    return done.stdout.splitlines()


@pytest.mark.parametrize("isolate", ["auto", "always"])
def test_some_hundred(isolate: str) -> None:
    *kinds, grown = fuzz(720, 11, isolate, 240)
    assert len(kinds) > 15
    assert float(grown.split()[1]) < 60


@pytest.mark.slow
@pytest.mark.parametrize("isolate", ["auto", "always", "never"])
def test_five_thousand(isolate: str) -> None:
    *_, grown = fuzz(5000, int(os.environ.get("PTOCR_SEED", "5")), isolate, 1800)
    assert float(grown.split()[1]) < 60


@pytest.mark.slow
def test_an_hour() -> None:
    """`.ci/run` has the short form, a minute with a seed of its day."""
    *_, grown = fuzz("3600s", int(os.environ.get("PTOCR_SEED", "17")), "auto", 4000)
    assert float(grown.split()[1]) < 60
