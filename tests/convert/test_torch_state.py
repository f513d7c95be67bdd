"""Plain PyTorch state dicts, as PaddleOCR2Pytorch keeps them: converted where every tensor fits, else a clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ptocr.checkpoint import empty_network, save_checkpoint
from ptocr.convert.convert import convert
from ptocr.convert.fingerprint import layout
from ptocr.convert.formats.torch_state import _name
from ptocr.errors import WeightsError
from ptocr.spec.model import load_spec
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


NAMES = {  # of PaddleOCR2Pytorch's networks -> Paddle's
    "backbone.stages.2.1.mid_se.conv1.weight": "backbone.stage2.1.mid_se.conv1.weight",
    "backbone.stages.3.4.bn.running_var": "backbone.stage3.4.bn._variance",
    "backbone.stages.0.bb_0_0.conv0._conv.weight": "backbone.bb_0_0.conv0._conv.weight",
    "backbone.stages.1.res3a.conv0._conv.weight": "backbone.res3a.conv0._conv.weight",
    "neck.fpn_convs_module.fpn_res3_sum.weight": "neck.fpn_res3_sum.weight",
    "transform.block1.1.weight": "transform.block1.1._weight",
    "proj": "head.distribution_project.project",
    "backbone.block_list.bb_1_2.conv1._conv.weight": "backbone.bb_1_2.conv1._conv.weight",
}


def test_names_of_its_networks() -> None:
    """And those that Paddle has are no others of these."""
    assert {name: _name(name) for name in NAMES} == NAMES
    for model in ("PP-OCRv4_server_det", "PP-OCRv5_server_det", "ch_RepSVTR_rec", "ch_SVTRv2_rec", "det_mv3_db"):
        names = [name for name in layout(empty_network(load_spec(model).architecture, 97)) if "bn" not in name]
        assert [_name(name) for name in names] == names, model
