"""Inference folders of version 2.0, whose recognisers have an LSTM: converted in both program formats of Paddle."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr.checkpoint import network_of
from ptocr.convert.convert import convert
from ptocr.convert.formats.paddle_graph import PaddleOp, build_graph
from ptocr.errors import WeightsError
from ptocr.spec.model import load_spec
from ptocr.spec.vocabulary import Vocabulary
from tests.convert.tiny import DATA

ARCHITECTURE = {
    "backbone": {"name": "MobileNetV3Line", "scale": 0.1, "model_name": "small", "strides": [1, 2, 2, 2]},
    "neck": {"name": "rnn", "hidden_size": 8},
    "head": {"name": "CTCHead"},
}


@pytest.mark.parametrize("kind", ["pir", "legacy"])
def test_a_program_with_an_lstm(kind: str, tmp_path: Path) -> None:
    with tarfile.open(DATA / f"lstm_{kind}.tar.gz") as archive:
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    spec = load_spec("ch_ppocr_mobile_v2.0_rec").with_(architecture=ARCHITECTURE)
    found = convert(tmp_path / "lstm", model=spec, charset=Vocabulary(tuple("abcdefgh")))
    with np.load(DATA / "lstm.npz") as golden, torch.inference_mode():
        made = network_of(found)(torch.from_numpy(golden["in0"])).numpy()
        np.testing.assert_allclose(made, golden["out0"], rtol=0, atol=2e-5)
    assert found.form == "deploy" and sum(".lstm." in name for name in found.state_dict) == 16
    with pytest.raises(WeightsError, match="not PP-OCRv4_mobile_rec"):
        convert(tmp_path / "lstm", model="PP-OCRv4_mobile_rec")


def operation(**attributes: int) -> PaddleOp:
    """A recurrent layer of one direction over four features, with three hidden values."""
    weights = ["ih", "hh", "ih_bias", "hh_bias"]
    return PaddleOp("rnn", ["picture", *weights], ["out"], {"x": "picture"}, {"num_layers": 1, **attributes})


@pytest.mark.parametrize(("gates", "attributes"), [(3, {}), (4, {"is_bidirec": 1}), (4, {"num_layers": 2})])
def test_other_recurrent_layers_are_an_error(gates: int, attributes: dict[str, int]) -> None:
    def shapes(gates: int) -> dict[str, tuple[int, ...]]:
        return {"ih": (3 * gates, 4), "hh": (3 * gates, 3), "ih_bias": (3 * gates,), "hh_bias": (3 * gates,)}

    (node,) = build_graph("x", [operation()], shapes(4)).nodes
    assert node.shape == (1, 1, 4, 3) and node.tensors == {"0": "ih", "1": "hh", "2": "ih_bias", "3": "hh_bias"}
    with pytest.raises(WeightsError, match="'rnn' uses the parameter 'ih' in a way this converter does not know"):
        build_graph("x", [operation(**attributes)], shapes(gates))
