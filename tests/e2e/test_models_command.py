"""`ptocr models` lists every model; what is here is told from what would have to be fetched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ptocr.checkpoint import save_checkpoint
from ptocr.cli import main
from ptocr.spec.model import list_specs
from tests.random_models import random_checkpoint


def test_every_model_with_its_weights_here_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PTOCR_WEIGHTS", str(tmp_path))
    save_checkpoint(tmp_path / "ch_ppocr_mobile_v2.0_cls.pth", random_checkpoint("ch_ppocr_mobile_v2.0_cls"))
    assert main(["models", "--task", "cls", "--format", "json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert sorted(rows) == list_specs("cls")
    assert {name for name, row in rows.items() if row["local"]} == {"ch_ppocr_mobile_v2.0_cls"}
    assert rows["PP-LCNet_x1_0_doc_ori"]["parameters"] == pytest.approx(1.68e6, rel=0.01)
    assert main(["models", "--task", "cls"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "task", "languages", "parameters", "size", "here", "sources"]
    assert [" yes " in line for line in lines[1:]] == ["v2.0_cls" in line for line in lines[1:]]


def names(flags: list[str], capsys: pytest.CaptureFixture[str]) -> set[str]:
    assert main(["models", "--format", "json", *flags]) == 0
    return {row["name"] for row in json.loads(capsys.readouterr().out)}


def test_by_language_and_by_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PTOCR_WEIGHTS", str(tmp_path))
    korean = {"korean_PP-OCRv3_mobile_rec", "korean_PP-OCRv5_mobile_rec", "korean_mobile_v2.0_rec"}
    assert names(["--lang", "ko"], capsys) == names(["--lang", "korean", "--task", "rec"], capsys) == korean
    assert {"PP-OCRv6_small_rec", "latin_PP-OCRv5_mobile_rec"} <= names(["--lang", "fr,de"], capsys)
    assert not names(["--lang", "ko,fr"], capsys)
    assert main(["models", "--lang", "koreans"]) == 2
    assert "did you mean" in capsys.readouterr().err
    monkeypatch.setattr("ptocr.paths.checkout_weights", lambda: None)
    (tmp_path / "UVDoc.pth").write_bytes(b"x")
    assert names(["--local"], capsys) == {"UVDoc"}


def test_config_keeps_a_file_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mine.yaml"
    assert main(["config", "ocr", "--save_path", str(target)]) == 0
    target.write_text("mine")
    assert main(["config", "OCR", "--save_path", str(target)]) == 2
    assert "exists already; --overwrite replaces it" in capsys.readouterr().err and target.read_text() == "mine"
    assert main(["config", "OCR", "--save_path", str(target), "--overwrite"]) == 0
    assert "pipeline_name" in target.read_text()


def test_the_list_needs_no_torch() -> None:
    code = "import sys\nfrom ptocr.cli import main\nassert main(['models']) == 0 and 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "PP-OCRv6_small_rec" in done.stdout, done.stderr
