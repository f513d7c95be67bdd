"""SAST head (arXiv 1908.05498). Upstream: ppocr/modeling/heads/det_sast_head.py."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptocr.nn.layers import ConvBN
from ptocr.nn.network import Head


def _branch(in_channels: int, out: int) -> nn.Sequential:
    """Four convolutions to a map of `out` channels."""
    return nn.Sequential(
        ConvBN(in_channels, 64, 1, act="relu"),
        ConvBN(64, 64, 3, act="relu"),
        ConvBN(64, 128, 1, act="relu"),
        ConvBN(128, out, 3),
    )


class SASTHead(Head):
    """(N, C, H / 4, W / 4) -> four maps of that size: score of the centre line (1 channel, in [0, 1]), offsets from it
    to the upper and the lower border (4), from each pixel to the text's corners (8) and from the text's centre (2)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.head1 = nn.ModuleDict({"score_conv": _branch(in_channels, 1), "border_conv": _branch(in_channels, 4)})
        self.head2 = nn.ModuleDict({"tvo_conv": _branch(in_channels, 8), "tco_conv": _branch(in_channels, 2)})

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        score, border = (self.head1[name](x) for name in ("score_conv", "border_conv"))
        corners, center = (self.head2[name](x) for name in ("tvo_conv", "tco_conv"))
        return torch.sigmoid(score), border, corners, center

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The maps of `forward` as "score", "border", "corners" and "center"."""
        return dict(zip(("score", "border", "corners", "center"), self(x), strict=True))
