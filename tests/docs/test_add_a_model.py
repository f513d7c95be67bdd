"""The walk-through of docs/add_a_model.md, made in a copy of the source tree and run there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```(?:python|yaml)\n# (?P<head>[^\n]+)\n(?P<body>.*?)^```", re.M | re.S)
INSERTED = re.compile(r"in (?P<file>\S+), (?P<side>after|before): (?P<line>.+)")

CHECK = """
import numpy as np, torch, ptocr
from ptocr.checkpoint import Checkpoint, save_checkpoint
from ptocr.predictors.brightness_meter import BrightnessMeter
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import load_spec

for name in ("toy_rec", "toy_brightness"):
    assert name in ptocr.list_models(), name
    network, spec = ptocr.build_model(name), load_spec(name)
    save_checkpoint(f"{name}.pth", Checkpoint(spec, spec.load_charset(), "train", network.state_dict()))
image = np.random.RandomState(0).randint(0, 255, (48, 320, 3), np.uint8)
(line,) = ptocr.create_model("toy_rec", model_dir="toy_rec.pth", device="cpu").predict(image)
assert isinstance(line["rec_text"], str) and 0 <= line["rec_score"] <= 1
from ptocr.checkpoint import load_checkpoint
meter = BrightnessMeter(Runtime(load_checkpoint("toy_brightness.pth"), RuntimeOptions(device="cpu")))
network = ptocr.load_model("toy_brightness.pth")
(value,) = meter([np.full((32, 32, 3), 255, np.uint8)])
assert abs(value - float(network(torch.ones(1, 3, 32, 32)))) < 1e-5
(result,) = ptocr.create_model("toy_brightness", model_dir="toy_brightness.pth", device="cpu").predict(image)
assert abs(result["brightness"] - meter([image])[0]) < 1e-6
print("read", len(line["rec_text"]), "brightness", value)
"""


@pytest.fixture(scope="module")
def tree(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its configs with every block of the document in its place."""
    root = tmp_path_factory.mktemp("tree")
    for name in ("ptocr", "configs"):
        shutil.copytree(checkout / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    blocks = list(BLOCK.finditer((checkout / "docs" / "add_a_model.md").read_text("utf-8")))
    assert len(blocks) > 10
    for block in blocks:
        place = INSERTED.fullmatch(block["head"])
        if place is None:
            target = root / block["head"]
            assert not target.exists(), target
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block["body"], "utf-8")
            continue
        target = root / place["file"]
        text = target.read_text("utf-8")
        assert text.count(f"{place['line']}\n") == 1, f"{place['file']}: {place['line']!r}"
        parts = (f"{place['line']}\n", block["body"])
        ordered = parts if place["side"] == "after" else (f"{block['body']}\n\n", parts[0])
        target.write_text(text.replace(parts[0], "".join(ordered)), "utf-8")
    return root


def test_what_the_walk_through_makes_runs(tree: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CHECK], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "brightness" in done.stdout


def test_without_its_row_the_task_is_unknown(tree: Path, checkout: Path) -> None:
    """The check above can fail: in the tree as it is, the spec of the walk-through is refused."""
    code = (
        f"from ptocr.spec.model import load_spec; load_spec({str(tree / 'configs/brightness/toy_brightness.yaml')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True)
    assert done.returncode != 0 and "brightness" in done.stderr
