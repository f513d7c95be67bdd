"""Pages run in environments with exactly what each of them says to install: minutes, and the package index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.run_documents import BLOCK, RUN, STORY, commands, extras_of

PAGES = ("api", "deploy", "finetune", "inputs_and_outputs", "migrate_from_doctr", "migrate_from_paddleocr",
         "migrate_from_rapidocr", "models", "pipeline", "recipes", "serving", "structure")  # fmt: skip


@pytest.mark.slow
@pytest.mark.net
@pytest.mark.parametrize("page", PAGES)
def test_page(page: str, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`tools/run_documents.py --environments`; pages with the same extras share one. Training is short: see there."""
    folder = tmp_path_factory.getbasetemp() / "environments"
    command = [sys.executable, str(checkout / "tools" / "run_documents.py"), "--environments", str(folder), "--short"]
    done = subprocess.run([*command, f"docs/{page}.md"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_page_with_commands_is_run_somewhere(checkout: Path) -> None:
    """README and quick start in CI's bare environment, the rest above; figures need other systems, or hours."""
    elsewhere = {"quickstart", "benchmarks", "parity", "add_a_model", "faq", "compatibility", "languages"}
    found = set()
    for path in (checkout / "docs").glob("*.md"):
        text = path.read_text("utf-8")
        blocks = BLOCK.findall(text)
        lines = [line for kind, code in blocks for line in commands(kind, code)]
        if STORY in text or any(kind == "python" for kind, _ in blocks) or any(line.startswith(RUN) for line in lines):
            found.add(path.stem)
    assert found - elsewhere <= set(PAGES), sorted(found - elsewhere - set(PAGES))
    assert extras_of((checkout / "docs" / "finetune.md").read_text("utf-8")) == ("train",)
