"""Intra-class block of the large pyramids. Upstream: ppocr/modeling/necks/intracl.py."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, fold_bn, merge_convs

SIZES = (7, 5, 3)


class IntraCLBlock(Fusible):
    """x + relu(bn(...)) of square, upright and lying kernels of three sizes, one size after the other."""

    def __init__(self, channels: int, reduce_factor: int = 4) -> None:
        super().__init__()
        inner = channels // reduce_factor
        self.conv1x1_reduce_channel = nn.Conv2d(channels, inner, 1)
        self.conv1x1_return_channel = nn.Conv2d(inner, channels, 1)
        for letter, height_only, width_only in (("v", True, False), ("q", False, True), ("c", False, False)):
            for k in SIZES:
                size = (1 if width_only else k, 1 if height_only else k)
                name = f"{letter}_layer_{size[0]}x{size[1]}"
                self.add_module(name, nn.Conv2d(inner, inner, size, padding=(size[0] // 2, size[1] // 2)))
        self.bn = nn.BatchNorm2d(channels)

    def parallel(self, size: int) -> list[nn.Conv2d]:
        """The square, upright and lying kernel of one size, whose results are added."""
        names = (f"c_layer_{size}x{size}", f"v_layer_{size}x1", f"q_layer_1x{size}")
        return [getattr(self, name) for name in names]

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1x1_reduce_channel(x)
        for size in SIZES:
            square, upright, lying = self.parallel(size)
            y = square(y) + upright(y) + lying(y)
        return x + F.relu(self.bn(self.conv1x1_return_channel(y)))

    def fused(self) -> nn.Module:
        return FusedIntraCL(self)


class FusedIntraCL(nn.Module):
    """`IntraCLBlock` with the kernels of one size merged into one, and its batch norm folded."""

    def __init__(self, block: IntraCLBlock) -> None:
        super().__init__()
        self.reduce = block.conv1x1_reduce_channel
        self.square = nn.Sequential(*(_merged(block.parallel(size)) for size in SIZES))
        self.expand = nn.Sequential(fold_bn(block.conv1x1_return_channel, block.bn), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.expand(self.square(self.reduce(x)))


def _merged(convs: list[nn.Conv2d]) -> nn.Conv2d:
    square = convs[0]
    target = nn.Conv2d(square.in_channels, square.out_channels, square.kernel_size, padding=square.padding)
    return merge_convs(target.to(square.weight.dtype), convs)
