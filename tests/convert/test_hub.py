"""`.safetensors` in the layout of the hub's transformers releases.

tests/data/convert/hub_names.json.gz holds what PaddleX 3.7.2's own weight converter makes of the official training
checkpoints: model -> name in the file -> [shape, name in the checkpoint (null where branches were merged)].
"""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ptocr.checkpoint import empty_network
from ptocr.convert.convert import convert
from ptocr.convert.fingerprint import layout
from ptocr.convert.formats.foreign import ForeignWeights, read
from ptocr.convert.formats.safetensors import read_safetensors
from ptocr.convert.hub import HubState
from ptocr.convert.identify import hub_state
from ptocr.convert.mapping import map_state
from ptocr.errors import WeightsError
from ptocr.spec.model import load_spec

FILE = Path(__file__).resolve().parent.parent / "data" / "convert" / "hub_names.json.gz"
NAMES: dict[str, dict[str, Any]] = json.loads(gzip.decompress(FILE.read_bytes()))
MERGED = sorted(name for name, tensors in NAMES.items() if any(source is None for _, source in tensors.values()))
SUFFIXES = {"running_mean": "_mean", "running_var": "_variance"}


def blank(model: str) -> ForeignWeights:
    """A file of the right names and shapes without values."""
    zero = np.zeros((), np.float32)
    tensors = {name: np.broadcast_to(zero, shape) for name, (shape, _) in NAMES[model].items()}
    return ForeignWeights("model.safetensors", "safetensors", tensors)


def written(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    header: dict[str, Any] = {"__metadata__": {"format": "np"}}
    at = 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(a.tobytes() for a in tensors.values()))
    return path


@pytest.mark.parametrize("model", [name for name in sorted(NAMES) if name != "PP-OCRv6_medium_det"])
def test_every_tensor_has_its_place(model: str) -> None:
    spec = load_spec(model)
    form, state, missing, left = hub_state(blank(model), spec, spec.classes)
    assert not missing and not left
    assert form == ("deploy" if model in MERGED else "train")
    assert state


@pytest.mark.parametrize("model", ["PP-LCNet_x0_25_textline_ori", "PP-OCRv5_mobile_det", "PP-OCRv5_mobile_rec"])
def test_values_go_where_the_checkpoint_has_them(model: str, tmp_path: Path) -> None:
    """The same random checkpoint as `.pdparams` layout and as hub file: equal tensors everywhere."""
    spec = load_spec(model)
    random = np.random.RandomState(0)
    shapes = layout(empty_network(spec.architecture, spec.classes))
    paddle = {name: random.random_sample(shape).astype(np.float32) for name, shape in shapes.items()}
    hub = {}
    for name, (shape, source) in NAMES[model].items():
        path, _, leaf = source.rpartition(".")
        array = paddle[f"{path}.{SUFFIXES.get(leaf, leaf)}"]
        hub[name] = np.ascontiguousarray(array.T) if array.ndim == 2 else array
        assert list(hub[name].shape) == shape
    checkpoint = convert(written(tmp_path / "model.safetensors", hub), model=model)
    reference, report = map_state(paddle, empty_network(spec.architecture, spec.classes), "x")
    assert report.ok
    assert checkpoint.state_dict.keys() == reference.keys()
    assert all(torch.equal(checkpoint.state_dict[key], value) for key, value in reference.items())


def test_model_is_recognised_and_characters_read(tmp_path: Path) -> None:
    spec = load_spec("PP-OCRv6_tiny_rec")
    charset = spec.load_charset()
    assert charset is not None
    listed = {"character_list": ["blank", *charset.characters]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(listed), encoding="utf-8")
    tensors = {name: np.full(shape, 0.5, np.float32) for name, (shape, _) in NAMES[spec.name].items()}
    written(tmp_path / "model.safetensors", tensors)
    checkpoint = convert(tmp_path)
    assert checkpoint.spec.name == spec.name
    assert checkpoint.form == "deploy"
    assert checkpoint.charset == charset


def test_another_models_file() -> None:
    spec = load_spec("PP-OCRv5_mobile_det")
    _, _, missing, left = hub_state(blank("PP-OCRv5_server_det"), spec, None)
    assert missing and left


