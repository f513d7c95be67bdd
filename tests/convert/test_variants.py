"""Networks as PaddleOCR2Pytorch builds them: converted from its names, they give what they gave there."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ptocr.checkpoint import Checkpoint
from ptocr.convert.convert import convert
from ptocr.convert.formats.variants import as_published, guide_without_bias, one_row_high
from ptocr.errors import WeightsError
from ptocr.nn.build import build_network
from ptocr.nn.heads.nrtr import sinusoids
from ptocr.spec.model import ModelSpec, load_spec
from ptocr.spec.vocabulary import Vocabulary
from tests.data.make_paddleocr2pytorch_goldens import FILE, NETWORKS, UP_TO, numbers, picture

GOLDENS = np.load(FILE)
_LAYERS = {"num_encoder_layers": 1, "num_decoder_layers": 2}


def name_of(name: str) -> str:
    """What that project's network is called here."""
    return {"en_PP-OCRv4_rec": "en_PP-OCRv4_mobile_rec"}.get(name, name)


def changed(name: str) -> ModelSpec:
    """Our model of that name, made smaller like its golden."""
    architecture: dict[str, Any] = copy.deepcopy(load_spec(name_of(name)).architecture)
    if name == "rec_mtb_nrtr":
        architecture["head"] |= _LAYERS
    elif name == "en_PP-OCRv4_rec":
        architecture["backbone"]["scale"] = 0.5
        architecture["head"]["ctc"]["neck"] |= {"dims": 24, "depth": 1, "hidden_dims": 24}
    elif name == "PP-LCNet_x1_0_doc_ori":
        architecture["network"]["scale"] = 0.25
    return load_spec(name_of(name)).model_copy(update={"architecture": architecture})


def state_of(name: str) -> dict[str, torch.Tensor]:
    words = [line.split(" ") for line in GOLDENS[f"{name}/names"].tolist()]
    shapes = {key: tuple(map(int, sides)) for key, *sides in words}
    state = {key: torch.from_numpy(value) for key, value in numbers(shapes, NETWORKS[name][3]).items()}
    return state | ({"head.positional_encoding.pe": sinusoids(5000, 512)[:, None]} if name == "rec_mtb_nrtr" else {})


def converted(name: str, folder: Path) -> Checkpoint:
    torch.save(state_of(name), folder / "infer.pth")
    characters = Vocabulary(tuple(map(chr, range(33, 129))))  # as many as PP-OCRv4's and v6's weights have
    charset = characters if name.startswith(("en_", "PP-OCRv6")) else None
    return convert(folder / "infer.pth", model=changed(name), charset=charset)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_the_project(name: str, tmp_path: Path) -> None:
    checkpoint = converted(name, tmp_path)
    network = build_network(checkpoint.spec.architecture, checkpoint.classes).eval()
    network.load_state_dict(checkpoint.state_dict)
    seen: list[torch.Tensor] = []
    if name in UP_TO:
        layer = network.get_submodule(UP_TO[name].removeprefix("backbone."))
        layer.register_forward_hook(lambda module, given, made: seen.append(made.clone()))
    with torch.no_grad():
        found = network(torch.from_numpy(picture(NETWORKS[name][2])))
    wanted = GOLDENS[f"{name}/0"]
    if name == "rec_mtb_nrtr":  # what was read, behind the token that it starts with, and how sure it was
        assert found.argmax(-1).tolist() == wanted[:, 1:].tolist()
        found, wanted = found.amax(-1), GOLDENS[f"{name}/1"][:, 1:]
    found = (seen or [found])[0].numpy()
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_a_guide_without_norms_keeps_its_bias() -> None:
    """What the norm behind it can take is taken; anything else stays, and is told of where it does not fit."""
    alone = {"head.ctc_head.guide_layer.0.bias": np.ones(3, np.float32)}
    assert guide_without_bias(alone) == alone


def test_convolutions_that_see_several_rows_stay() -> None:
    """PP-OCRv3's encoder is 3 x 3 throughout."""
    square = np.zeros((2, 4, 3, 3), np.float32)
    names = ("head.ctc_encoder.encoder.conv1.conv.weight", "head.ctc_encoder.encoder.conv4.conv.weight")
    assert one_row_high(dict.fromkeys(names, square)) == dict.fromkeys(names, square)


def test_the_older_transformer_in_paddles_layout() -> None:
    """Convolutions have one layout everywhere; linear layers, which they become, do not."""
    state = {key: value.numpy() for key, value in state_of("rec_mtb_nrtr").items()}
    linear = {key for key, value in state.items() if value.ndim == 2 and "embedding" not in key}
    there = as_published({key: value.T if key in linear else value for key, value in state.items()}, True)
    here = as_published(state, False)
    assert there.keys() == here.keys() and not any(".layers." in key or "conv1" in key for key in here if "head" in key)
    kept = ("bias", ".pe", "embedding.weight", "norm1.weight", "norm2.weight", "norm3.weight")
    for key, value in here.items():
        other = there[key].T if key.startswith("head.") and not key.endswith(kept) else there[key]
        assert np.array_equal(other, value), key


def test_a_bias_that_nothing_takes_is_an_error(tmp_path: Path) -> None:
    state = state_of("PP-LCNet_x1_0_doc_ori")
    state["backbone.blocks2.0.dw_conv.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "infer.pth")
    with pytest.raises(WeightsError, match=r"dw_conv\.bias"):
        convert(tmp_path / "infer.pth", model=changed("PP-LCNet_x1_0_doc_ori"))
