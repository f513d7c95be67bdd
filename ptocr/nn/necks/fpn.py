"""Feature pyramids of PSENet (arXiv 1903.12473) and EAST (arXiv 1704.03155).

Upstream: ppocr/modeling/necks/fpn.py, east_fpn.py.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, fold_bn
from ptocr.nn.layers import ConvBN, activation
from ptocr.nn.network import Neck


def resized_to(x: Tensor, other: Tensor) -> Tensor:
    """Bilinear resize (half-pixel centres) to the height and width of another map."""
    return F.interpolate(x, other.shape[2:], mode="bilinear", align_corners=False)


class FPN(Neck):
    """Top-down pyramid whose maps are enlarged and stacked: finest first -> (N, 4 * out_channels, H / 4, W / 4)."""

    def __init__(self, in_channels: list[int], out_channels: int = 256) -> None:
        super().__init__()
        self.out_channels = 4 * out_channels
        self.toplayer_ = ConvBN(in_channels[3], out_channels, 1, act="relu")
        for number, channels in enumerate(reversed(in_channels[:3]), 1):
            self.add_module(f"latlayer{number}_", ConvBN(channels, out_channels, 1, act="relu"))
            self.add_module(f"smooth{number}_", ConvBN(out_channels, out_channels, 3, act="relu"))

    def forward(self, maps: list[Tensor]) -> Tensor:
        merged = [self.toplayer_(maps[3])]
        for number, finer in enumerate(reversed(maps[:3]), 1):
            lateral = getattr(self, f"latlayer{number}_")(finer)
            lateral = resized_to(merged[-1], lateral) + lateral
            merged.append(getattr(self, f"smooth{number}_")(lateral))
        finest = merged[-1]
        return torch.cat([finest, *(resized_to(x, finest) for x in merged[-2::-1])], dim=1)


class DeconvBN(Fusible):
    """Transposed convolution 4x4 of stride 2, batch norm, activation: doubles height and width."""

    def __init__(self, in_channels: int, out_channels: int, act: str | None = None) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.deconv(x)))

    def fused(self) -> nn.Module:
        return nn.Sequential(fold_bn(self.deconv, self.bn), self.act)


class EASTFPN(Neck):
    """U-shaped merging of EAST: four maps, finest first -> (N, width, H / 4, W / 4)."""

    def __init__(self, in_channels: list[int], model_name: Literal["large", "small"] = "large") -> None:
        super().__init__()
        width = 128 if model_name == "large" else 64
        self.out_channels = width
        self.g0_deconv = DeconvBN(in_channels[3], width, act="relu")
        for level, channels in enumerate(reversed(in_channels[:3]), 1):
            self.add_module(f"h{level}_conv", ConvBN(width + channels, width, 3, act="relu"))
        self.g1_deconv = DeconvBN(width, width, act="relu")
        self.g2_deconv = DeconvBN(width, width, act="relu")
        self.g3_conv = ConvBN(width, width, 3, act="relu")

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = self.g0_deconv(maps[3])
        x = self.g1_deconv(self.h1_conv(torch.cat([x, maps[2]], dim=1)))
        x = self.g2_deconv(self.h2_conv(torch.cat([x, maps[1]], dim=1)))
        return self.g3_conv(self.h3_conv(torch.cat([x, maps[0]], dim=1)))
