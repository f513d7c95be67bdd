"""PaddleOCR2Pytorch's documented commands, all of them, with its weights' names and its YAML files.

tests/data/compat/paddleocr2pytorch.json holds the arguments of doc/doc_en/inference_en.md and doc/doc_ch/inference.md,
with the model whose weights each command is given. Weights are random.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from ptocr import paths
from ptocr.checkpoint import Checkpoint, empty_network, save_checkpoint
from ptocr.cli import infer, main
from ptocr.convert.paddle_yaml import spec_from_paddle
from tests.compat.test_algorithms import as_paddleocr2pytorch
from tests.random_models import random_checkpoint

DATA = Path(__file__).resolve().parents[1] / "data" / "compat"
COMMANDS: list[dict[str, Any]] = json.loads((DATA / "paddleocr2pytorch.json").read_text(encoding="utf-8"))
NETWORKS: dict[str, Any] = json.loads((DATA / "algorithms.json").read_text(encoding="utf-8"))
# cheap ones, of each kind; all run with `-m slow`
QUICK = {
    "your_det_mv3_east_v2.0_infer_path.pth",
    "your_det_mv3_pse_v2.0_infer_path.pth",
    "your_en_ptocr_v3_rec_infer_path.pth",
    "your_ch_ptocr_v4_rec_infer_path.pth",
    "PP-LCNet_x1_0_doc_ori_infer.pth",
}
STANDS_FOR = {"your_char_type": "ch", "your_dict.txt": "ppocr_keys_v1.txt", "FONT": "font.ttf"}


def weights_of(command: dict[str, Any]) -> set[str]:
    arguments = command["arguments"]
    return {arguments[arguments.index(f"--{flag}") + 1] for flag in command["models"]}


def quick(command: dict[str, Any]) -> bool:
    return weights_of(command) <= QUICK


EACH = [
    pytest.param(command, id=f"{number}", marks=[] if quick(command) else [pytest.mark.slow])
    for number, command in enumerate(COMMANDS)
]


def configured(name: str, folder: Path) -> Path:
    """The YAML file of a network."""
    content = {key: value for key, value in NETWORKS[name].items() if key != "model"}
    if name.startswith(("ch_", "PP-OCR")):
        content["Global"] = {"character_dict_path": "pytorchocr/utils/ppocr_keys_v1.txt", "use_space_char": True}
    if name.startswith(("rec_icdar15_train", "rec_mv3_", "rec_r34_")):
        content["Global"] = {"character_type": "en"}
    if name.startswith("det_r50_vd_sast"):
        content["Eval"] = {"dataset": {"transforms": [{"DetResizeForTest": {"resize_long": 256}}]}}
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def state_of(model: str, folder: Path) -> dict[str, torch.Tensor]:
    """Random tensors of a model, or of the network that a YAML file describes, under that project's names."""
    if not model.endswith(".yml"):
        return under_its_names(random_checkpoint(model))
    spec, charset = spec_from_paddle(configured(model.removesuffix(".yml"), folder))
    classes = spec.read_charset(charset or paths.configs() / "charsets" / "ppocr_keys_v1.txt").classes
    network = empty_network(spec.architecture, classes, device="cpu")
    return as_paddleocr2pytorch(Checkpoint(spec, None, "train", network.state_dict()))


def under_its_names(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Recognisers of PP-OCRv3 have their encoder and head outside of a MultiHead there."""
    state = as_paddleocr2pytorch(checkpoint)
    if not checkpoint.spec.name.endswith("PP-OCRv3_mobile_rec"):
        return state
    moved = (("head.ctc_encoder.encoder.", "neck.encoder."), ("head.ctc_head.fc", "head.fc"))
    return {next((t + k.removeprefix(o) for o, t in moved if k.startswith(o)), k): v for k, v in state.items()}


def words_of(command: dict[str, Any], folder: Path) -> list[str]:
    """The arguments, with the files that they name in a folder."""
    arguments = [STANDS_FOR.get(word, word) for word in command["arguments"]]
    for flag, model in command["models"].items():
        torch.save(state_of(model, folder), folder / arguments[arguments.index(f"--{flag}") + 1])
    for word in arguments:
        if word.endswith(".yml"):
            configured(word.removesuffix(".yml"), folder)
        elif (dictionary := paths.configs() / "charsets" / word).is_file():
            (folder / word).write_bytes(dictionary.read_bytes())
    return ["picture.png" if word == "PICTURE" else word for word in arguments]


@pytest.mark.parametrize("command", EACH)
def test_documented_command(
    command: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("picture.png", np.random.default_rng(0).integers(0, 256, (32, 90, 3), np.uint8))
    status = getattr(infer, command["script"])(words_of(command, tmp_path))
    out, err = capsys.readouterr()
    assert status == 0, err
    assert "picture.png: " in out and "error" not in err


def test_all_scripts_and_kinds_are_there() -> None:
    assert len(COMMANDS) >= 65
    assert {command["script"] for command in COMMANDS} == {
        f"predict_{name}" for name in ("det", "rec", "cls", "system", "e2e", "sr")
    }
    assert set().union(*map(weights_of, COMMANDS)) >= QUICK


def test_its_converters_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`converter/NAME_converter.py --yaml_path ... --src_model_path ... --dst_model_path ...` in one script."""
    monkeypatch.chdir(tmp_path)
    torch.save(under_its_names(random_checkpoint("det_mv3_east")), "trained.pth")
    words = ["--yaml_path", str(configured("det_mv3_east", tmp_path)), "--src_model_path", "trained.pth"]
    assert main(["convert", *words, "--dst_model_path", "east_infer.pth"]) == 0
    assert Path("east_infer.pth").is_file()


def test_labels_are_those_of_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path / "home"))
    save_checkpoint(tmp_path / "cls.pth", random_checkpoint("ch_ppocr_mobile_v2.0_cls"))
    words = ["--cls_model_path", str(tmp_path / "cls.pth"), "--image_dir", str(tmp_path), "--label_list"]
    assert infer.predict_cls([*words, "0", "90", "180", "270"]) == 2
    assert "has the classes 0 180" in capsys.readouterr().err