def test_unknown_layout_is_a_clear_error(tmp_path: Path) -> None:
    file = written(tmp_path / "model.safetensors", {"encoder.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(WeightsError, match=r"model\.safetensors.*do not fit PP-OCRv5_mobile_det.*encoder\.weight"):
        convert(file, model="PP-OCRv5_mobile_det")


class Neck(nn.Module):
    """The shape of a merged depthwise and 1 x 1 convolution of PP-OCRv6 medium."""

    def __init__(self) -> None:
        super().__init__()
        self.neck = nn.Module()
        self.neck.inp_conv = nn.ModuleList([nn.Module()])
        block = self.neck.inp_conv[0]
        block.dw = nn.Module()
        block.dw.lk_origin = nn.Conv2d(6, 6, 5, padding=2, groups=6)
        block.pw = nn.Conv2d(6, 4, 1)


def test_merged_kernels_are_split_again() -> None:
    torch.manual_seed(0)
    network = Neck()
    block = network.neck.inp_conv[0]
    x = torch.randn(1, 6, 9, 9)
    wanted = block.pw(block.dw.lk_origin(x))
    weight = torch.einsum("oi,ihw->oihw", block.pw.weight[:, :, 0, 0], block.dw.lk_origin.weight[:, 0])
    bias = block.pw.bias + block.pw.weight[:, :, 0, 0] @ block.dw.lk_origin.bias
    name = "model.neck.input_feature_projection_convolution.0"
    tensors = {f"{name}.weight": weight.detach().numpy(), f"{name}.bias": bias.detach().numpy()}
    architecture = {"neck": {"name": "RepLKPAN"}}
    hub = HubState(tensors, architecture)
    state, missing = hub.of(network)
    assert not missing and not hub.left()
    network.load_state_dict(state)
    torch.testing.assert_close(block.pw(block.dw.lk_origin(x)), wanted, rtol=1e-5, atol=1e-5)
    tensors[f"{name}.weight"] = tensors[f"{name}.weight"] + np.random.RandomState(0).random_sample(weight.shape)
    with pytest.raises(WeightsError, match="not the product"):
        HubState(tensors, architecture).of(network)


class Stem(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Module()
        self.head.binarize = nn.Module()
        self.head.binarize.conv2 = nn.ConvTranspose2d(6, 4, 2, stride=2)


def test_batch_norms_are_folded_where_ours_are() -> None:
    torch.manual_seed(0)
    conv, bn = nn.ConvTranspose2d(6, 4, 2, stride=2), nn.BatchNorm2d(4)
    with torch.no_grad():
        for value in (bn.running_mean, bn.running_var, bn.weight, bn.bias):
            value.uniform_(0.5, 2)
    values = {f"convolution.{k}": v for k, v in conv.state_dict().items()}
    values.update({f"norm.{k}": v for k, v in bn.state_dict().items() if k != "num_batches_tracked"})
    tensors = {f"head.conv_up.{name}": value.numpy() for name, value in values.items()}
    network = Stem()
    hub = HubState(tensors, {"head": {"name": "DBHead"}})
    state, missing = hub.of(network)
    assert not missing and not hub.left()
    network.load_state_dict(state)
    x = torch.randn(1, 6, 5, 5)
    torch.testing.assert_close(network.head.binarize.conv2(x), bn.eval()(conv(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("keep", [0, 5, 9, 60, 200])
def test_damaged_files(keep: int, tmp_path: Path) -> None:
    file = written(tmp_path / "model.safetensors", {"a": np.ones((4, 4), np.float32), "b": np.ones(3, np.float32)})
    data = file.read_bytes()
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        read_safetensors("model.safetensors", data[: min(keep, len(data) - 1)])


def test_types(tmp_path: Path) -> None:
    header = {
        "h": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]},
        "b": {"dtype": "BF16", "shape": [1], "data_offsets": [2, 4]},
    }
    text = json.dumps(header).encode()
    bits = (np.array([1.5], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    data = struct.pack("<Q", len(text)) + text + np.array([0.5], np.float16).tobytes() + bits.tobytes()
    (tmp_path / "m.safetensors").write_bytes(data)
    found = read(tmp_path / "m.safetensors").tensors
    assert (found["h"][0], found["b"][0]) == (0.5, 1.5)
