"""Pyramid of PGNet (arXiv 2104.05458): SAST's fusions under names of their own.

Upstream: ppocr/modeling/necks/pg_fpn.py.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import ConvBatchNorm
from ptocr.nn.necks.fpn import DeconvBN
from ptocr.nn.necks.sast_fpn import WIDTHS, fused_along
from ptocr.nn.network import Neck

# Of the layers on the way down: channels in and out, kernel, stride, activation.
DOWN = (
    (3, 32, 3, 1, None),
    (64, 64, 3, 1, None),
    (256, 128, 3, 1, None),
    (32, 64, 3, 2, None),
    (64, 64, 3, 1, "relu"),
    (64, 128, 3, 2, None),
    (128, 128, 3, 1, "relu"),
    (128, 128, 1, 1, None),
)


class PGFPN(Neck):
    """Seven maps (picture, stem, five stages) -> (N, 128, H / 4, W / 4)."""

    def __init__(self, in_channels: list[int]) -> None:
        super().__init__()
        self.out_channels = WIDTHS[-1]
        for number, (channels, out, kernel, stride, act) in enumerate(DOWN, 1):
            self.add_module(f"conv_bn_layer_{number}", ConvBatchNorm(channels, out, kernel, stride, act=act))
        for i, (channels, width) in enumerate(zip(in_channels[:1:-1], WIDTHS, strict=True)):
            self.add_module(f"conv_h{i}", ConvBatchNorm(channels, width, 1))
        for i in range(4):
            self.add_module(f"dconv{i}", DeconvBN(WIDTHS[i], WIDTHS[i + 1]))
            self.add_module(f"conv_g{i + 1}", ConvBatchNorm(WIDTHS[i + 1], WIDTHS[i + 1], 3, act="relu"))
        self.convf = ConvBatchNorm(WIDTHS[-1], WIDTHS[-1], 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        down = [getattr(self, f"conv_bn_layer_{number}") for number in range(1, 9)]
        steps = [down[3], nn.Sequential(*down[4:6]), nn.Sequential(*down[6:])]
        lower = fused_along(maps[:3], down[:3], steps)
        sides = [getattr(self, f"conv_h{i}") for i in range(5)]
        smooth = [getattr(self, f"conv_g{i}") for i in range(1, 5)]
        doubling = [getattr(self, f"dconv{i}") for i in range(4)]
        steps = [doubling[0], *map(nn.Sequential, smooth, [*doubling[1:], self.convf])]
        return F.relu(lower + fused_along(maps[:1:-1], sides, steps))
