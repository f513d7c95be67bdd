"""What is computed beside a network on its device: greedy decoding, so that class-wide outputs never leave it, and the
grid of an unwarped page."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptocr.nn.build import OCRNet
from ptocr.nn.uvdoc import UVDoc, unwarp


class GreedyCTC(nn.Module):
    """A recogniser that returns the best class of every step and its probability instead of all of them.

    (N, 3, H, W) -> indices (N, T) int64, probabilities (N, T) float32; the same as max over the softmax.
    """

    output_names = ("indices", "probs")

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        assert isinstance(network, OCRNet)
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network.head.logits(self.network.features(x)).float()
        best, indices = logits.max(dim=2)
        return indices, 1.0 / torch.exp(logits - best.unsqueeze(2)).sum(dim=2)


class FlatWithGrid(nn.Module):
    """UVDoc that also says where it took the points of the flat page from.

    (N, 3, H, W) -> the flat page (N, 3, H, W), its grid (N, 2, 45, 31) in [-1, 1].
    """

    output_names = ("y", "grid")

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        assert isinstance(network, UVDoc)
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        grid = self.network.grid(x)
        return unwarp(x, grid), grid
