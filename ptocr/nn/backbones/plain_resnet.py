"""ResNets of recognisers that are not of the vd kind: ResNet31 (SAR, RobustScanner), ResNet45 (ABINet, VisionLAN).

Upstream: ppocr/modeling/backbones/rec_resnet_31.py, rec_resnet_45.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, with_folded
from ptocr.nn.layers import FoldingSequential, Size, same_padding


class Body(nn.Module):
    """Two convolutions and a shortcut."""

    conv1: nn.Module
    bn1: nn.Module
    conv2: nn.Module
    bn2: nn.Module
    downsample: nn.Module | None

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class PlainBlock(Body, Fusible):
    """Two convolutions of `kernels` and a shortcut that fits. early: the first one has the stride, not the second."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernels: Sequence[int] = (3, 3),
        stride: Size = 1,
        early: bool = False,
    ) -> None:
        super().__init__()
        first, second = kernels
        before, behind = (stride, 1) if early else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, channels, first, before, padding=same_padding(first), bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, second, behind, padding=same_padding(second), bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or in_channels != channels:
            shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.downsample = FoldingSequential(shortcut, nn.BatchNorm2d(channels))

    def fused(self) -> nn.Module:
        return with_folded(self, Body, {"conv1": "bn1", "conv2": "bn2"})


class _Stem45(nn.Module):
    """The stages of a ResNet45 behind its first convolution."""

    conv1: nn.Module
    bn1: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in range(1, 6):
            x = getattr(self, f"layer{stage}")(x)
        return x


class ResNet45(_Stem45, Fusible):
    """(N, 3, H, W) -> (N, 512, H / s, W / s), where s is the product of the strides."""

    def __init__(self, in_channels: int = 3, strides: Sequence[int] = (2, 1, 2, 1, 1)) -> None:
        super().__init__()
        self.out_channels = 512
        self.conv1 = nn.Conv2d(in_channels, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        channels = 32
        stages = zip((32, 64, 128, 256, 512), (3, 4, 6, 6, 3), strides, strict=True)
        for number, (width, depth, stride) in enumerate(stages, start=1):
            blocks = [PlainBlock(channels, width, (1, 3), stride)]
            blocks += [PlainBlock(width, width, (1, 3)) for _ in range(depth - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            channels = width

    def fused(self) -> nn.Module:
        return with_folded(self, _Stem45, {"conv1": "bn1"})


POOLED: dict[int, Size] = {2: 2, 3: 2, 4: (2, 1)}  # in front of which stages of a ResNet31


class _Stages31(nn.Module):
    """What a ResNet31 computes."""

    def step(self, name: str, x: Tensor) -> Tensor:
        """Convolution, batch norm, activation."""
        return F.relu(getattr(self, f"bn{name}")(getattr(self, f"conv{name}")(x)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.step("1_2", self.step("1_1", x))
        for stage in range(2, 6):
            if stage in POOLED:
                x = F.max_pool2d(x, POOLED[stage], ceil_mode=True)
            x = self.step(str(stage), getattr(self, f"block{stage}")(x))
        return x


class ResNet31(_Stages31, Fusible):
    """(N, 3, H, W) -> (N, 512, H / 8, W / 4)."""

    NAMES = ("1_1", "1_2", "2", "3", "4", "5")

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.out_channels = 512
        widths = (64, 128, 256, 256, 512, 512)
        for name, width, depth in zip(self.NAMES, widths, (0, 0, 1, 2, 5, 3), strict=True):
            if depth:
                blocks = [PlainBlock(in_channels, width), *(PlainBlock(width, width) for _ in range(depth - 1))]
                self.add_module(f"block{name}", nn.Sequential(*blocks))
                in_channels = width
            self.add_module(f"conv{name}", nn.Conv2d(in_channels, width, 3, padding=1))
            self.add_module(f"bn{name}", nn.BatchNorm2d(width))
            in_channels = width

    def fused(self) -> nn.Module:
        return with_folded(self, _Stages31, {f"conv{name}": f"bn{name}" for name in self.NAMES})
