"""ResNets of five stages, which also hand on the picture and the stem: of SAST (arXiv 1908.05498) and of PGNet.

Upstream: ppocr/modeling/backbones/det_resnet_vd_sast.py, e2e_resnet_vd_pg.py.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.backbones.resnet import PlainBottleneck
from ptocr.nn.backbones.resnet_vd import DEPTHS, Bottleneck
from ptocr.nn.layers import ConvBatchNorm

WIDTHS = (64, 128, 256, 512, 512)
LAST = 3  # blocks of the fifth stage


class FiveStages(nn.Module):
    """(N, 3, H, W) -> seven maps: the picture, the stem at 1/2, stages at 1/4 .. 1/64; sides are multiples of 64."""

    def __init__(self, layers: int, block: Callable[[int, int, int, bool], nn.Module]) -> None:
        super().__init__()
        self.depths = (*DEPTHS[layers], LAST)
        self.out_channels = [3, 64, *(4 * width for width in WIDTHS)]
        channels = 64
        for stage, (depth, width) in enumerate(zip(self.depths, WIDTHS, strict=True)):
            for i in range(depth):
                self.add_module(f"bb_{stage}_{i}", block(channels, width, 2 if stage > 0 and i == 0 else 1, i == 0))
                channels = 4 * width

    def stem(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 64, H / 2, W / 2)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [x, self.stem(x)]
        x = F.max_pool2d(maps[-1], 3, stride=2, padding=1)
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                x = getattr(self, f"bb_{stage}_{i}")(x)
            maps.append(x)
        return maps


class ResNetSAST(FiveStages):
    """The vd kind: three convolutions in front, shortcuts that pool."""

    def __init__(self, layers: int = 50) -> None:
        super().__init__(layers, Bottleneck)
        self.conv1_1 = ConvBatchNorm(3, 32, 3, stride=2, act="relu")
        self.conv1_2 = ConvBatchNorm(32, 32, 3, act="relu")
        self.conv1_3 = ConvBatchNorm(32, 64, 3, act="relu")

    def stem(self, x: Tensor) -> Tensor:
        return self.conv1_3(self.conv1_2(self.conv1_1(x)))


class ResNetPG(FiveStages):
    """The plain kind: one convolution 7x7 in front, shortcuts with a stride."""

    def __init__(self, layers: int = 50) -> None:
        super().__init__(layers, PlainBottleneck)
        self.conv1_1 = ConvBatchNorm(3, 64, 7, stride=2, act="relu")

    def stem(self, x: Tensor) -> Tensor:
        return self.conv1_1(x)
