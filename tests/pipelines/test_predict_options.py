"""Impossible settings are refused where they are said, with key and value, before any picture or model is touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

import ptocr
from ptocr.cli import main
from ptocr.cli.infer import predict_det, predict_system
from ptocr.errors import SpecError
from ptocr.pipelines import config


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*args: object, **kwargs: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("ptocr.weights.store.load", load)


@pytest.mark.usefixtures("no_models")
def test_in_a_pipeline_file(tmp_path: Path) -> None:
    data = config.load_pipeline("OCR").model_dump(mode="json")
    data["SubModules"]["TextDetection"]["limit_side_len"] = -5
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data), "utf-8")
    with pytest.raises(SpecError, match=r"mine\.yaml: SubModules\.TextDetection\.limit_side_len: .*, got -5"):
        ptocr.create_pipeline(path, device="cpu")


@pytest.mark.usefixtures("no_models")
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("text_det_limit_side_len", -5),
        ("text_det_unclip_ratio", 0),
        ("text_det_box_thresh", 1.5),
        ("text_rec_image_shape", (3, 0, 320)),
        ("textline_orientation_image_shape", (3, 48, -1)),
    ],
)
def test_in_a_call(option: str, value: object) -> None:
    wrong = value if not isinstance(value, tuple) else min(value)
    with pytest.raises(SpecError, match=rf"{option}.*, got {wrong}"):
        ptocr.create_pipeline("OCR", device="cpu", **{option: value})
    pipeline = ptocr.create_pipeline("OCR", device="cpu")
    with pytest.raises(SpecError, match=rf"{option}.*, got {wrong}"):
        pipeline.predict(np.zeros((32, 32, 3), np.uint8), **{option: value})


@pytest.mark.usefixtures("no_models")
def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "page.png"
    picture.write_bytes(b"")
    with pytest.raises(SystemExit) as stopped:  # argparse refuses it before anything is loaded
        main(["ocr", str(picture), "--text_det_limit_side_len", "-5"])
    assert stopped.value.code == 2
    assert "argument --text_det_limit_side_len: -5 must be 1 or more" in capsys.readouterr().err
    assert predict_system(["--image_dir", str(picture), "--det_limit_side_len", "-5"]) == 2
    assert "text_det_limit_side_len: " in (said := capsys.readouterr().err) and "got -5" in said


def test_of_one_model_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.random_models import random_checkpoint

    monkeypatch.setattr("ptocr.weights.store.load", lambda *args: random_checkpoint("PP-OCRv4_mobile_det"))
    picture = tmp_path / "page.png"
    picture.write_bytes(b"")
    assert predict_det(["--image_dir", str(picture), "--det_limit_side_len", "-5", "--device", "cpu"]) == 2
    assert "limit_side_len: " in (said := capsys.readouterr().err) and "got -5" in said
