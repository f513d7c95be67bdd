"""Converting the recogniser of PP-OCRv4 takes less than 3 s and 1 GB (interpreter and torch included)."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptocr.checkpoint import empty_network
from ptocr.convert.fingerprint import layout
from ptocr.spec.model import load_spec

MEASURE = """
import json, re, sys, time
import torch
from ptocr.checkpoint import empty_network, save_checkpoint
from ptocr.convert.convert import convert
begun = time.process_time()
save_checkpoint(sys.argv[2], convert(sys.argv[1], model="PP-OCRv4_mobile_rec"))
seconds = time.process_time() - begun
# not ru_maxrss, which counts the parent of the fork as well
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(json.dumps([seconds, int(peak[1]) / 1024]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units elsewhere")
def test_time_and_memory(tmp_path: Path) -> None:
    spec = load_spec("PP-OCRv4_mobile_rec")
    shapes = layout(empty_network(spec.architecture, spec.classes, train=True))
    source = tmp_path / "model.pdparams"
    source.write_bytes(pickle.dumps({name: np.ones(shape, np.float32) for name, shape in shapes.items()}, protocol=4))
    assert source.stat().st_size > 80e6
    command = [sys.executable, "-c", MEASURE, str(source), str(tmp_path / "model.pth")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    seconds, megabytes = json.loads(done.stdout)
    assert seconds < 3
    assert megabytes < 1000
