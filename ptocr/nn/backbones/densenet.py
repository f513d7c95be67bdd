"""DenseNet with a ReLU behind every batch norm (CAN, arXiv 2207.11463). Upstream:
ppocr/modeling/backbones/rec_densenet.py."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, with_folded

DEPTH = 16  # layers of a dense block
DROPPED = 0.2  # of the values behind each batch norm, while training


class _Layer(nn.Module):
    conv1: nn.Module
    bn1: nn.Module
    conv2: nn.Module
    bn2: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        y = F.dropout(F.relu(self.bn1(self.conv1(x))), DROPPED, self.training)
        y = F.dropout(F.relu(self.bn2(self.conv2(y))), DROPPED, self.training)
        return torch.cat([x, y], dim=1)


class DenseLayer(_Layer, Fusible):
    """A 1x1 and a 3x3 convolution whose output is put behind the input: `growth` more channels."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 4 * growth, 1)
        self.bn1 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(growth)

    def fused(self) -> nn.Module:
        return with_folded(self, _Layer, {"conv1": "bn1", "conv2": "bn2"})


class _Transition(nn.Module):
    conv1: nn.Module
    bn1: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(F.relu(self.bn1(self.conv1(x))), DROPPED, self.training)
        return F.avg_pool2d(x, 2, ceil_mode=True)


class Transition(_Transition, Fusible):
    """A 1x1 convolution, then means of 2 x 2 cells; odd edges stay."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)

    def fused(self) -> nn.Module:
        return with_folded(self, _Transition, {"conv1": "bn1"})


class DenseNet(nn.Module):
    """(N, C, H, W) -> (N, 684, ceil(H / 16), ceil(W / 16)) with the published growth of 24 channels a layer."""

    def __init__(self, in_channels: int = 1, growth: int = 24, reduction: float = 0.5) -> None:
        super().__init__()
        channels = 2 * growth
        self.conv1 = nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False)
        for block in (1, 2, 3):
            layers = [DenseLayer(channels + i * growth, growth) for i in range(DEPTH)]
            self.add_module(f"dense{block}", nn.Sequential(*layers))
            channels += DEPTH * growth
            if block < 3:
                self.add_module(f"trans{block}", Transition(channels, int(channels * reduction)))
                channels = int(channels * reduction)
        self.out_channels = channels

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2, ceil_mode=True)
        x = self.trans1(self.dense1(x))
        return self.dense3(self.trans2(self.dense2(x)))
