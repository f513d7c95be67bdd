"""The two convolutions of NRTR (arXiv 1806.00926). Upstream: ppocr/modeling/backbones/rec_nrtr_mtb.py."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible

WIDTHS = (32, 64)
HEIGHT = 32  # of the pictures


class ChannelAffine(nn.Module):
    """A batch norm in evaluation, where no convolution stands before it: y = x * scale + shift per channel."""

    def __init__(self, bn: nn.BatchNorm2d) -> None:
        super().__init__()
        assert bn.running_mean is not None and bn.running_var is not None
        scale = bn.weight.detach() / torch.sqrt(bn.running_var + bn.eps)
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", (bn.bias.detach() - bn.running_mean * scale)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class NormAfter(nn.BatchNorm2d, Fusible):
    """A batch norm that follows an activation."""

    def fused(self) -> nn.Module:
        return ChannelAffine(self)


class MTB(nn.Module):
    """(N, 1, 32, W) -> (N, W / 4, 512): columns, each with its rows one after the other."""

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.block = nn.Module()
        for i, width in enumerate(WIDTHS):
            self.block.add_module(f"conv_{i}", nn.Conv2d(in_channels, width, 3, 2, padding=1))
            self.block.add_module(f"bn_{i}", NormAfter(width))
            in_channels = width
        self.out_channels = in_channels * HEIGHT // 4

    def forward(self, x: Tensor) -> Tensor:
        for i in range(len(WIDTHS)):
            x = getattr(self.block, f"bn_{i}")(F.relu(getattr(self.block, f"conv_{i}")(x)))
        return x.permute(0, 3, 2, 1).flatten(2)
