"""ResNet-vd (arXiv 1812.01187) with bottlenecks (PP-OCRv3 server).

Upstream: ppocr/modeling/backbones/det_resnet_vd.py.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import ConvBatchNorm

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4


class Bottleneck(nn.Module):
    """Reduce, 3x3, expand. Where the shortcut changes the number of channels, it pools instead of skipping pixels."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        out = width * EXPANSION
        self.conv0 = ConvBatchNorm(in_channels, width, 1, act="relu")
        self.conv1 = ConvBatchNorm(width, width, 3, stride, act="relu")
        self.conv2 = ConvBatchNorm(width, out, 1)
        self.short = ConvBatchNorm(in_channels, out, 1) if in_channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(self.conv0(x)))
        if self.short is not None:
            x = self.short(x if self.stride == 1 else F.avg_pool2d(x, self.stride, ceil_mode=True))
        return F.relu(x + y)


class ResNetVd(nn.Module):
    """(N, 3, H, W) -> four maps at 1/4 .. 1/32, finest first."""

    def __init__(self, layers: Literal[50, 101, 152] = 50) -> None:
        super().__init__()
        self.depths = DEPTHS[layers]
        self.conv1_1 = ConvBatchNorm(3, 32, 3, stride=2, act="relu")
        self.conv1_2 = ConvBatchNorm(32, 32, 3, act="relu")
        self.conv1_3 = ConvBatchNorm(32, 64, 3, act="relu")
        self.out_channels = [width * EXPANSION for width in WIDTHS]
        channels = 64
        for stage, (depth, width) in enumerate(zip(self.depths, WIDTHS, strict=True)):
            for i in range(depth):
                block = Bottleneck(channels, width, stride=2 if stage > 0 and i == 0 else 1)
                self.add_module(f"bb_{stage}_{i}", block)
                channels = width * EXPANSION

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.conv1_3(self.conv1_2(self.conv1_1(x)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        maps = []
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                x = getattr(self, f"bb_{stage}_{i}")(x)
            maps.append(x)
        return maps
