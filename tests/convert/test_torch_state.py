"""Plain PyTorch state dicts, as PaddleOCR2Pytorch keeps them: converted where every tensor fits, else a clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ptocr.checkpoint import save_checkpoint
from ptocr.convert.convert import convert
from ptocr.errors import WeightsError
from ptocr.weights import store
from tests.random_models import random_checkpoint

MODELS = ("PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec", "ch_ppocr_mobile_v2.0_cls")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_state_dict_is_recognised_and_converted(name: str, wrapped: bool, tmp_path: Path) -> None:
    original = random_checkpoint(name)
    state = {f"module.{k}" if wrapped else k: v for k, v in original.state_dict.items()}
    path = tmp_path / f"{name}_infer.pth"
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, path)
    found = convert(path)
    assert found.spec.name == name and found.form == "train" and found.source["format"] == "torch"
    assert set(found.state_dict) == set(original.state_dict)
    for key, tensor in original.state_dict.items():
        assert torch.equal(found.state_dict[key], tensor), key


def test_it_is_taken_wherever_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOCR_HOME", str(tmp_path / "home"))
    original = random_checkpoint("ch_ppocr_mobile_v2.0_cls")
    torch.save(original.state_dict, tmp_path / "cls.pth")
    loaded = store.load(str(tmp_path / "cls.pth"))
    assert loaded.spec.name == "ch_ppocr_mobile_v2.0_cls"
    save_checkpoint(tmp_path / "ours.pth", original)
    assert store.find(tmp_path / "ours.pth") == tmp_path / "ours.pth"


def test_what_is_no_model_of_ours_is_said(tmp_path: Path) -> None:
    path = tmp_path / "det_mv3_east_v2.0_infer.pth"
    torch.save({"backbone.conv.weight": torch.zeros(8, 3, 3, 3)}, path)
    with pytest.raises(WeightsError, match="these weights belong to no model that ptocr knows"):
        convert(path)
    with pytest.raises(WeightsError, match="do not fit PP-OCRv4_mobile_det"):
        convert(path, model="PP-OCRv4_mobile_det")
    torch.save([1, 2, 3], path)
    with pytest.raises(WeightsError, match="holds no state dict of tensors"):
        convert(path)
