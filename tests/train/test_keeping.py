"""What holds a model to its start, and what saves memory: adapters, L2-SP, feature distillation, averages,
recomputation, compilation; each against the plain computation that it stands for."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ptocr.checkpoint import load_checkpoint
from ptocr.errors import SpecError
from ptocr.nn.build import build_network
from ptocr.spec.model import load_spec
from ptocr.train.adapters import add_adapters, merged
from ptocr.train.loop import Outcome, fit
from ptocr.train.optim import make_average
from ptocr.train.penalties import FeatureMatch, StartPoint
from ptocr.train.recipe import AdapterPart, parse_recipe
from ptocr.train.recompute import recompute_blocks

from .conftest import SPECS


def run(settings: dict[str, Any], resume: bool = False) -> Outcome:
    return fit(parse_recipe(settings, "test"), resume)


def changed(settings: dict[str, Any], path: str = "run", **values: Any) -> dict[str, Any]:
    return {**settings, path: {**settings.get(path, {}), **values}}


def losses(outcome: Outcome) -> list[dict[str, float]]:
    lines = (outcome.last.parent / "history.jsonl").read_text("utf-8").splitlines()
    return [entry["losses"] for entry in map(json.loads, lines) if "losses" in entry]


def tensors(path: Path) -> dict[str, Tensor]:
    return load_checkpoint(path).state_dict


@pytest.fixture
def tiny() -> nn.Module:
    torch.manual_seed(0)
    return build_network(load_spec(SPECS / "tiny_rec.yaml").architecture, 11, train=True).train()


@pytest.fixture
def started(rec_recipe, tmp_path) -> Iterator[dict[str, Any]]:
    """A recipe that begins with the weights of a first step."""
    start = run(changed(rec_recipe, output=str(tmp_path / "start"), max_steps=1))
    yield changed({**rec_recipe, "start": str(start.last), "gtc": "off"}, max_steps=2)


# ----------------------------------------------------------------------------------------------------------- adapters


def test_adapters_are_what_lora_says_and_merge_away(tiny):
    before = {name: p.detach().clone() for name, p in tiny.named_parameters()}
    names = add_adapters(tiny, AdapterPart(modules=("backbone",), rank=4, alpha=8.0))
    x = torch.rand(2, 3, 32, 96)
    same = build_network(load_spec(SPECS / "tiny_rec.yaml").architecture, 11, train=True)
    same.load_state_dict(merged(tiny).state_dict())
    torch.testing.assert_close(same.eval()(x), tiny.eval()(x))  # B is zero: nothing has changed
    name = names[0]
    layer = tiny.get_submodule(name)
    with torch.no_grad():
        layer.lora_b.normal_()
    want = before[f"{name}.weight"] + 8 / 4 * (layer.lora_b @ layer.lora_a).reshape(before[f"{name}.weight"].shape)
    torch.testing.assert_close(merged(tiny).get_parameter(f"{name}.weight"), want)
    torch.testing.assert_close(merged(tiny).eval()(x), tiny.eval()(x))
    assert set(merged(tiny).state_dict()) == set(same.state_dict())
    learning = [n for n, p in tiny.named_parameters() if p.requires_grad]
    assert len(learning) == 2 * len(names) and all(n.endswith(("lora_a", "lora_b")) for n in learning)
    assert all("Adapted" not in type(module).__name__ for module in merged(tiny).modules())


def test_a_run_with_adapters_moves_nothing_else_and_resumes(started, tmp_path):
    settings = {**started, "adapters": {"modules": ["head.ctc_encoder"], "also": ["head.ctc_head"], "rank": 2}}
    settings = changed(changed(settings, "optim", freeze_norm=True, lr=1e-2), output=str(tmp_path / "whole"))
    before, whole = tensors(Path(started["start"])), run(settings)
    after = tensors(whole.last)
    assert set(after) == {name for name in before if not name.startswith(("head.gtc_head.", "head.before_gtc."))}
    before = {name: before[name] for name in after}
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved and all(name.startswith("head.ctc_") for name in moved)
    encoder = [name for name in moved if name.startswith("head.ctc_encoder")]
    for name in encoder:
        difference = (after[name] - before[name]).flatten(1)
        assert torch.linalg.matrix_rank(difference, rtol=1e-4) <= 2, name
    assert encoder
    parts = changed(settings, output=str(tmp_path / "parts"))
    run(changed(parts, max_steps=1))
    resumed = fit(parse_recipe(parts, "test"), resume=True)
    assert all(torch.equal(value, tensors(resumed.last)[name]) for name, value in after.items())


def test_adapters_want_a_start_and_modules_that_exist(rec_recipe, started, tiny):
    with pytest.raises(SpecError, match="`start`"):
        run({**rec_recipe, "adapters": {"modules": ["backbone"]}})
    with pytest.raises(SpecError, match=r"'nothing' is no module.*backbone"):
        run({**started, "adapters": {"modules": ["nothing"]}})
    with pytest.raises(SpecError, match="larger than rank 4000"):
        add_adapters(tiny, AdapterPart(modules=("backbone",), rank=4000))


# ---------------------------------------------------------------------------------------------------------- penalties


def test_l2_sp_is_half_the_squared_distance_from_the_start():
    network = nn.Linear(3, 4)
    near = StartPoint(network, 0.5, {"weight": torch.tensor([False, False, True, False])})
    assert near() == 0
    with torch.no_grad():
        network.weight += 2.0  # the row of an added character does not count
        network.bias -= 1.0
    loss = near()
    torch.testing.assert_close(loss, torch.tensor(0.5 / 2 * (3 * 3 * 4.0 + 4)))
    loss.backward()
    torch.testing.assert_close(network.bias.grad, torch.full((4,), -0.5))
    assert network.weight.grad[2].abs().max() == 0


def test_l2_sp_holds_a_run_near_its_start(started, tmp_path):
    begun = tensors(Path(started["start"]))

    def far(weight: float) -> float:
        settings = changed(changed(started, "loss", l2_sp=weight), "optim", name="sgd", lr=1e-3)
        outcome = run(changed(settings, output=str(tmp_path / str(weight)), max_steps=8))
        assert ("l2_sp" in losses(outcome)[0]) == (weight > 0)
        name = "head.ctc_head.fc.weight"
        return float((tensors(outcome.last)[name] - begun[name]).norm())

    assert far(500.0) < 0.8 * far(0.0)


def test_features_are_compared_relative_to_the_teachers():
    student = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    teacher = copy.deepcopy(student)
    match = FeatureMatch(student, teacher, {"0": 2.0})
    x = torch.rand(5, 3)
    student(x), teacher(x)
    assert match() == 0
    with torch.no_grad():
        student[0].weight.mul_(3)
        student[0].bias.mul_(3)
    student(x), teacher(x)
    torch.testing.assert_close(match(), torch.tensor(2.0 * 4))  # (3 t - t)^2 / t^2
    with pytest.raises(SpecError, match="no module 'neck'"):
        FeatureMatch(student, teacher, {"neck": 1.0})


def test_keeping_distils_features_of_unlabelled_lines(started, lines, tmp_path):
    data = [{"path": str(lines.parent / "images"), "format": "folder"}]
    part = {"mode": "keep", "data": data, "batch_size": 4, "features": {"backbone": 1.0, "head.ctc_encoder": 0.5}}
    settings = changed({**started, "distill": part}, "optim", freeze_norm=True)
    first, second = losses(run(changed(settings, output=str(tmp_path / "keep"))))
    assert first["features"] < 1e-6  # the start is its own teacher
    assert second["features"] > 1e-6
    with pytest.raises(SpecError, match="mode 'keep' or 'teacher'"):
        run({**settings, "distill": {"mode": "mutual", "features": {"backbone": 1.0}}})


# ------------------------------------------------------------------------------------------------------------ averages


def test_swa_is_the_mean_of_the_weights():
    network = nn.Linear(2, 2)
    average, seen = make_average(network, None), []
    for _ in range(3):
        with torch.no_grad():
            network.weight.normal_()
        seen.append(network.weight.detach().clone())
        average.update_parameters(network)
    torch.testing.assert_close(average.module.weight, torch.stack(seen).mean(0))


def test_a_run_with_swa_saves_the_mean_of_its_last_steps(started, tmp_path):
    settings = changed(changed(started, "optim", freeze_norm=True), max_steps=4)
    states = []
    for steps in (3, 4):
        outcome = run(changed(settings, max_steps=steps, output=str(tmp_path / str(steps))))
        states.append(tensors(outcome.last))
    averaged = tensors(run(changed(settings, swa=0.5, output=str(tmp_path / "swa"))).last)
    for name, value in averaged.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (states[0][name] + states[1][name]) / 2, msg=name)
    with pytest.raises(SpecError, match=r"run\.ema and run\.swa"):
        run(changed(settings, swa=0.5, ema=0.9))


# --------------------------------------------------------------------------------------------- memory and compilation


def test_recomputed_blocks_give_the_same_gradients_and_statistics(tiny):
    other = copy.deepcopy(tiny)
    names = set(tiny.state_dict())
    assert recompute_blocks(other) >= 3 and set(other.state_dict()) == names
    x = torch.rand(2, 3, 32, 96)
    for network in (tiny, other):
        torch.manual_seed(1)
        network.forward_train(x)["ctc"].square().mean().backward()
    for (name, a), b in zip(tiny.named_parameters(), other.parameters(), strict=True):
        if a.grad is not None:
            torch.testing.assert_close(b.grad, a.grad, msg=name)
    for name, value in tiny.state_dict().items():  # running statistics moved once
        torch.testing.assert_close(other.state_dict()[name], value, msg=name)
    twin = copy.deepcopy(other)
    with torch.no_grad():
        next(other.parameters()).zero_()
    torch.testing.assert_close(twin.eval()(x), tiny.eval()(x))  # a copy computes with its own weights


def test_a_run_with_recomputed_blocks_learns_the_same(started, tmp_path):
    plain = tensors(run(changed(started, output=str(tmp_path / "plain"))).last)
    other = tensors(run(changed(started, recompute=True, output=str(tmp_path / "other"))).last)
    for name, value in plain.items():
        torch.testing.assert_close(other[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_compiling_is_asked_for_by_backend(started, tmp_path, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, backend: asked.append(backend))
    run(changed(started, compile="inductor", max_steps=1, output=str(tmp_path / "other")))
    run(changed(started, max_steps=1, output=str(tmp_path / "plain")))
    assert asked == ["inductor"]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_a_compiled_run_learns_the_same(backend, started, tmp_path):
    plain = run(changed(started, output=str(tmp_path / "plain")))
    other = run(changed(started, compile=backend, output=str(tmp_path / "other")))
    for a, b in zip(losses(plain), losses(other), strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-3)
