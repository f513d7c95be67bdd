"""ResNet50 with its last three stages joined at 1/8 (SRN). Upstream: ppocr/modeling/backbones/rec_resnet_fpn.py."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, with_folded
from ptocr.nn.layers import ConvBN, Size

STAGES: tuple[tuple[int, int, Size], ...] = ((3, 64, 2), (4, 128, 2), (6, 256, (1, 1)), (3, 512, (1, 1)))


def _spatial(channels: int, stride: Size) -> ConvBN:
    """The middle convolution of a block; where a stage keeps its size, upstream's kernel is a dilated 2x2."""
    if stride == (1, 1):
        return ConvBN(channels, channels, 2, padding=1, dilation=2, act="relu")
    return ConvBN(channels, channels, 3, stride, act="relu")


class ShortCut(nn.Module):
    """1x1 convolution of a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: Size) -> None:
        super().__init__()
        self.conv = ConvBN(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class FPNBottleneck(nn.Module):
    """Reduce, 3x3, expand by 4."""

    def __init__(self, in_channels: int, width: int, stride: Size) -> None:
        super().__init__()
        out = 4 * width
        self.conv0 = ConvBN(in_channels, width, 1, act="relu")
        self.conv1 = _spatial(width, stride)
        self.conv2 = ConvBN(width, out, 1)
        self.short = ShortCut(in_channels, out, stride) if in_channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(self.conv0(x)))
        return F.relu(y + (x if self.short is None else self.short(x)))


class _Joined(nn.Module):
    """What the network computes."""

    conv: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        maps = []
        for stage, (depth, _, _) in enumerate(STAGES):
            for i in range(depth):
                x = getattr(self, f"bottleneckBlock_{stage}_{i}")(x)
            maps.append(x)
        for level in (-2, -3):
            x = torch.cat([x, maps[level]], dim=1)
            for i in range(3):
                x = getattr(self, f"F_{level}_base_block_{i}")(x)
            x = F.relu(x)
        return getattr(self, "F_-3_base_block_3")(x)


class ResNetFPN(_Joined, Fusible):
    """(N, 1, H, W) -> (N, 512, H / 8, W / 8)."""

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.out_channels = 512
        self.conv = ConvBN(in_channels, 64, 7, 2, act="relu")
        channels = 64
        for stage, (depth, width, stride) in enumerate(STAGES):
            for i in range(depth):
                block = FPNBottleneck(channels, width, stride if i == 0 else 1)
                self.add_module(f"bottleneckBlock_{stage}_{i}", block)
                channels = 4 * width
        for level, given, kept in ((-2, 3072, 1024), (-3, 1536, 512)):
            self.add_module(f"F_{level}_base_block_0", nn.Conv2d(given, kept, 1))
            self.add_module(f"F_{level}_base_block_1", nn.Conv2d(kept, kept, 3, padding=1))
            self.add_module(f"F_{level}_base_block_2", nn.BatchNorm2d(kept))
        self.add_module("F_-3_base_block_3", nn.Conv2d(512, self.out_channels, 1))

    def fused(self) -> nn.Module:
        pairs = {f"F_{level}_base_block_1": f"F_{level}_base_block_2" for level in (-2, -3)}
        return with_folded(self, _Joined, pairs)
