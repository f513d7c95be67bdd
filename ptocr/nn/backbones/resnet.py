"""ResNet-50 (arXiv 1512.03385) with deformable convolutions, of DB++.

Upstream: ppocr/modeling/backbones/det_resnet.py.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.backbones.resnet_vd import DEPTHS
from ptocr.nn.deformable import DeformConvBN
from ptocr.nn.layers import ConvBatchNorm

WIDTHS = (64, 128, 256, 512)


class PlainBottleneck(nn.Module):
    """Reduce, 3x3 (with the stride), expand by 4; the shortcut of a stage's first block is a strided convolution."""

    def __init__(self, in_channels: int, width: int, stride: int, change: bool, deformable: bool = False) -> None:
        super().__init__()
        self.conv0 = ConvBatchNorm(in_channels, width, 1, act="relu")
        if deformable:
            self.conv1: nn.Module = DeformConvBN(width, width, stride, act="relu")
        else:
            self.conv1 = ConvBatchNorm(width, width, 3, stride, act="relu")
        self.conv2 = ConvBatchNorm(width, 4 * width, 1)
        self.short = ConvBatchNorm(in_channels, 4 * width, 1, stride) if change else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(self.conv0(x)))
        return F.relu(y + (x if self.short is None else self.short(x)))


class ResNet(nn.Module):
    """(N, 3, H, W) -> four maps at 1/4 .. 1/32, finest first. dcn_stage: which stages have deformable convolutions."""

    def __init__(self, layers: int, dcn_stage: tuple[bool, bool, bool, bool] = (False, False, False, False)) -> None:
        super().__init__()
        self.out_channels = [4 * width for width in WIDTHS]
        self.stages = tuple(zip(DEPTHS[layers], WIDTHS, strict=True))
        self.conv = ConvBatchNorm(3, 64, 7, 2, act="relu")
        channels = 64
        for stage, (depth, width) in enumerate(self.stages):
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                block = PlainBottleneck(channels, width, stride, i == 0, dcn_stage[stage])
                self.add_module(f"res{stage + 2}{chr(ord('a') + i)}", block)
                channels = 4 * width

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(self.conv(x), 3, stride=2, padding=1)
        maps = []
        for stage, (depth, _) in enumerate(self.stages):
            for i in range(depth):
                x = getattr(self, f"res{stage + 2}{chr(ord('a') + i)}")(x)
            maps.append(x)
        return maps
