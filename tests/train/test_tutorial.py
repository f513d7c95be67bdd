"""docs/finetune.md, its commands and recipe as they stand there, with fewer pictures and steps."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import yaml

from ptocr.checkpoint import load_checkpoint
from ptocr.data import synth
from ptocr.errors import InputError


def blocks(text: str, language: str) -> list[str]:
    """Contents of the fenced blocks of a language ("" for commands)."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [content for name, content in fenced if name == language]


@pytest.mark.weights("PP-OCRv4_mobile_rec")
def test_the_tutorial_runs(checkout, tmp_path):
    try:
        synth.find_fonts(["DejaVuSans"])
    except InputError as error:
        pytest.skip(str(error))
    text = (checkout / "docs" / "finetune.md").read_text(encoding="utf-8")
    tutorial = text.split("## A better recogniser", 1)[1].split("### What to expect", 1)[0]
    for name in ("configs", "docs", "tools"):
        (tmp_path / name).symlink_to(checkout / name, target_is_directory=True)
    demo = tmp_path / "demo"
    demo.mkdir()
    (recipe,) = blocks(tutorial, "yaml")
    (demo / "mine.yaml").write_text(recipe, encoding="utf-8")
    assert yaml.safe_load(recipe)["extends"] == "rec_finetune"
    script = "\n".join(blocks(tutorial, ""))
    assert script.count("ptocr ") == 4 and script.count("tools/synth.py lines") == 3
    script = re.sub(r'"(\w+) \d+ (\d+)"', r'"\1 6 \2"', script)  # few lines of each set
    script = re.sub(r"--fonts [\w ]+", "--fonts DejaVuSans ", script)
    script = re.sub(r"^(ptocr train .*)$", r"\1 -o run.max_steps=2 data.batch_size=2", script, flags=re.MULTILINE)
    ptocr = f"{sys.executable} -c 'from ptocr.cli.commands import main; exit(main())'"
    script = f'set -e\nptocr() {{ {ptocr} "$@"; }}\npython() {{ {sys.executable} "$@"; }}\n{script}'
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert len(list((demo / "keep_chinese" / "images").iterdir())) == 6
    read = (demo / "dev_pages" / "rec_gt.txt").read_text(encoding="utf-8")
    assert read.count("\n") >= 20 and "欢迎使用文字识别" in read
    trained = load_checkpoint(tmp_path / "output" / "mine" / "last.pth")
    assert trained.source["trained"]["step"] == 2 and "€" in trained.charset and "中" in trained.charset
