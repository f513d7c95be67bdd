"""Every network against what PaddlePaddle computed from the same parameters and pictures.

The numbers are in tests/data/parity; tests/data/make_parity_data.py says where they come from. The parameters go
through `map_state`, so names and layouts are compared as well.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptocr.checkpoint import empty_network
from ptocr.convert.fingerprint import layout
from ptocr.convert.mapping import lstm_aliases, map_state
from ptocr.nn.build import OCRNet
from ptocr.nn.fuse import Fusible, Reparam, fuse
from ptocr.spec.model import load_spec
from tests.parity import forced_outputs
from tools.parity import synthetic
from tools.parity.golden_outputs import OUTPUTS, STEPS

DATA = Path(__file__).resolve().parents[1] / "data" / "parity"
NAMES = sorted(path.stem for path in DATA.glob("*.json"))
EAGER, FUSED = 1e-5, 1e-4  # largest allowed difference of an output, unless rounding alone does more (UVDoc)
ROUNDING = 20  # times the difference between Paddle's own result in float32 and in float64
TAP = 1e-5  # largest allowed difference of an inner map, relative to its largest value


@dataclass
class Golden:
    """A model filled with the synthetic parameters, and what Paddle computed with them."""

    name: str
    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]
    architecture: dict[str, Any]
    classes: int | None
    network: nn.Module

    def outputs(self, network: nn.Module, entry: dict[str, Any], picture: Tensor) -> Any:
        """What a network makes of a picture, in the order of the golden."""
        prefix = f"in{entry['input']}_"
        extra = {k.removeprefix(prefix): torch.from_numpy(v) for k, v in self.arrays.items() if k.startswith(prefix)}
        return OUTPUTS[self.name](network, picture, extra) if self.name in OUTPUTS else network(picture)

    def cases(self) -> list[tuple[dict[str, Any], Tensor]]:
        """The outputs to compare, with the picture of each."""
        entries = [entry for entry in self.facts["outputs"] if "of" not in entry]
        return [(e, torch.from_numpy(synthetic.picture(**self.facts["inputs"][e["input"]]))) for e in entries]


def shortened(name: str) -> dict[str, Any]:
    """The architecture with as many steps of decoding as the golden has, where the published setting has more."""
    architecture = json.loads(json.dumps(load_spec(name).architecture))
    architecture.get("head", {}).update(STEPS.get(name, {}))
    return dict(architecture)


def class_count(name: str, facts: dict[str, Any]) -> int | None:
    if facts.get("bar") == "rounding":  # counted without the special tokens or with them, as each algorithm likes
        return load_spec(name).classes
    if facts["classes"] is not None:
        return facts["classes"]
    shape = facts["outputs"][0]["full_shape"]
    return shape[1] if len(shape) == 2 else None


@pytest.fixture(scope="module", params=NAMES)
def golden(request: pytest.FixtureRequest) -> Iterator[Golden]:
    """One model at a time: pytest groups the tests by it, and its memory goes before the next."""
    name = request.param
    facts = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    with np.load(DATA / f"{name}.npz") as file:
        arrays = dict(file)
    architecture, classes = shortened(name), class_count(name, facts)
    network = empty_network(architecture, classes)
    state, report = map_state(synthetic.state(facts, layout(network)), network, name)
    report.check(name)
    network.load_state_dict(state, strict=True, assign=True)
    yield Golden(name, facts, arrays, architecture, classes, network.requires_grad_(False))


def thinned(values: Tensor, entry: dict[str, Any]) -> np.ndarray:
    assert list(values.shape) == entry["full_shape"]
    return values.contiguous().reshape(-1).numpy()[:: entry["step"]]


def test_names_and_shapes(golden: Golden) -> None:
    assert golden.classes == load_spec(golden.name).classes
    full = empty_network(golden.architecture, golden.classes, train=True)
    layouts = layout(full)
    layouts |= {alias: layouts[name] for alias, name in lstm_aliases(full).items()}
    unknown = golden.network.left_out()  # type: ignore[operator]
    wanted = {name: shape for name, shape in golden.facts["params"].items() if not name.startswith(unknown)}
    assert {name: list(shape) for name, shape in layouts.items()} == wanted
    assert set(unknown) <= set(golden.facts["not_used_in_eval"])
    unneeded = set(layouts) - set(layout(golden.network)) - set(lstm_aliases(golden.network))
    assert not [name for name in unneeded if not name.startswith(tuple(golden.facts["not_used_in_eval"]))]


@pytest.mark.parametrize(
    ("only", "bar"), [(None, EAGER), (Reparam, EAGER), (Fusible, FUSED)], ids=["eager", "deploy", "fused"]
)
@torch.inference_mode()
def test_outputs(golden: Golden, only: type[Fusible] | None, bar: float) -> None:
    if only is Reparam and not any(isinstance(module, Reparam) for module in golden.network.modules()):
        return  # nothing is merged
    network = golden.network if only is None else fuse(golden.network, only)
    made: dict[int, Any] = {}
    for entry, picture in golden.cases():
        if entry["input"] not in made:
            made[entry["input"]] = golden.outputs(network, entry, picture)
        output = made[entry["input"]]
        if isinstance(output, tuple):  # out0_1: the second output for the first picture
            output = output[int(entry["name"].rpartition("_")[2])]
        got, want = thinned(output, entry), golden.arrays[entry["name"]]
        if entry.get("dtype") == "int32":
            np.testing.assert_array_equal(got, want)
            continue
        if golden.facts["logits"]:
            np.testing.assert_allclose(thinned(network.logits(picture), entry), want, rtol=0, atol=bar)
            want = torch.from_numpy(want).reshape(output.shape).softmax(1).numpy().reshape(-1)
        rounding = entry["float32_error"] if "float32_error" in entry else entry["input_noise_error"]
        if golden.facts.get("bar") == "rounding":
            allowed = max(bar, ROUNDING * rounding)
        else:
            allowed = bar if rounding < bar else ROUNDING * rounding
        np.testing.assert_allclose(got, want, rtol=0, atol=allowed)
        if "float32_relative_error" in entry:
            np.testing.assert_allclose(got, want, rtol=ROUNDING * entry["float32_relative_error"], atol=0)
            best, indices = output.max(dim=2)
            np.testing.assert_array_equal(indices.reshape(-1), golden.arrays[f"{entry['name']}_argmax"])
            np.testing.assert_allclose(best.reshape(-1), golden.arrays[f"{entry['name']}_max"], rtol=0, atol=bar)


def test_teacher_forcing(golden: Golden) -> None:
    forced = forced_outputs.FORCED.get(golden.name)
    cases = golden.cases() if forced is not None else []
    for entry, picture in cases:
        if entry["name"].endswith(("0_0", "1_0")) or entry["name"] in ("out0", "out1"):
            same = [e for e, _ in cases if e["input"] == entry["input"]]
            assert forced is not None
            forced_outputs.check(forced, golden.network, picture, same, golden.arrays)


def test_fused_has_no_batch_norm(golden: Golden) -> None:
    norms = nn.modules.batchnorm._BatchNorm
    fused = fuse(golden.network)
    assert not [path for path, module in fused.named_modules() if isinstance(module, norms)]
    assert not [path for path, module in fused.named_modules() if isinstance(module, Fusible)]


@torch.inference_mode()
def test_inner_maps(golden: Golden) -> None:
    """Backbone and neck, so that a difference shows where it begins."""
    taps: dict[str, Any] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda _module, _input, output: taps.update({name: output})

    modules = [(entry["name"], tapped(golden.network, entry)) for entry in golden.facts["intermediates"]]
    hooks = [module.register_forward_hook(keep(name)) for name, module in modules if module is not None]
    golden.outputs(golden.network, *golden.cases()[0])
    for hook in hooks:
        hook.remove()
    assert taps or not golden.facts["intermediates"]
    for entry in golden.facts["intermediates"]:
        if (tap := taps.get(entry["name"])) is not None:
            if isinstance(tap, list | tuple):
                tap = tap[int(entry["name"][-1])]
            elif entry["name"].endswith(("_1", "_2")):
                continue  # what upstream's backbone hands on beside its map
            want = golden.arrays[entry["name"]]
            bar = TAP * abs(want).max()
            if getattr(golden.network, "transform", None) is not None:  # sampling a picture multiplies rounding errors
                bar = 1e-3 * abs(want).max()  # a shift by a thousandth of a pixel; outputs are compared sharply
            np.testing.assert_allclose(thinned(tap, entry), want, rtol=0, atol=bar, err_msg=entry["name"])


def tapped(network: nn.Module, entry: dict[str, Any]) -> nn.Module | None:
    """The module whose output is stored, None for one that only training has."""
    if isinstance(network, OCRNet):
        if entry["name"].startswith("mid_backbone"):
            return network.backbone
        if entry["name"] == "mid_transform":
            return network.transform
        return network.stages().get("neck")
    if entry["name"] == "mid_unet":
        return network.backbone.img_feat  # type: ignore[union-attr, return-value]
    found = re.match(r"output of (\w+)", entry["of"])
    assert found
    return getattr(network, found[1], None)


def test_carried_data_is_current(shared: Path) -> None:
    """What the repository carries is what the script makes of the reference data."""
    script = DATA.parent / "make_parity_data.py"
    spec = importlib.util.spec_from_file_location("make_parity_data", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folders = module.carried(shared)
    assert sorted(folder.name for folder in folders) == NAMES
    assert {path.parent.name for path in (shared / "parity").glob("*/manifest.json")} <= set(NAMES)
    for folder in folders:
        facts, arrays = module.compact(folder)
        assert facts == json.loads((DATA / f"{folder.name}.json").read_text(encoding="utf-8"))
        with np.load(DATA / f"{folder.name}.npz") as carried:
            assert set(carried) == set(arrays)
            assert all(np.array_equal(carried[name], arrays[name]) for name in arrays)
