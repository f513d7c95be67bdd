"""The Python blocks of docs/inputs_and_outputs.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pypdfium2 as pdfium
import pytest


def test_blocks_run(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (checkout / "docs" / "inputs_and_outputs.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    (tmp_path / "docs").symlink_to(checkout / "docs", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, "inputs_and_outputs.md", "exec"), {})
    assert (tmp_path / "build" / "out.txt").read_text(encoding="utf-8") == "Turn me around, please: 180 degrees\n"
    found = pdfium.PdfDocument(str(tmp_path / "build" / "out.pdf"))[0].get_textpage().get_text_range()
    assert found == "Turn me around, please: 180 degrees"
