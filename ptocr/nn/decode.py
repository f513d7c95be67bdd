"""Greedy decoding beside the network, so that class-wide outputs never leave the device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptocr.nn.build import OCRNet


class GreedyCTC(nn.Module):
    """A recogniser that returns the best class of every step and its probability instead of all of them.

    (N, 3, H, W) -> indices (N, T) int64, probabilities (N, T) float32; the same as max over the softmax.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        assert isinstance(network, OCRNet)
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network.head.logits(self.network.features(x)).float()
        best, indices = logits.max(dim=2)
        return indices, 1.0 / torch.exp(logits - best.unsqueeze(2)).sum(dim=2)
