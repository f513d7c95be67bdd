"""Pyramid of CentripetalText (arXiv 2107.05945): feature pyramid enhancement modules, twice.

Upstream: ppocr/modeling/necks/ct_fpn.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptocr.nn.layers import ConvBN
from ptocr.nn.necks.fpn import resized_to
from ptocr.nn.network import Neck

WIDTH = 128


class FPEM(nn.Module):
    """Feature pyramid enhancement: four maps (N, C, ...), finest first, joined downwards and upwards again."""

    def __init__(self, channels: int = WIDTH) -> None:
        super().__init__()
        places = [(3, 1, 1), (2, 1, 1), (1, 1, 1), (2, 2, 2), (3, 2, 2), (4, 2, 2)]  # level, way, stride
        for level, way, stride in places:
            depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
            self.add_module(f"dwconv{level}_{way}", depthwise)
            self.add_module(f"smooth_layer{level}_{way}", ConvBN(channels, channels, 1, act="relu"))

    def joined(self, name: str, small: Tensor, large: Tensor) -> Tensor:
        """The smaller map, enlarged, and the larger one, through the layers of a name."""
        x = getattr(self, f"dwconv{name}")(resized_to(small, large) + large)
        return getattr(self, f"smooth_layer{name}")(x)  # type: ignore[no-any-return]

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        f1, f2, f3, f4 = maps
        f3 = self.joined("3_1", f4, f3)
        f2 = self.joined("2_1", f3, f2)
        f1 = self.joined("1_1", f2, f1)
        f2 = self.joined("2_2", f2, f1)
        f3 = self.joined("3_2", f3, f2)
        return [f1, f2, f3, self.joined("4_2", f4, f3)]


class CTFPN(Neck):
    """Four maps, finest first -> (N, 512, H / 4, W / 4)."""

    def __init__(self, in_channels: list[int]) -> None:
        super().__init__()
        self.out_channels = 4 * WIDTH
        for level, channels in enumerate(in_channels, 1):
            self.add_module(f"reduce_layer{level}", ConvBN(channels, WIDTH, 1, act="relu"))
        self.fpem1 = FPEM()
        self.fpem2 = FPEM()

    def forward(self, maps: list[Tensor]) -> Tensor:
        first = self.fpem1([getattr(self, f"reduce_layer{level}")(x) for level, x in enumerate(maps, 1)])
        finest, *others = (a + b for a, b in zip(first, self.fpem2(first), strict=True))
        return torch.cat([finest, *(resized_to(x, finest) for x in others)], dim=1)
