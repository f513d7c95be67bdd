"""`ptocr/runtime/cpu` can be deleted as a whole: what the kernels speed up works without them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr.runtime.compiled import package_path
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.placed import PlacedNetwork
from ptocr.runtime.runtime import Runtime
from tests.random_models import random_checkpoint

CPU = torch.device("cpu")
PARTS = ("ptocr", "configs", "tests", "tools", "docs", "pyproject.toml", "setup.py", "README.md")
CONTRACTS = ["tests/contracts/test_tasks.py", "tests/runtime/test_session.py", "tests/runtime/test_runtime.py"]
MORE = ["tests/contracts", "tests/runtime", "tests/predictors", "tests/pipelines"]
GONE = shutil.ignore_patterns("__pycache__", "*.pyc")


WITHOUT_KERNELS = """
import sys
sys.modules["ptocr.runtime.cpu"] = None  # what is imported now is as if the folder were not there
import numpy as np, torch
from ptocr.runtime.compiled import package_path
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.placed import PlacedNetwork
from ptocr.runtime.runtime import Runtime
from ptocr.predictors.classification import Classifier
from ptocr.predictors.detection import TextDetector
from ptocr.predictors.recognition import TextRecognizer
from tests.random_models import random_checkpoint

options = RuntimeOptions(device="cpu", compile="auto")
page = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
out = {}
det = Runtime(random_checkpoint("PP-OCRv4_mobile_det"), options)
TextDetector(det)(page)
out["det"] = det.run(np.random.default_rng(1).standard_normal((1, 3, 64, 96), dtype=np.float32))[0]
rec = Runtime(random_checkpoint("PP-OCRv4_mobile_rec"), options)
TextRecognizer(rec)([page, page[:, :50]])
out["rec"] = rec.all_classes.run(np.random.default_rng(2).standard_normal((1, 3, 48, 96), dtype=np.float32))[0]
cls = Runtime(random_checkpoint("ch_ppocr_mobile_v2.0_cls"), options)
Classifier(cls)([page])
assert not any(name.startswith("ptocr.runtime.cpu.") for name in sys.modules)
assert not hasattr(torch.ops.ptocr, "convs")
print(package_path(PlacedNetwork(cls.checkpoint, torch.device("cpu"), torch.float32)).name)
np.savez(sys.argv[1], **out)
"""


def test_answers_are_its_own_without_the_folder(tmp_path: Path, checkout: Path) -> None:
    """To rounding, and packages under keys of their own."""
    file = tmp_path / "out.npz"
    command = [sys.executable, "-c", WITHOUT_KERNELS, str(file)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cls = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    assert done.stdout.strip() != package_path(PlacedNetwork(cls, CPU, torch.float32)).name
    options = RuntimeOptions(device="cpu")
    det = Runtime(random_checkpoint("PP-OCRv4_mobile_det"), options)
    rec = Runtime(random_checkpoint("PP-OCRv4_mobile_rec"), options)
    with np.load(file) as theirs:
        x = np.random.default_rng(1).standard_normal((1, 3, 64, 96), dtype=np.float32)
        np.testing.assert_allclose(theirs["det"], det.run(x)[0], atol=1e-5)
        x = np.random.default_rng(2).standard_normal((1, 3, 48, 96), dtype=np.float32)
        np.testing.assert_allclose(theirs["rec"], rec.all_classes.run(x)[0], atol=1e-5)


@pytest.mark.parametrize("tests", [CONTRACTS, pytest.param(MORE, marks=pytest.mark.slow)], ids=["short", "all"])
def test_contracts_hold_in_a_tree_without_the_folder(tests: list[str], tmp_path: Path, checkout: Path) -> None:
    for name in PARTS:
        source = checkout / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=GONE)
        else:
            shutil.copy(source, tmp_path)
    for folder in ("ptocr/runtime/cpu", "tests/runtime/cpu"):
        shutil.rmtree(tmp_path / folder)
    (tmp_path / "tests" / "runtime" / Path(__file__).name).unlink()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    command += ["-m", "not slow and not net and not weights"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
