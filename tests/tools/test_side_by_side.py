"""The comparison with PaddleOCR 2.10's classes counts what differs, and its weights are what it says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ptocr.checkpoint import Checkpoint, network_of
from ptocr.errors import PtocrError
from ptocr.nn.build import build_network
from ptocr.spec.model import load_spec
from tools.parity.golden_outputs import MODELS
from tools.parity.last_layer import Spread, rescaled
from tools.parity.paddle_classes import ROWS, Paddle
from tools.parity.side_by_side import Tally, table

SQUARE = np.array([[0, 0], [9, 0], [9, 9], [0, 9]], float)


def test_what_differs_is_counted() -> None:
    tally = Tally()
    tally.polygon([SQUARE, SQUARE + 40], [SQUARE + 40.5, SQUARE], "page")
    tally.text("abc", "abc", "line")
    tally.score(0.5, 0.5004, "line")
    assert tally.same and tally.far == 0.5 and not tally.notes
    assert "| 2, 2, 2 | 0.50 px | 1/1 | 4.0e-04 | ok |" in table({"name": tally})
    for change in (
        lambda t: t.polygon([SQUARE], [SQUARE + 1.1], "page"),
        lambda t: t.polygon([SQUARE], [], "page"),
        lambda t: t.polygon([], [SQUARE], "page"),
        lambda t: t.polygon([SQUARE], [SQUARE[:3]], "page"),
        lambda t: t.text("abc", "abd", "line"),
        lambda t: t.score(0.5, 0.502, "line"),
    ):
        other = Tally()
        other.text("a", "a", "line")
        assert other.same
        change(other)
        assert not other.same and "DIFFERS" in table({"name": other})


def test_nothing_compared_is_not_the_same() -> None:
    assert not Tally().same


def test_a_rescaled_layer_has_the_asked_mean_and_deviation() -> None:
    spec = load_spec("ch_ppocr_mobile_v2.0_cls")
    torch.manual_seed(0)
    made = build_network(spec.architecture, spec.classes, train=False)
    made.get_parameter("head.fc.weight").data *= 1e5  # a network that was not trained hardly tells pictures apart
    weights = Checkpoint(spec, None, "train", made.state_dict())
    picture = np.random.RandomState(0).standard_normal((6, 3, 48, 192)).astype(np.float32)
    seen: list[Tensor] = []
    network = network_of(rescaled(weights, {"head.fc": Spread([2.0, -1.0], 0.5)}, [picture]))
    network.get_submodule("head.fc").register_forward_hook(lambda _m, _i, output: seen.append(output))
    with torch.inference_mode():
        network(torch.from_numpy(picture))
    np.testing.assert_allclose(seen[0].mean(0), [2.0, -1.0], atol=0.01)
    np.testing.assert_allclose(seen[0].std(0), 0.5, rtol=0.01)


def test_every_row_names_layers_that_are_there() -> None:
    for name, row in ROWS.items():
        spec = load_spec(MODELS.get(name, name))
        with torch.device("meta"):
            network = build_network(spec.architecture, spec.classes, train=False)
        for layer in row.spreads:
            assert hasattr(network.get_submodule(layer), "weight"), (name, layer)


@pytest.mark.skipif(os.name == "nt", reason="`false` is not there")
def test_an_interpreter_that_cannot_is_named() -> None:
    with pytest.raises(PtocrError, match="false"):
        Paddle("/bin/false").read(ROWS["det_mv3_db"], [Path("page.png")], lambda arrays: arrays)
