"""The scripts of `tools/` run from any directory, as `python PATH/tools/NAME.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = (
    "benchmark",
    "class_centers",
    "compare_algorithms",
    "compare_official",
    "compare_ways",
    "engines_table",
    "eval_corpus",
    "eval_languages",
    "parity_report",
    "read_with_peer",
    "run_documents",
    "synth",
    "train",
    "eval",
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_how_it_is_used(name: str, checkout: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(checkout / "tools" / f"{name}.py"), "--help"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout and f"{name}" in done.stdout


def test_the_wheel_has_no_code_of_this_project_alone(checkout: Path) -> None:
    """What measures ptocr beside others, or compares it with Paddle's numbers, lies in tools/."""
    names = {path.stem for path in (checkout / "ptocr" / "evaluation").glob("*.py")}
    ours = {
        "corpus",
        "layout_scores",
        "metrics",
        "models",
        "pipelines",
        "reading",
        "structure_corpus",
        "teds",
        "zoom_metric",
    }
    assert names == {"__init__", "text_metrics", *ours}
