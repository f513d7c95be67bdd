"""Graphs are compared by data flow: the order of parallel branches does not matter, their place does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptocr.convert.align import align, transfer
from ptocr.convert.graph import Graph
from ptocr.convert.trace import trace
from ptocr.errors import WeightsError


class Branches(nn.Module):
    """Two equal convolutions whose outputs are used at different depths; `swap` runs them in the other order."""

    def __init__(self, swap: bool = False) -> None:
        super().__init__()
        self.swap = swap
        self.stem = nn.Conv2d(3, 4, 1)
        self.left = nn.Conv2d(4, 4, 3, padding=1)
        self.right = nn.Conv2d(4, 4, 3, padding=1)
        self.after = nn.Conv2d(4, 4, 1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if self.swap:
            right = self.right(x)
            left = self.left(x)
        else:
            left = self.left(x)
            right = self.right(x)
        return self.bn(self.after(torch.relu(left))) * self.scale + right


def graph(network: nn.Module) -> Graph:
    return trace(network.to("meta").eval(), (3, 8, 8))


def names(pairs: list) -> dict[str, str]:  # type: ignore[type-arg]
    return {a.tensors[role]: b.tensors[role] for a, b in pairs for role in a.tensors}


def test_trace() -> None:
    found = graph(Branches())
    assert [n.kind for n in found.nodes] == ["conv", "conv", "conv", "conv", "mul"]
    assert found.nodes[3].tensors["bn.mean"] == "bn.running_mean"
    assert found.nodes[4].inputs == {3}
    assert found.nodes[1].inputs == found.nodes[2].inputs == {0}


def test_branches_in_another_order() -> None:
    for swap in (False, True):
        pairs = names(align(graph(Branches(swap)), graph(Branches()), "file", "model"))
        assert all(name == ours for name, ours in pairs.items()), pairs


def test_first_disagreement_is_named() -> None:
    class Other(Branches):
        def __init__(self) -> None:
            super().__init__()
            self.after = nn.Conv2d(4, 4, 5, padding=2, bias=False)

    with pytest.raises(WeightsError, match=r"file: this is not model.*conv \[4, 4, 5, 5\].*conv \[4, 4, 1, 1\]"):
        align(graph(Other()), graph(Branches()), "file", "model")


def test_same_operations_wired_differently_are_refused() -> None:
    class Other(Branches):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            left = self.left(x)
            return self.bn(self.after(torch.relu(left))) * self.scale + self.right(left)

    source, target = graph(Other()), graph(Branches())
    with pytest.raises(WeightsError, match="this is not model"):
        align(source, Graph([*target.nodes[:2], target.nodes[3], target.nodes[2], target.nodes[4]]), "file", "model")


def test_folded_batch_norm_becomes_an_identity() -> None:
    torch.manual_seed(0)
    conv, bn = nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)
    with torch.no_grad():
        bn.running_mean.normal_()
        bn.running_var.uniform_(0.5, 2)
        bn.weight.normal_()
        bn.bias.normal_()
    folded = torch.nn.utils.fuse_conv_bn_eval(conv.eval(), bn.eval())

    source, target = nn.Sequential(folded), nn.Sequential(conv, bn).eval()
    values = {name: value.detach().numpy() for name, value in source.state_dict().items()}
    shapes = {name: tuple(value.shape) for name, value in target.state_dict().items()}
    x = torch.randn(1, 3, 5, 5)
    wanted = target(x)
    pairs = align(trace(nn.Sequential(folded).to("meta"), (3, 5, 5)), graph(nn.Sequential(conv, bn)), "file", "model")
    state = transfer(pairs, values, shapes, "file")
    fresh = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)).eval()
    fresh.load_state_dict({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in state.items()}, strict=False)
    torch.testing.assert_close(fresh(x), wanted, rtol=1e-6, atol=1e-6)


def test_shared_tensor_must_be_one_tensor() -> None:
    class Shared(nn.Module):
        def __init__(self, own: bool) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 3, 1, bias=False)
            self.b = nn.Conv2d(3, 3, 1, bias=False) if own else self.a

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.relu(self.a(x)))

    pairs = align(graph(Shared(True)), graph(Shared(False)), "file", "model")
    one, two = np.zeros((3, 3, 1, 1), np.float32), np.ones((3, 3, 1, 1), np.float32)
    shapes = {"a.weight": (3, 3, 1, 1)}
    assert set(transfer(pairs, {"a.weight": one, "b.weight": one}, shapes, "file")) == {"a.weight"}
    with pytest.raises(WeightsError, match="two different ones"):
        transfer(pairs, {"a.weight": one, "b.weight": two}, shapes, "file")


def test_unknown_use_of_a_parameter() -> None:
    class Strange(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(3, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return torch.fmod(x, self.table)

    with pytest.raises(WeightsError, match=r"'table' in 'fmod'.*pdparams"):
        graph(Strange())
