"""The stem of PP-HGNetV2 and PP-LCNetV4. Upstream: ppocr/modeling/backbones/rec_pphgnetv2.py, rec_lcnetv4.py."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, fuse
from ptocr.nn.layers import ConvBN, max_2x2


class Stem(Fusible):
    """Down-sampling with a convolution path beside a pooling path: (N, 3, H, W) -> (N, out, H / 2s, W / 2s).

    block: the class of the five layers.
    """

    def __init__(self, mid: int, out: int, stride: int = 2, block: type[ConvBN] = ConvBN) -> None:
        super().__init__()
        self.stem1 = block(3, mid, 3, stride=2, act="relu")
        self.stem2a = block(mid, mid // 2, 2, padding=0, act="relu")
        self.stem2b = block(mid // 2, mid, 2, padding=0, act="relu")
        self.stem3 = block(2 * mid, mid, 3, stride, act="relu")
        self.stem4 = block(mid, out, 1, act="relu")

    def forward(self, x: Tensor) -> Tensor:
        # Paddle's "SAME" for a window of 2 adds one row below and one column to the right. Zeros serve the pooling too:
        # its input is never negative.
        x = F.pad(self.stem1(x), (0, 1, 0, 1))
        y = self.stem2b(F.pad(self.stem2a(x), (0, 1, 0, 1)))
        return self.stem4(self.stem3(torch.cat([max_2x2(x), y], dim=1)))

    def fused(self) -> nn.Module:
        return FusedStem(self)


class FusedStem(nn.Module):
    """`Stem` that never joins its two paths, and pads and pools whole rows of memory.

    A pixel's few channels are less than a processor's vector of 16-bit numbers; a row of pixels is not.
    """

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        self.stem1, self.stem2a, self.stem2b, self.stem4 = stem.stem1, stem.stem2a, stem.stem2b, stem.stem4
        joined = next(iter(fuse(stem.stem3).children()))  # the convolution; an activation follows
        half = joined.in_channels // 2
        self.pooled, self.convolved = _inputs(joined, slice(0, half)), _inputs(joined, slice(half, None))
        self.pooled.bias = None

    def forward(self, x: Tensor) -> Tensor:
        x = _grown(self.stem1(x))
        y = self.stem2b(_grown(self.stem2a(x)))
        return self.stem4(F.relu(self.pooled(_max_2x2(x)) + self.convolved(y)))


def _inputs(conv: nn.Conv2d, channels: slice) -> nn.Conv2d:
    """The part of a convolution that looks at these input channels."""
    part = copy.deepcopy(conv)
    part.weight = nn.Parameter(conv.weight.detach()[:, channels].clone(), requires_grad=False)
    part.in_channels = part.weight.shape[1]
    return part


def _rows(x: Tensor) -> Tensor:
    """(N, C, H, W), channels last in memory -> (N, H, W * C), the same memory."""
    count, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(count, height, width * channels)


def _map(rows: Tensor, channels: int) -> Tensor:
    """The way back."""
    return rows.reshape(rows.shape[0], rows.shape[1], -1, channels).permute(0, 3, 1, 2)


def _grown(x: Tensor) -> Tensor:
    """One row below and one column on the right, of zeros."""
    return _map(F.pad(_rows(x), (0, x.shape[1], 0, 1)), x.shape[1])


def _max_2x2(x: Tensor) -> Tensor:
    """As `max_2x2`."""
    channels, rows = x.shape[1], _rows(x)
    rows = torch.maximum(rows[:, :-1], rows[:, 1:])
    return _map(torch.maximum(rows[..., :-channels], rows[..., channels:]), channels)
