"""Feature pyramid of FCENet (arXiv 2104.10442). Upstream: ppocr/modeling/necks/fce_fpn.py."""

from __future__ import annotations

from torch import Tensor, nn

from ptocr.nn.necks.db_fpn import coarsest_first, merge_top_down
from ptocr.nn.network import Neck


class FCEFPN(Neck):
    """Top-down pyramid that keeps its levels: maps, finest first -> as many of `out_channels`, of the same sizes."""

    def __init__(self, in_channels: list[int], out_channels: int = 256) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.levels = range(6 - len(in_channels), 6)  # stages of a ResNet, whose last is called 5
        for level, channels in zip(self.levels, in_channels, strict=True):
            self.add_module(self.lateral(level), nn.Conv2d(channels, out_channels, 1))
            self.add_module(f"fpn_res{level}_sum", nn.Conv2d(out_channels, out_channels, 3, padding=1))

    @staticmethod
    def lateral(level: int) -> str:
        """Upstream's name of the layer beside a stage."""
        return f"fpn_inner_res{level}_sum" + ("" if level == 5 else "_lateral")

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        laterals = coarsest_first([getattr(self, self.lateral(level)) for level in self.levels], maps)
        smooth = [getattr(self, f"fpn_res{level}_sum") for level in self.levels]
        return [layer(x) for layer, x in zip(smooth, merge_top_down(laterals), strict=True)]
