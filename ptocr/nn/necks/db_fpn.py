"""Feature pyramids of the DB detectors. Upstream: ppocr/modeling/necks/db_fpn.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible
from ptocr.nn.layers import SE
from ptocr.nn.necks.intracl import IntraCLBlock
from ptocr.nn.network import Neck


def merge_top_down(laterals: list[Tensor]) -> list[Tensor]:
    """Add each coarser map, doubled in size, to the next finer one. Finest first, in and out."""
    merged = [laterals[-1]]
    for lateral in reversed(laterals[:-1]):
        merged.append(lateral + F.interpolate(merged[-1], scale_factor=2.0, mode="nearest"))
    return merged[::-1]


def coarsest_first(layers: Iterable[Callable[[Tensor], Tensor]], maps: list[Tensor]) -> list[Tensor]:
    """layer(map) for each pair, finest first in and out, but run in upstream's order, which exported graphs keep."""
    pairs = list(zip(layers, maps, strict=True))
    return [layer(x) for layer, x in reversed(pairs)][::-1]


def concat_at_finest(maps: list[Tensor]) -> Tensor:
    """Enlarge every map to the size of the finest and stack, coarsest first: (N, sum of channels, H / 4, W / 4)."""
    grown = [F.interpolate(m, scale_factor=float(2**i), mode="nearest") if i else m for i, m in enumerate(maps)]
    return torch.cat(grown[::-1], dim=1)


class Join(Fusible):
    """`concat_at_finest` at the end of a pyramid. Fused, the maps stay apart: `PyramidConv` takes them as they are."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        return concat_at_finest(maps)

    def fused(self) -> nn.Module:
        return nn.Identity()


class ScaleFusion(nn.Module):
    """Adaptive scale fusion (arXiv 2202.10304): `concat_at_finest`, each map weighted pixel by pixel."""

    def __init__(self, channels: int, levels: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels // levels, 3, padding=1)
        self.spatial_scale = nn.Sequential(
            nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(1, 1, 1, bias=False), nn.Sigmoid()
        )
        self.channel_scale = nn.Sequential(nn.Conv2d(channels // levels, levels, 1, bias=False), nn.Sigmoid())

    def forward(self, maps: list[Tensor]) -> Tensor:
        stacked = concat_at_finest(maps)
        x = self.conv(stacked)
        x = self.spatial_scale(x.mean(1, keepdim=True)) + x
        weights = self.channel_scale(x)  # (N, levels, H / 4, W / 4), coarsest first
        return stacked * weights.repeat_interleave(stacked.shape[1] // weights.shape[1], dim=1)


class DBFPN(Neck):
    """The first pyramid of DB (PP-OCRv2 and before): 1x1 laterals, top-down sums, 3x3 smoothing.

    Four maps, finest first -> (N, out_channels, H / 4, W / 4). use_asf: with adaptive scale fusion (DB++).
    """

    def __init__(self, in_channels: list[int], out_channels: int, use_asf: bool = False) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.levels = range(2, 2 + len(in_channels))  # a map at 1 / 2^level of the picture
        for level, channels in zip(self.levels, in_channels, strict=True):
            self.add_module(f"in{level}_conv", nn.Conv2d(channels, out_channels, 1, bias=False))
            smooth = nn.Conv2d(out_channels, out_channels // 4, 3, padding=1, bias=False)
            self.add_module(f"p{level}_conv", smooth)
        self.join = None if use_asf else Join()
        self.asf = ScaleFusion(out_channels) if use_asf else None

    def forward(self, maps: list[Tensor]) -> Tensor:
        laterals = coarsest_first([getattr(self, f"in{level}_conv") for level in self.levels], maps)
        smooth = [getattr(self, f"p{level}_conv") for level in self.levels]
        smoothed = coarsest_first(smooth, merge_top_down(laterals))
        return self.asf(smoothed) if self.asf is not None else self.join(smoothed)  # type: ignore[misc]


class RSELayer(nn.Module):
    """Convolution followed by squeeze-excite, with an optional residual (RSE-FPN, PP-OCRv3 onwards)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, shortcut: bool = True) -> None:
        super().__init__()
        self.in_conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.se_block = SE(out_channels, slope=0.2)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        x = self.in_conv(x)
        return self.se_block.residual(x) if self.shortcut else self.se_block(x)


class RSEFPN(Neck):
    """Residual squeeze-excite pyramid (PP-OCRv3 and later mobile detectors).

    Four maps, finest first -> (N, out_channels, H / 4, W / 4).
    """

    def __init__(self, in_channels: list[int], out_channels: int, shortcut: bool = True) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.ins_conv = nn.ModuleList(RSELayer(c, out_channels, 1, shortcut) for c in in_channels)
        self.inp_conv = nn.ModuleList(RSELayer(out_channels, out_channels // 4, 3, shortcut) for _ in in_channels)
        self.join = Join()

    def forward(self, maps: list[Tensor]) -> Tensor:
        merged = merge_top_down(coarsest_first(self.ins_conv, maps))
        return self.join(coarsest_first(self.inp_conv, merged))


class LKPAN(Neck):
    """Pyramid of 9 x 9 kernels with a bottom-up path behind the top-down one (server detectors).

    Four maps, finest first -> (N, out_channels, H / 4, W / 4). intracl: an intra-class block at the end of every level.
    """

    def __init__(self, in_channels: list[int], out_channels: int, intracl: bool = False) -> None:
        super().__init__()
        quarter = out_channels // 4
        self.out_channels = out_channels
        self.intracl = intracl
        self.ins_conv = nn.ModuleList(nn.Conv2d(c, out_channels, 1, bias=False) for c in in_channels)
        self.inp_conv = nn.ModuleList(self.large_kernel(out_channels, quarter) for _ in in_channels)
        self.pan_head_conv = nn.ModuleList(
            nn.Conv2d(quarter, quarter, 3, stride=2, padding=1, bias=False) for _ in in_channels[1:]
        )
        self.pan_lat_conv = nn.ModuleList(self.large_kernel(quarter, quarter) for _ in in_channels)
        self.join = Join()
        if intracl:
            for level in range(1, len(in_channels) + 1):
                self.add_module(f"incl{level}", IntraCLBlock(quarter, reduce_factor=2))

    @staticmethod
    def large_kernel(in_channels: int, out_channels: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 9, padding=4, bias=False)

    def top_down(self, maps: list[Tensor]) -> list[Tensor]:
        """The lateral maps, each with every coarser one added: (N, out_channels, ...), finest first."""
        return merge_top_down(coarsest_first(self.ins_conv, maps))

    def bottom(self, merged: list[Tensor]) -> Tensor:
        """From the merged maps to the pyramid's output."""
        levels = coarsest_first(self.inp_conv, merged)
        rising = [levels[0]]
        for level, conv in zip(levels[1:], self.pan_head_conv, strict=True):
            rising.append(level + conv(rising[-1]))
        outs = [conv(x) for conv, x in zip(self.pan_lat_conv, rising, strict=True)]
        if self.intracl:
            outs = coarsest_first([getattr(self, f"incl{i + 1}") for i in range(len(outs))], outs)
        return self.join(outs)

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.bottom(self.top_down(maps))
