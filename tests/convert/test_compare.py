"""The parity report finds the first layer that differs."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr.checkpoint import Checkpoint, save_checkpoint
from ptocr.cli import main
from ptocr.convert.compare import compare_weights, verify
from ptocr.convert.convert import convert
from ptocr.convert.goldens import picture_of
from ptocr.errors import WeightsError
from tests.convert import tiny
from tools.parity import synthetic

DAMAGED = ("backbone.blocks4.1.pw_conv.reparam_conv.weight", "head.ctc_head.fc.bias")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return convert(tiny.archive("pir"), model=tiny.spec())


def damaged(checkpoint: Checkpoint, *names: str, by: float = 0.01) -> Checkpoint:
    state = {key: value.clone() for key, value in checkpoint.state_dict.items()}
    for name in names:
        state[name].view(-1)[3] += by
    return dataclasses.replace(checkpoint, state_dict=state)


@pytest.fixture
def pth(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "good.pth", checkpoint)
    return tmp_path / "good.pth"


@pytest.fixture
def bad(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "bad.pth", damaged(checkpoint, *DAMAGED))
    return tmp_path / "bad.pth"


@pytest.mark.parametrize("name", DAMAGED)
def test_one_changed_value_is_found(checkpoint: Checkpoint, name: str) -> None:
    result = compare_weights(damaged(checkpoint, name, by=1e-4), checkpoint)
    assert [row.name for row in result.rows if not row.ok] == [name.rpartition(".")[0]]


def test_not_a_number_is_a_difference(checkpoint: Checkpoint) -> None:
    result = compare_weights(damaged(checkpoint, DAMAGED[0], by=float("nan")), checkpoint)
    assert result.first is not None and result.first.name == DAMAGED[0].rpartition(".")[0]


def test_first_in_order_of_execution(bad: Path, pth: Path) -> None:
    result = verify(bad, pth)
    assert result.first is not None and result.first.name == "backbone.blocks4.1.pw_conv.reparam_conv"
    assert sum(not row.ok for row in result.rows) == 2


@pytest.mark.parametrize("kind", ["train", "legacy", "pir"])
def test_against_every_format(bad: Path, pth: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    against = str(tiny.archive(kind))
    assert main(["verify", str(pth), "--against", against]) == 0
    assert "equals" in capsys.readouterr().out
    assert main(["verify", str(bad), "--against", against]) == 1
    assert "the first is backbone.blocks4.1.pw_conv.reparam_conv" in capsys.readouterr().out


def test_folded_and_separate_batch_norms_are_the_same(checkpoint: Checkpoint) -> None:
    state = dict(checkpoint.state_dict)
    bn, conv = "head.ctc_encoder.encoder.conv1.norm", "head.ctc_encoder.encoder.conv1.conv.weight"
    scale = state[f"{bn}.weight"] / torch.sqrt(state[f"{bn}.running_var"] + 1e-5)
    state[conv] = state[conv] * scale[:, None, None, None]
    state[f"{bn}.bias"] = state[f"{bn}.bias"] - state[f"{bn}.running_mean"] * scale
    state[f"{bn}.running_mean"] = torch.zeros_like(scale)
    state[f"{bn}.running_var"] = torch.ones_like(scale)
    state[f"{bn}.weight"] = torch.full_like(scale, (1 + 1e-5) ** 0.5)
    result = compare_weights(dataclasses.replace(checkpoint, state_dict=state), checkpoint)
    assert result.ok, result.first


def test_stored_outputs(bad: Path, pth: Path, tmp_path: Path) -> None:
    picture, output = tiny.golden()
    golden = tmp_path / "golden.npz"
    np.savez(golden, in0=picture, out0=output)
    for against in (golden, tmp_path):
        assert verify(pth, against).ok
    result = verify(bad, golden)
    assert result.first is not None and result.first.name == "out0"


def test_folder_with_program_and_outputs(pth: Path, tmp_path: Path) -> None:
    folder = tiny.unpack("pir", tmp_path)
    picture, output = tiny.golden()
    np.savez(folder / "golden.npz", in0=picture, out0=output)
    result = verify(pth, folder)
    assert result.ok
    assert result.rows[-1].name == "out0" and len(result.rows) > 100


def test_intermediate_tensors(shared: Path, tmp_path: Path) -> None:
    """A golden with taps: the tap before the damaged layer agrees, the one behind it does not."""
    folder = shared / "parity" / "PP-OCRv3_mobile_det"
    manifest = json.loads((folder / "manifest.json").read_text())
    source = tmp_path / "model.pdparams"
    shapes = {name: shape for name, shape, _ in manifest["params"]}
    golden = {"params": shapes, "log2_scale": manifest["log2_scale"], "aliases": {}}
    source.write_bytes(pickle.dumps(synthetic.state(golden)))
    checkpoint = convert(source, model="PP-OCRv3_mobile_det")
    save_checkpoint(tmp_path / "good.pth", checkpoint)
    good = verify(tmp_path / "good.pth", folder)
    assert good.ok, good.first
    assert {"mid_backbone_0", "mid_neck", "out0", "out1"} <= {row.name for row in good.rows}
    name = "neck.ins_conv.0.in_conv.weight"
    save_checkpoint(tmp_path / "bad.pth", damaged(checkpoint, name, by=5.0))
    result = verify(tmp_path / "bad.pth", folder)
    assert result.first is not None and result.first.name == "mid_neck"


def test_other_character_sets_are_said(checkpoint: Checkpoint) -> None:
    other = dataclasses.replace(checkpoint, charset=type(tiny.charset())(("x", *tiny.CHARACTERS[1:])))
    assert compare_weights(checkpoint, other).notes == ["the character sets differ"]


def test_wrong_references(pth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        verify(pth, tmp_path / "absent")
    (tmp_path / "golden.npz").write_bytes(b"PK\x03\x04 damaged")
    assert main(["verify", str(pth), "--against", str(tmp_path / "golden.npz")]) == 2
    assert "golden.npz" in capsys.readouterr().err


def test_same_pictures_as_the_references() -> None:
    np.testing.assert_array_equal(picture_of(11, [2, 3, 20, 28]), synthetic.picture(11, [2, 3, 20, 28]))


def test_convert_all(tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "models"
    for kind in ("pir", "legacy"):
        shutil.copytree(shared / "inference_format" / f"PP-OCRv5_mobile_det_{kind}", root / kind)
    tiny.unpack("train", root / "own")  # belongs to no official model
    assert main(["convert", "--all", str(root), "--out", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr()
    assert len(lines.out.splitlines()) == 4
    assert "tiny_rec.pdparams" in lines.err
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == ["PP-OCRv5_mobile_det-pir.pth", "PP-OCRv5_mobile_det.pth"]


def test_convert_all_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "--all", str(tmp_path)]) == 2
    assert "no weights found" in capsys.readouterr().err
