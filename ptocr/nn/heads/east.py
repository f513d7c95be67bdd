"""EAST head (arXiv 1704.03155). Upstream: ppocr/modeling/heads/det_east_head.py."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ptocr.nn.layers import ConvBN
from ptocr.nn.network import Head

REACH = 800.0  # pixels: corners are found so far from a pixel at most


class EASTHead(Head):
    """(N, C, H / 4, W / 4) -> score (N, 1, H / 4, W / 4) in [0, 1], and the offsets of the four corners from each pixel
    (N, 8, H / 4, W / 4) in pixels of the picture."""

    def __init__(self, in_channels: int, model_name: Literal["large", "small"] = "large") -> None:
        super().__init__()
        middle, last = (128, 64) if model_name == "large" else (64, 32)
        self.det_conv1 = ConvBN(in_channels, middle, 3, act="relu")
        self.det_conv2 = ConvBN(middle, last, 3, act="relu")
        self.score_conv = ConvBN(last, 1, 1)
        self.geo_conv = ConvBN(last, 8, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.det_conv2(self.det_conv1(x))
        return torch.sigmoid(self.score_conv(x)), (torch.sigmoid(self.geo_conv(x)) - 0.5) * (2 * REACH)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """ "score" and "geometry" as in `forward`."""
        score, geometry = self(x)
        return {"score": score, "geometry": geometry}
