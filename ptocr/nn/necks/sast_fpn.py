"""Pyramid of SAST (arXiv 1908.05498): fusion up and down, and attention along rows and columns.

Upstream: ppocr/modeling/necks/sast_fpn.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import ConvBN
from ptocr.nn.necks.fpn import DeconvBN
from ptocr.nn.network import Neck

Layer = Callable[[Tensor], Tensor]
WIDTHS = (256, 256, 192, 192, 128)  # of the maps on the way up, coarsest first


def fused_along(maps: Sequence[Tensor], sides: Sequence[Layer], steps: Sequence[Layer]) -> Tensor:
    """Join maps one after the other: each passes its side layer, is added to what came before, and takes a step."""
    x = steps[0](sides[0](maps[0]))
    for part, side, step in zip(maps[1:], sides[1:], steps[1:], strict=True):
        x = step(F.relu(x + side(part)))
    return x


class _Fusion(nn.Module):
    """Layers h0_conv, h1_conv, ... at the sides and g0_conv, g1_conv, ... as steps."""

    levels: int

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        sides, steps = ([getattr(self, f"{kind}{i}_conv") for i in range(self.levels)] for kind in "hg")
        return fused_along(maps, sides, steps)


class DownFusion(_Fusion):
    """The picture, the stem and the first stage -> (N, 128, H / 4, W / 4)."""

    levels = 3

    def __init__(self, in_channels: Sequence[int]) -> None:
        super().__init__()
        for i, (channels, width) in enumerate(zip(in_channels, (32, 64, 128), strict=True)):
            self.add_module(f"h{i}_conv", ConvBN(channels, width, 3))
        self.g0_conv = ConvBN(32, 64, 3, stride=2)
        self.g1_conv = nn.Sequential(ConvBN(64, 64, 3, act="relu"), ConvBN(64, 128, 3, stride=2))
        self.g2_conv = nn.Sequential(ConvBN(128, 128, 3, act="relu"), ConvBN(128, 128, 1))


class UpFusion(_Fusion):
    """The five stages, coarsest first -> (N, 128, H / 4, W / 4)."""

    levels = 5

    def __init__(self, in_channels: Sequence[int]) -> None:
        super().__init__()
        for i, (channels, width) in enumerate(zip(in_channels, WIDTHS, strict=True)):
            self.add_module(f"h{i}_conv", ConvBN(channels, width, 1))
        self.g0_conv = DeconvBN(WIDTHS[0], WIDTHS[1])
        for i in range(1, 4):
            smooth = ConvBN(WIDTHS[i], WIDTHS[i], 3, act="relu")
            self.add_module(f"g{i}_conv", nn.Sequential(smooth, DeconvBN(WIDTHS[i], WIDTHS[i + 1])))
        self.g4_conv = nn.Sequential(ConvBN(WIDTHS[4], WIDTHS[4], 3, act="relu"), ConvBN(WIDTHS[4], WIDTHS[4], 1))


class CrossAttention(nn.Module):
    """Context attention block: every pixel looks at its row and at its column, (N, C, H, W) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = channels**-0.5
        for name in ("theta", "phi", "g"):
            self.add_module(f"{name}_conv", ConvBN(channels, channels, 1, act="relu"))
        for name in ("fh_weight", "fh_sc", "fv_weight", "fv_sc"):
            self.add_module(f"{name}_conv", ConvBN(channels, channels, 1))
        self.f_attn_conv = ConvBN(2 * channels, channels, 1, act="relu")

    def looked(self, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
        """Attention within each row of (N, C, H, W)."""
        query, key, value = (x.permute(0, 2, 3, 1) for x in (theta, phi, g))  # (N, H, W, C)
        weights = torch.softmax(query @ key.transpose(2, 3) * self.scale, dim=-1)
        return (weights @ value).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.theta_conv(x), self.phi_conv(x), self.g_conv(x)]
        rows = self.fh_weight_conv(self.looked(*parts))
        columns = self.fv_weight_conv(self.looked(*(part.transpose(2, 3) for part in parts)).transpose(2, 3))
        rows, columns = F.relu(rows + self.fh_sc_conv(x)), F.relu(columns + self.fv_sc_conv(x))
        return self.f_attn_conv(torch.cat([rows, columns], dim=1))


class SASTFPN(Neck):
    """Seven maps (picture, stem, five stages) -> (N, 128, H / 4, W / 4). with_cab: attention at the end."""

    def __init__(self, in_channels: list[int], with_cab: bool = False) -> None:
        super().__init__()
        self.out_channels = WIDTHS[-1]
        self.FPN_Down_Fusion = DownFusion(in_channels[:3])
        self.FPN_Up_Fusion = UpFusion(in_channels[:1:-1])
        self.cross_attention = CrossAttention(self.out_channels) if with_cab else None

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = F.relu(self.FPN_Down_Fusion(maps[:3]) + self.FPN_Up_Fusion(maps[:1:-1]))
        return x if self.cross_attention is None else self.cross_attention(x)
