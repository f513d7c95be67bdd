"""docs/finetune.md, its commands and recipe as they stand there, with fewer pictures and steps."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest
import yaml

from ptocr.checkpoint import load_checkpoint
from ptocr.errors import InputError
from ptocr.train import synth


def blocks(text: str, language: str) -> list[str]:
    """Contents of the fenced blocks of a language ("" for commands)."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [content for name, content in fenced if name == language]


@pytest.mark.weights("PP-OCRv4_mobile_rec")
def test_the_tutorial_runs(checkout, tmp_path):
    try:
        synth.find_fonts(["DejaVu"])
    except InputError as error:
        pytest.skip(str(error))
    text = (checkout / "docs" / "finetune.md").read_text(encoding="utf-8")
    tutorial = text.split("## A better recogniser", 1)[1].split("### What to expect", 1)[0]
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(checkout / name, target_is_directory=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    (recipe,) = blocks(tutorial, "yaml")
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.yaml").write_text(recipe, encoding="utf-8")
    assert yaml.safe_load(recipe)["extends"] == "rec_finetune"
    commands = [line for block in blocks(tutorial, "") for line in block.replace("\\\n", " ").splitlines()]
    assert [shlex.split(c)[0] for c in commands] == ["python"] * 3 + ["ptocr"] * 3 + ["python"]
    for command in commands:
        command = re.sub(r"--count +\d+", "--count 6", command)
        if command.startswith("ptocr train"):
            command += " -o run.max_steps=2 data.batch_size=2"
        command = re.sub(
            r"^ptocr ", f"{sys.executable} -c 'from ptocr.cli.commands import main; exit(main())' ", command
        )
        command = re.sub(r"^python ", f"{sys.executable} ", command)
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if "--seed 2" in command:  # what a reader brings along: a base set and unlabelled lines
            (tmp_path / "demo" / "base").symlink_to(tmp_path / "demo" / "val")
            (tmp_path / "demo" / "crops").symlink_to(tmp_path / "demo" / "val" / "images")
    trained = load_checkpoint(tmp_path / "output" / "mine" / "last.pth")
    assert trained.source["trained"]["step"] == 2 and "€" in trained.charset and "中" in trained.charset
