"""EfficientNet-B3 (arXiv 1905.11946) for text lines. Upstream: ppocr/modeling/backbones/rec_efficientb3_pren.py."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, with_folded
from ptocr.nn.layers import make_divisible

WIDTH, DEPTH = 1.2, 1.4  # how much wider and deeper B3 is than B0
# By stage, of B0: depth, kernel, stride, expansion, channels
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
SHOWN = (7, 17, 25)  # the blocks whose maps are given out


def same_padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """A map with the zeros around it that make a convolution's output ceil(input / stride) large; an odd one goes to
    the right and below (TensorFlow's `same`)."""
    over = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[2:]]
    top, left = (side // 2 for side in over)
    return F.pad(x, (left, over[1] - left, top, over[0] - top))


class _Block(nn.Module):
    """What an inverted bottleneck computes."""

    expands: bool
    skips: bool
    shape: tuple[int, int]  # kernel and stride of the middle convolution

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.silu(self._bn1(self._depthwise_conv(same_padded(y, *self.shape))))
        gates = self._se_expand(F.silu(self._se_reduce(y.mean((2, 3), keepdim=True)))).sigmoid()
        y = self._bn2(self._project_conv(gates * y))
        return x + y if self.skips else y


class MBConv(_Block, Fusible):
    """Inverted bottleneck with squeeze-and-excitation; a shortcut where input and output are alike."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expands, self.skips = expansion != 1, stride == 1 and in_channels == channels
        self.shape = (kernel, stride)
        if self.expands:
            self._expand_conv = nn.Conv2d(in_channels, inner, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inner)
        self._depthwise_conv = nn.Conv2d(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner)
        self._se_reduce = nn.Conv2d(inner, in_channels // 4, 1)
        self._se_expand = nn.Conv2d(in_channels // 4, inner, 1)
        self._project_conv = nn.Conv2d(inner, channels, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(channels)

    def fused(self) -> nn.Module:
        pairs = {"_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
        return with_folded(self, _Block, pairs | ({"_expand_conv": "_bn0"} if self.expands else {}))


class _Blocks(nn.Module):
    """What an EfficientNet computes: the maps behind some of its blocks."""

    names: list[str]

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.silu(self._bn0(self._conv_stem(same_padded(x, 3, 2))))
        maps = []
        for number, name in enumerate(self.names):
            x = getattr(self, name)(x)
            if number in SHOWN:
                maps.append(x)
        return maps


class EfficientNetB3(_Blocks, Fusible):
    """(N, 3, H, W) -> three maps, (N, 48, H / 8, W / 8), (N, 136, H / 16, W / 16), (N, 384, H / 32, W / 32)."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        channels = make_divisible(32 * WIDTH)
        self._conv_stem = nn.Conv2d(in_channels, channels, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(channels)
        self.names, self.out_channels = [], []
        for stage, (depth, kernel, stride, expansion, width) in enumerate(STAGES):
            for place in range(math.ceil(depth * DEPTH)):
                block = MBConv(channels, make_divisible(width * WIDTH), kernel, 1 if place else stride, expansion)
                self.add_module(f"{stage}-{place}", block)
                channels = make_divisible(width * WIDTH)
                if len(self.names) in SHOWN:
                    self.out_channels.append(channels)
                self.names.append(f"{stage}-{place}")

    def fused(self) -> nn.Module:
        return with_folded(self, _Blocks, {"_conv_stem": "_bn0"})
