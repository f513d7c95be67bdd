"""The documentation builds as a site without a dead link, and the notebook's cells run."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image


def test_site_builds(checkout: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("needs the extra 'docs'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    start = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "fonts.googleapis.com" not in start  # nothing is loaded from elsewhere
    assert (tmp_path / "site" / "faq" / "index.html").is_file()


@pytest.mark.weights("PP-OCRv6_small_det", "PP-OCRv6_small_rec", "ch_ppocr_mobile_v2.0_cls")
def test_notebook_runs(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Image.open(checkout / "docs" / "images" / "latin_page.png").convert("RGB").crop((0, 0, 860, 150))
    page.save(tmp_path / "page.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    cells = json.loads((checkout / "docs" / "quickstart.ipynb").read_text("utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert "million parameters" in capsys.readouterr().out


def test_table_of_models_is_what_the_specs_say(checkout: Path) -> None:
    command = [sys.executable, str(checkout / "tools" / "models_table.py"), "--check"]
    assert subprocess.run(command).returncode == 0, "python tools/models_table.py writes it anew"
