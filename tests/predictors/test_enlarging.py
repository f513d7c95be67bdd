"""Text super-resolution: its pictures against PaddleOCR 2.10's, and PaddleOCR2Pytorch's documented command."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from ptocr.cli.infer import predict_rec, predict_sr
from ptocr.convert.convert import convert
from ptocr.processing.enlarge import zoom_input, zoom_output
from ptocr.spec.model import load_spec
from tests.processing.test_fixed_line import line
from tests.random_models import random_checkpoint

UPSTREAM = (0.34902, 0.509804, 0.972549, 0.811765, 0.500394)


def test_input_as_upstream() -> None:
    made = zoom_input(line(), 16, 64)
    places = (made[0, 8, 21], made[-1, 5, 9], made[0, 1, 32], made[-1, -2, -2], made.mean(dtype=np.float64))
    assert made.shape == (3, 16, 64) and made.dtype == np.float32
    np.testing.assert_allclose(places, UPSTREAM, rtol=0, atol=2e-6)


def test_output_is_cut_off_and_bgr() -> None:
    output = np.zeros((3, 2, 2), np.float32)
    output[0], output[1] = 1.5, -0.5
    np.testing.assert_array_equal(zoom_output(output)[0, 0], [0, 0, 255])


@pytest.mark.parametrize("name", ["sr_telescope", "sr_tsrn_transformer_strock"])
def test_documented_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    network = load_spec(name).architecture["network"]["name"]
    described = {"model_type": "sr", "Transform": {"name": network, "STN": True, "infer_mode": True}}
    Path("sr.yml").write_text(yaml.safe_dump({"Architecture": described}), encoding="utf-8")
    state = dict(random_checkpoint(name).state_dict)
    state["transform.stn_head.stn_fc2.bias"] = torch.zeros(40)  # what training alone has
    torch.save(state, "sr_infer.pth")
    assert convert("sr_infer.pth").spec.name == name
    cv2.imwrite("word.png", line())
    words = ["--sr_yaml_path", "sr.yml", "--sr_model_path", "sr_infer.pth", "--image_dir", "word.png"]
    status = predict_sr(words)
    out, err = capsys.readouterr()
    assert status == 0, err
    assert "word.png: " in out and cv2.imread("infer_result/sr_word.png").shape == (32, 128, 3)
    assert predict_sr(["--image_dir", "word.png"]) == 2
    # lines of one name, and an input of a result's name
    Path("other").mkdir()
    for place in ("other/word.png", "sr_word.png"):
        cv2.imwrite(place, 255 - line())
    assert predict_sr([*words, "other/word.png"]) == 0
    assert {path.name for path in Path("infer_result").iterdir()} == {"sr_word.png", "sr_word~2.png"}
    before = Path("sr_word.png").read_bytes()
    assert predict_sr([*words, "sr_word.png", "--draw_img_save_dir", "."]) == 2
    assert Path("sr_word.png").read_bytes() == before
    capsys.readouterr()
    assert predict_rec([*words, "--rec_model_path", "sr_infer.pth"]) == 2
    assert "predict_sr.py" in capsys.readouterr().err
