"""Primitive representations of a text line (PREN, arXiv 2105.04286). Upstream: ppocr/modeling/necks/pren_fpn.py."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import FoldingSequential
from ptocr.nn.network import Neck

DROPPED = 0.1  # of the values of positions, while training


def _convs(before: int, middle: int, after: int, kernels: Sequence[int], stride: int, **more: nn.Module) -> nn.Module:
    """Two convolutions with batch norms and a swish between them, under upstream's names."""
    first, second = (
        nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False)
        for a, b, kernel in ((before, middle, kernels[0]), (middle, after, kernels[1]))
    )
    layers = {"conv1": first, "bn1": nn.BatchNorm2d(middle), "act": nn.SiLU()}
    return FoldingSequential(OrderedDict(layers | {"conv2": second, "bn2": nn.BatchNorm2d(after)} | more))


class PoolAggregate(nn.Module):
    """(N, C, H, W) -> primitives (N, count, channels): means of as many small networks' maps."""

    def __init__(self, in_channels: int, channels: int, count: int) -> None:
        super().__init__()
        self.count = count
        for number in range(count):
            self.add_module(str(number), _convs(in_channels, in_channels, channels, (3, 3), 2))

    def forward(self, x: Tensor) -> Tensor:
        maps = [getattr(self, str(number))(x) for number in range(self.count)]
        return torch.stack([y.mean((2, 3)) for y in maps], dim=1)


class WeightAggregate(nn.Module):
    """(N, C, H, W) -> primitives (N, count, channels): sums of a map, weighted by as many heat maps."""

    def __init__(self, in_channels: int, channels: int, count: int) -> None:
        super().__init__()
        self.conv_n = _convs(in_channels, in_channels, count, (3, 1), 1, act2=nn.Sigmoid())
        self.conv_d = _convs(in_channels, 4 * in_channels, channels, (3, 1), 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_n(x).flatten(2) @ self.conv_d(x).flatten(2).transpose(1, 2)


class Positions(nn.Module):
    """Primitives (N, count, C) -> positions (N, length, C): mixed, then a linear layer and a swish."""

    def __init__(self, channels: int, count: int, length: int) -> None:
        super().__init__()
        self.conv_n = nn.Conv1d(count, length, 1)
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(F.dropout(self.linear(self.conv_n(x)), DROPPED, self.training))


class PRENFPN(Neck):
    """Three maps -> (N, max_len, d_model), one vector per character; n_r: primitives of each kind."""

    def __init__(self, in_channels: Sequence[int], n_r: int = 5, d_model: int = 384, max_len: int = 25) -> None:
        super().__init__()
        self.out_channels = d_model
        for number, channels in enumerate(in_channels, start=1):
            self.add_module(f"agg_p{number}", PoolAggregate(channels, d_model // 3, n_r))
            self.add_module(f"agg_w{number}", WeightAggregate(channels, d_model // 3, n_r))
        self.gcn_pool = Positions(d_model, n_r, max_len)
        self.gcn_weight = Positions(d_model, n_r, max_len)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        pooled, weighted = (
            torch.cat([getattr(self, f"agg_{kind}{i}")(x) for i, x in enumerate(maps, start=1)], dim=2) for kind in "pw"
        )
        return 0.5 * (self.gcn_pool(pooled) + self.gcn_weight(weighted))
