"""Deformable convolution, second version (arXiv 1811.11168), and attention (arXiv 2010.04159), in plain torch.

Upstream: ppocr/modeling/backbones/det_resnet_vd.py (DeformableConvV2), ppdet/modeling/transformers/utils.py
(deformable_attention_core_func).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, fold_bn
from ptocr.nn.layers import activation


def sampled(x: Tensor, offsets: Tensor, masks: Tensor, kernel: int, stride: int) -> Tensor:
    """The values that the taps of a deformable convolution read: (N, C, H, W) -> (N, C * kernel^2, h, w).

    offsets: (N, groups * 2 * kernel^2, h, w), (y, x) in pixels for every tap; masks: (N, groups * kernel^2, h, w).
    Channels are shared evenly among the groups. Outside of the picture stand zeros.
    """
    n, channels, height, width = x.shape
    taps, (rows, columns) = kernel * kernel, offsets.shape[2:]
    groups, pad = masks.shape[1] // taps, (kernel - 1) // 2
    offsets = offsets.reshape(n * groups, taps, 2, rows, columns)
    tap = torch.arange(taps, device=x.device)
    y = torch.arange(rows, device=x.device).mul(stride).view(1, 1, -1, 1) + (tap // kernel - pad).view(1, -1, 1, 1)
    left = torch.arange(columns, device=x.device).mul(stride).view(1, 1, 1, -1) + (tap % kernel - pad).view(1, -1, 1, 1)
    # grid_sample wants -1 .. 1 for the middles of the first and the last pixel
    y_share = 2 * (y + offsets[:, :, 0]) / max(height - 1, 1) - 1
    x_share = 2 * (left + offsets[:, :, 1]) / max(width - 1, 1) - 1
    grid = torch.stack([x_share, y_share], dim=-1).reshape(n * groups, taps * rows, columns, 2)
    parts = x.reshape(n * groups, channels // groups, height, width)
    values = F.grid_sample(parts, grid.to(x.dtype), mode="bilinear", padding_mode="zeros", align_corners=True)
    values = values.reshape(n * groups, channels // groups, taps, rows, columns)
    values = values * masks.reshape(n * groups, 1, taps, rows, columns)
    return values.reshape(n, channels * taps, rows, columns)


def deformable_attention(values: Tensor, sizes: Sequence[tuple[int, int]], points: Tensor, weights: Tensor) -> Tensor:
    """Deformable attention: what queries read at a few places of some maps, (N, Q, heads * C).

    values: (N, cells, heads, C) of the maps, one after another, row by row; sizes: (height, width) of each; points:
    (N, Q, heads, maps, P, 2), x and y in [0, 1] of a map, outside of which stand zeros; weights: (N, Q, heads,
    maps * P).
    """
    n, _, heads, channels = values.shape
    queries, count = points.shape[1], points.shape[4]
    parts = values.permute(0, 2, 3, 1).reshape(n * heads, channels, -1).split([h * w for h, w in sizes], dim=2)
    grids = (2 * points - 1).permute(3, 0, 2, 1, 4, 5).reshape(len(sizes), n * heads, queries, count, 2)
    read = [
        F.grid_sample(part.reshape(n * heads, channels, *size), grid, padding_mode="zeros", align_corners=False)
        for part, size, grid in zip(parts, sizes, grids.unbind(0), strict=True)
    ]
    mixed = torch.cat(read, dim=3) * weights.transpose(1, 2).reshape(n * heads, 1, queries, -1)
    return mixed.sum(3).reshape(n, heads * channels, queries).transpose(1, 2)


class DeformConv(nn.Module):
    """A convolution whose taps are moved and weighted by what another one makes of the same picture."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups = kernel, stride, groups
        pad, taps = (kernel - 1) // 2, kernel * kernel
        self.conv_offset = nn.Conv2d(in_channels, groups * 3 * taps, kernel, stride, pad)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)  # type: ignore[arg-type]
        self.conv_dcn = nn.Conv2d(in_channels, out_channels, kernel, stride, pad, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        taps = self.groups * self.kernel * self.kernel
        offsets, masks = self.conv_offset(x).split([2 * taps, taps], dim=1)
        values = sampled(x, offsets, torch.sigmoid(masks), self.kernel, self.stride)
        return F.conv2d(values, self.conv_dcn.weight.flatten(1)[:, :, None, None], self.conv_dcn.bias)


class PointwiseDeformConv(nn.Module):
    """A `DeformConv` whose weights are those of a 1x1 convolution over all taps, which any runtime knows how to do."""

    def __init__(self, conv: DeformConv) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups = conv.kernel, conv.stride, conv.groups
        self.conv_offset = copy.deepcopy(conv.conv_offset)
        dense = conv.conv_dcn
        self.point = nn.Conv2d(dense.in_channels * self.kernel**2, dense.out_channels, 1, bias=dense.bias is not None)
        self.point.to(dense.weight)
        self.point.weight = nn.Parameter(dense.weight.detach().flatten(1)[:, :, None, None].clone())
        if dense.bias is not None:
            self.point.bias = nn.Parameter(dense.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        taps = self.groups * self.kernel * self.kernel
        offsets, masks = self.conv_offset(x).split([2 * taps, taps], dim=1)
        return self.point(sampled(x, offsets, torch.sigmoid(masks), self.kernel, self.stride))  # type: ignore[no-any-return]


class DeformConvBN(Fusible):
    """Deformable convolution, batch norm, activation; named like `ConvBatchNorm`."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, groups: int = 1, act: str | None = None
    ) -> None:
        super().__init__()
        self._conv = DeformConv(in_channels, out_channels, 3, stride, groups)
        self._batch_norm = nn.BatchNorm2d(out_channels)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self._batch_norm(self._conv(x)))

    def fused(self) -> nn.Module:
        conv = copy.deepcopy(self._conv)
        conv.conv_dcn = fold_bn(conv.conv_dcn, self._batch_norm)
        return nn.Sequential(PointwiseDeformConv(conv), self.act)
