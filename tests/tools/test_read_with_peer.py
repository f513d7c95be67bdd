"""Another system reads a corpus: its texts become predictions, what it cannot read counts as empty."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

ENGINE = """
class OcrEngine:
    def __init__(self, model_size, threads): pass
    def ocr(self, data):
        if data[:4] == b"GIF8": raise ValueError("no GIF")
        return {"bounds": {"1": {"text": "second"}, "0": {"text": "first"}}}
"""


def test_texts_become_predictions(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "faster_paddle.py").write_text(ENGINE, "utf-8")
    (tmp_path / "pages").mkdir()
    white, entry = Image.new("RGB", (40, 30), "white"), {"kind": "page", "lang": "en", "lines": [{"text": "first"}]}
    white.save(tmp_path / "pages" / "a.png")
    white.save(tmp_path / "pages" / "b.gif")
    white.save(tmp_path / "pages" / "c.pdf", save_all=True, append_images=[white])
    truth = {"pages/a.png": entry, "pages/b.gif": entry, "pages/c.pdf": {**entry, "pages": [[], entry["lines"]]}}
    (tmp_path / "truth.json").write_text(json.dumps(truth), "utf-8")
    command = [sys.executable, str(checkout / "tools" / "read_with_peer.py"), "faster-paddle", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout), str(tmp_path)])}
    done = subprocess.run([*command, "--save", str(tmp_path / "out.json")], env=environment, capture_output=True)
    assert done.returncode == 0 and b"b.gif: ValueError: no GIF" in done.stderr, done.stderr
    files = json.loads((tmp_path / "out.json").read_text("utf-8"))["files"]
    read = {key: [line["text"] for line in entry["lines"]] for key, entry in files.items()}
    assert read == {"pages/a.png": ["first", "second"], "pages/b.gif": [], "pages/c.pdf#2": ["first", "second"]}
