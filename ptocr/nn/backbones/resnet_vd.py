"""ResNet-vd (arXiv 1812.01187): detectors from DB to FCENet, and CRNN-like recognisers.

Upstream: ppocr/modeling/backbones/det_resnet_vd.py, rec_resnet_vd.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.deformable import DeformConvBN
from ptocr.nn.layers import ConvBatchNorm, Size, pair

Depth = Literal[18, 34, 50, 101, 152]
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
WIDTHS = (64, 128, 256, 512)
DEFORM_GROUPS = 2  # channels that share the moves of a deformable convolution's taps


def shrunk(x: Tensor, stride: Size) -> Tensor:
    """Average pooling of a shortcut, so that no pixel is skipped: (N, C, H, W) -> (N, C, H / stride, W / stride)."""
    return x if pair(stride) == (1, 1) else F.avg_pool2d(x, stride, ceil_mode=True)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions. `change`: the first block of a stage, whose shortcut has a convolution."""

    EXPANSION = 1

    def __init__(self, in_channels: int, width: int, stride: Size, change: bool) -> None:
        super().__init__()
        self.stride = stride
        self.conv0 = ConvBatchNorm(in_channels, width, 3, stride, act="relu")
        self.conv1 = ConvBatchNorm(width, width, 3)
        self.short = ConvBatchNorm(in_channels, width, 1) if change else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.conv0(x))
        if self.short is not None:
            x = self.short(shrunk(x, self.stride))
        return F.relu(x + y)


class Bottleneck(nn.Module):
    """Reduce, 3x3, expand by 4. `change`: the first block of a stage, whose shortcut has a convolution; `deformable`:
    the 3x3 convolution is."""

    EXPANSION = 4

    def __init__(self, in_channels: int, width: int, stride: Size, change: bool, deformable: bool = False) -> None:
        super().__init__()
        self.stride = stride
        out = width * self.EXPANSION
        self.conv0 = ConvBatchNorm(in_channels, width, 1, act="relu")
        if deformable:
            self.conv1: nn.Module = DeformConvBN(width, width, pair(stride)[0], DEFORM_GROUPS, act="relu")
        else:
            self.conv1 = ConvBatchNorm(width, width, 3, stride, act="relu")
        self.conv2 = ConvBatchNorm(width, out, 1)
        self.short = ConvBatchNorm(in_channels, out, 1) if change else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(self.conv0(x)))
        if self.short is not None:
            x = self.short(shrunk(x, self.stride))
        return F.relu(x + y)


class ResNetVd(nn.Module):
    """(N, 3, H, W) -> maps at 1/4 .. 1/32, finest first.

    dcn_stage: which stages of bottlenecks have deformable convolutions; out_indices: which of the four maps come out.
    """

    STEM: Size = 2  # stride of the first convolution
    DOWN: Size = 2  # stride of the stages behind the first

    def __init__(
        self,
        layers: Depth = 50,
        dcn_stage: Sequence[bool] = (False, False, False, False),
        out_indices: Sequence[int] = (0, 1, 2, 3),
    ) -> None:
        super().__init__()
        self.depths, self.out_indices = DEPTHS[layers], tuple(out_indices)
        kind = BasicBlock if layers < 50 else Bottleneck
        self.conv1_1 = ConvBatchNorm(3, 32, 3, stride=self.STEM, act="relu")
        self.conv1_2 = ConvBatchNorm(32, 32, 3, act="relu")
        self.conv1_3 = ConvBatchNorm(32, 64, 3, act="relu")
        self.out_channels: Any = [WIDTHS[stage] * kind.EXPANSION for stage in self.out_indices]
        channels = 64
        for stage, (depth, width) in enumerate(zip(self.depths, WIDTHS, strict=True)):
            for i in range(depth):
                more = {"deformable": True} if dcn_stage[stage] else {}
                block = kind(channels, width, self.DOWN if stage > 0 and i == 0 else 1, change=i == 0, **more)
                self.add_module(f"bb_{stage}_{i}", block)
                channels = width * kind.EXPANSION

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.conv1_3(self.conv1_2(self.conv1_1(x)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        maps = []
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                x = getattr(self, f"bb_{stage}_{i}")(x)
            maps.append(x)
        return [maps[stage] for stage in self.out_indices]


class ResNetVdLine(ResNetVd):
    """(N, 3, 32, W) -> (N, C, 1, W / 4): for lines, the stages reduce the height alone."""

    STEM = 1
    DOWN = (2, 1)

    def __init__(self, layers: Depth = 34) -> None:
        super().__init__(layers)
        self.out_channels = self.out_channels[-1]

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return F.max_pool2d(super().forward(x)[-1], 2)
