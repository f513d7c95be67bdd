"""CSP-PAN and LC-PAN (PP-PicoDet, arXiv 2111.00902): the feature pyramids of layout and table networks.

Upstream: ppocr/modeling/necks/csp_pan.py, ppdet/modeling/necks/csp_pan.py, lc_pan.py.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.backbones.pplcnet import Block
from ptocr.nn.fuse import Fusible, fold_bn
from ptocr.nn.layers import ConvBN
from ptocr.nn.network import Neck

KERNEL = 5  # of depthwise convolutions


class Separable(Fusible):
    """Depthwise 5 x 5 and pointwise convolution, each with batch norm and hard swish (upstream `DPModule`).

    As many groups as output channels: to one channel the first convolution is a full one. last: whether hard swish
    stands behind the second too.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, last: bool = True) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(in_channels, out_channels, KERNEL, stride, KERNEL // 2, groups=out_channels, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.pwconv = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.act = nn.Hardswish() if last else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.bn1(self.dwconv(x)))
        return self.act(self.bn2(self.pwconv(x)))  # type: ignore[no-any-return]

    def fused(self) -> nn.Module:
        first, second = fold_bn(self.dwconv, self.bn1), fold_bn(self.pwconv, self.bn2)
        return nn.Sequential(first, nn.Hardswish(), second, self.act)


class Bottleneck(nn.Module):
    """Pointwise, then separable convolution, without a shortcut (upstream `DarknetBottleneck`)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, channels, 1, act="hardswish")
        self.conv2 = Separable(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


class CSPLayer(nn.Module):
    """Cross stage partial block: half of the channels go through the bottlenecks."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.main_conv = ConvBN(in_channels, half, 1, act="hardswish")
        self.short_conv = ConvBN(in_channels, half, 1, act="hardswish")
        self.final_conv = ConvBN(2 * half, out_channels, 1, act="hardswish")
        self.blocks = nn.Sequential(*(Bottleneck(half) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        short = self.short_conv(x)
        return self.final_conv(torch.cat([self.blocks(self.main_conv(x)), short], dim=1))


class Laterals(nn.Module):
    """A pointwise convolution for every map (upstream `Channel_T`)."""

    def __init__(self, in_channels: list[int], out_channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(ConvBN(channels, out_channels, 1, act="hardswish") for channels in in_channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [conv(x) for conv, x in zip(self.convs, maps, strict=True)]


class _PathAggregation(Neck):
    """Maps, finest first -> as many maps of `out_channels`, each of the size it had: down the pyramid, and up again.

    merge: makes what joins two maps of `out_channels`; extra: whether one more map follows, half as large as the last.
    """

    def __init__(self, in_channels: list[int], out_channels: int, extra: bool, merge: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.conv_t = Laterals(in_channels, out_channels)
        merges = range(len(in_channels) - 1)
        self.first_top_conv = Separable(out_channels, out_channels, 2) if extra else None
        self.second_top_conv = Separable(out_channels, out_channels, 2) if extra else None
        self.top_down_blocks = nn.ModuleList(merge() for _ in merges)
        self.downsamples = nn.ModuleList(Separable(out_channels, out_channels, 2) for _ in merges)
        self.bottom_up_blocks = nn.ModuleList(merge() for _ in merges)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = self.conv_t(maps)
        merged = [maps[-1]]
        for block, finer in zip(self.top_down_blocks, maps[-2::-1], strict=True):
            grown = F.interpolate(merged[0], size=finer.shape[2:], mode="nearest")
            merged.insert(0, block(torch.cat([grown, finer], dim=1)))
        out = [merged[0]]
        for shrink, block, coarser in zip(self.downsamples, self.bottom_up_blocks, merged[1:], strict=True):
            out.append(block(torch.cat([shrink(out[-1]), coarser], dim=1)))
        if self.first_top_conv is not None and self.second_top_conv is not None:
            out.append(self.first_top_conv(maps[-1]) + self.second_top_conv(out[-1]))
        return out


class CSPPAN(_PathAggregation):
    """CSP-PAN, which joins maps by cross stage partial blocks. blocks: bottlenecks of each."""

    def __init__(self, in_channels: list[int], out_channels: int, blocks: int = 1, extra: bool = False) -> None:
        super().__init__(in_channels, out_channels, extra, lambda: CSPLayer(2 * out_channels, out_channels, blocks))


class LCPAN(_PathAggregation):
    """LC-PAN, which joins maps by two blocks of PP-LCNet."""

    def __init__(self, in_channels: list[int], out_channels: int, extra: bool = False) -> None:
        super().__init__(in_channels, out_channels, extra, lambda: _lcnet_blocks(out_channels))


def _lcnet_blocks(channels: int) -> nn.Sequential:
    """Twice the channels -> `channels`."""
    joined = 2 * channels
    return nn.Sequential(*(Block(joined, out, KERNEL, 1, se=False) for out in (joined, channels)))
