"""Colour and shape of text lines set right before they are read (GA-SPIN, arXiv 2005.13117).

Upstream: ppocr/modeling/transforms/gaspin_transformer.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import FoldingSequential
from ptocr.nn.transforms.tps import GridGenerator, begin_with, first_points

POINTS = 20


def exponents(count: int) -> list[float]:
    """Powers of the brightness that are mixed: `count` below one, their inverses, one; two decimals, as upstream."""
    found = []
    for i in range(1, count + 1):
        share = 0.5 / (count + 1) * i
        lower = round(math.log(1 - share) / math.log(share), 2)
        found += [lower, round(1 / lower, 2)]
    return [*found, 1.0]


class InstanceNorm(nn.Module):
    """Instance normalization with a scale and a bias per channel, under Paddle's names."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(x, weight=self.scale, bias=self.bias)


class ColourMix(nn.Module):
    """A line in [-1, 1], weights of its powers (N, K), a correction of its brightness and how much of that counts ->
    a line in [-1, 1]."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.powers = exponents(count)
        self.bn = InstanceNorm(channels)

    def forward(self, x: Tensor, weights: Tensor, offsets: Tensor, share: Tensor) -> Tensor:
        # a pixel below -1 has no power with a fraction; upstream's is no number there
        x = ((x + 1) * 0.5).clamp(min=0.0)
        x = x * (1 - share) + offsets * share
        mixed = sum(x**power * weights[:, i, None, None, None] for i, power in enumerate(self.powers))
        return self.bn(mixed).sigmoid() * 2 - 1


def _conv(in_channels: int, channels: int) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(channels), nn.ReLU()]


class GASPIN(nn.Module):
    """(N, C, 32, 100) -> (N, C, 32, 100): a thin plate spline on a line whose colours were mixed. Upstream
    `GA_SPIN_Transformer`.

    default_type: how many pairs of powers of the brightness are mixed.
    """

    def __init__(self, in_channels: int = 1, default_type: int = 6) -> None:
        super().__init__()
        self.out_channels = in_channels
        self.sp_net = ColourMix(in_channels, default_type)
        pool = nn.MaxPool2d(2)
        self.spt_convnet = FoldingSequential(*_conv(in_channels, 32), pool, *_conv(32, 64), pool, *_conv(64, 128), pool)
        end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 256), nn.BatchNorm1d(256), nn.ReLU()]
        self.stucture_fc1 = FoldingSequential(
            *_conv(128, 256), pool, *_conv(256, 256), pool, *_conv(256, 512), *end
        )  # fmt: skip
        self.powers = len(self.sp_net.powers)
        self.stucture_fc2 = nn.Linear(256, self.powers + 1 + 2 * POINTS)
        # the brightness as it is, no offsets
        begin_with(self.stucture_fc2, F.pad(first_points(POINTS).flatten(), (self.powers + 1, 0)))
        with torch.no_grad():
            self.stucture_fc2.bias[self.powers - 1 : self.powers + 1] = torch.tensor([5.0, -5.0])
        self.GridGenerator = GridGenerator(POINTS)
        self.offset_fc1 = FoldingSequential(*_conv(128, 16))
        self.offset_fc2 = nn.Conv2d(16, in_channels, 3, padding=1)

    def train(self, mode: bool = True) -> GASPIN:
        """Norms of maps keep their statistics, as upstream (`use_global_stats`)."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        features = self.spt_convnet(x)
        found = self.stucture_fc2(self.stucture_fc1(features))
        weights, share, points = found.split([self.powers, 1, 2 * POINTS], dim=1)
        offsets = F.max_pool2d(self.offset_fc2(self.offset_fc1(features)), 2).sigmoid()
        offsets = F.interpolate(offsets, (height, width), mode="bilinear")
        line = self.sp_net(x, weights, offsets, share.sigmoid()[:, :, None, None])
        grid = self.GridGenerator(points.unflatten(1, (POINTS, 2)), height, width)
        return F.grid_sample(line, grid, padding_mode="border", align_corners=True)
