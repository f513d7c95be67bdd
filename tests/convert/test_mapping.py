"""Names and layouts: every model's tensors are Paddle's, and the way there and back is exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ptocr.convert.fingerprint import layout
from ptocr.convert.mapping import COUNTER, lstm_aliases, map_state, to_paddle
from ptocr.nn.build import build_network
from ptocr.spec.model import list_specs, load_spec
from ptocr.weights.listing import parameter_table

CLASSES = 12  # small: only names and layouts matter
LARGE = 90_000_000  # parameters


def architectures() -> dict[str, str]:
    """One model name per architecture."""
    return {json.dumps(load_spec(name).architecture, sort_keys=True): name for name in reversed(list_specs())}


def by_size() -> list[Any]:
    """The largest, of layers that smaller ones have too, at leisure."""
    counts = parameter_table()
    marks = {name: [pytest.mark.slow] if counts[name] > LARGE else [] for name in architectures().values()}
    return [pytest.param(name, marks=own) for name, own in sorted(marks.items())]


@pytest.mark.parametrize("name", by_size())
def test_round_trip_is_exact(name: str) -> None:
    spec = load_spec(name)
    network = build_network(spec.architecture, CLASSES if spec.has_classes else None, train=True)
    state = network.state_dict()
    for key, value in state.items():
        if value.is_floating_point():
            value.uniform_(-1, 1, generator=torch.Generator().manual_seed(len(key)))
    paddle = to_paddle(state, network)
    back, report = map_state(paddle, network, name)
    report.check(name)
    assert back.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(back[key], value) if not key.endswith(COUNTER) else back[key].item() == 0, key


def manifests(shared: Path) -> list[Path]:
    known = set(list_specs())
    return [p for p in sorted((shared / "parity").glob("*/manifest.json")) if p.parent.name in known]


def test_names_and_shapes_are_those_of_paddles_checkpoints(shared: Path) -> None:
    """All tensors of the official training code's state dict, none more, none less (aliases included)."""
    for file in manifests(shared):
        manifest = json.loads(file.read_text(encoding="utf-8"))
        spec = load_spec(file.parent.name)
        shapes = {name: tuple(shape) for name, shape, dtype in manifest["params"] if dtype.startswith("float")}
        classes = (manifest.get("classes") or {}).get("ctc") or spec.classes
        with torch.device("meta"):
            network = build_network(spec.architecture, classes, train=True)
        found = layout(network)
        aliases = lstm_aliases(network)
        found.update({alias: found[name] for alias, name in aliases.items()})
        assert aliases == manifest.get("aliases", {}), file.parent.name
        assert found == shapes, (file.parent.name, set(found) ^ set(shapes))


class Odd(nn.Module):
    """One layer of every kind whose layout could be got wrong; the linear layer is square on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.conv = nn.Conv2d(3, 3, 1)
        self.up = nn.ConvTranspose2d(3, 5, 2)
        self.bn = nn.BatchNorm2d(3)
        self.table = nn.Embedding(3, 3)
        self.lstm = nn.LSTM(3, 2, num_layers=2)
        self.weight = nn.Parameter(torch.zeros(3, 3))


def test_the_target_decides_what_is_transposed() -> None:
    network = Odd()
    arrays = to_paddle(network.state_dict(), network)
    square = np.arange(9, dtype=np.float32).reshape(3, 3)
    arrays.update({"fc.weight": square, "table.weight": square, "weight": square})
    state, report = map_state(arrays, network, "x")
    assert report.ok
    assert torch.equal(state["fc.weight"], torch.from_numpy(square.T.copy()))
    assert torch.equal(state["table.weight"], torch.from_numpy(square))
    assert torch.equal(state["weight"], torch.from_numpy(square))
    assert arrays["up.weight"].shape == (3, 5, 2, 2)
    assert {"bn._mean", "bn._variance"} <= arrays.keys()


def test_recurrent_weights_under_either_name() -> None:
    network = Odd()
    arrays = to_paddle(network.state_dict(), network)
    assert "lstm.1.cell.weight_hh" in arrays
    others = {name: array for name, array in arrays.items() if not name.startswith("lstm.")}
    for cell in (False, True):
        named = {
            name: array for name, array in arrays.items() if name.startswith("lstm.") and (".cell." in name) == cell
        }
        state, report = map_state({**others, **named}, network, "x")
        assert report.ok, report
        assert torch.equal(state["lstm.weight_hh_l1"], network.lstm.weight_hh_l1)
