"""U-Net of key information extraction (SDMGR, arXiv 2103.14470).

Upstream: ppocr/modeling/backbones/kie_unet_sdmgr.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, with_folded

FOLDED = {"conv1": "bn1", "conv2": "bn2"}


def _add_conv(block: nn.Module, number: int, in_channels: int, channels: int, size: int = 3) -> None:
    block.add_module(f"conv{number}", nn.Conv2d(in_channels, channels, size, padding=size // 2, bias=False))
    block.add_module(f"bn{number}", nn.BatchNorm2d(channels))


class _Twice(nn.Module):
    """Two convolutions with batch norm and ReLU."""

    conv1: nn.Module
    bn1: nn.Module
    conv2: nn.Module
    bn2: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Down(_Twice, Fusible):
    """A level on the way down: (N, C, H, W) -> (N, channels, H, W)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        _add_conv(self, 1, in_channels, channels)
        _add_conv(self, 2, channels, channels)

    def fused(self) -> nn.Module:
        return with_folded(self, _Twice, FOLDED)


class _Up(_Twice):
    conv0: nn.Module
    bn0: nn.Module

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:  # type: ignore[override]
        x = F.relu(self.bn0(self.conv0(x)))
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return super().forward(torch.cat([beside, x], dim=1))


class Up(_Up, Fusible):
    """A level on the way up: (N, 2 C, H, W) and (N, C, 2 H, 2 W) -> (N, C, 2 H, 2 W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        _add_conv(self, 0, 2 * channels, channels, size=1)
        _add_conv(self, 1, 2 * channels, channels)
        _add_conv(self, 2, channels, channels)

    def fused(self) -> nn.Module:
        return with_folded(self, _Up, FOLDED | {"conv0": "bn0"})


class UNet(nn.Module):
    """(N, 3, H, W), sides multiples of 16 -> (N, 16, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.out_channels = 16
        before = 3
        for level, channels in enumerate((16, 32, 64, 128, 256), 1):
            self.add_module(f"down{level}", Down(before, channels))
            if level < 5:
                self.add_module(f"up{level}", Up(channels))
            before = channels

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.down1(x)]  # type: ignore[operator]
        for level in range(2, 6):
            maps.append(F.max_pool2d(getattr(self, f"down{level}")(maps[-1]), 3, stride=2, padding=1))
        x = maps.pop()
        for level in range(4, 0, -1):
            x = getattr(self, f"up{level}")(x, maps.pop())
        return x
