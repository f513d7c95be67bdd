"""What is computed beside a recogniser on its device: greedy decoding, so that class-wide outputs never leave it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GreedyCTC(nn.Module):
    """Greedy CTC decoding: the best class of every step and its probability instead of those of all classes.

    network: a recogniser with `features`, and a head with `logits`. (N, 3, H, W) -> indices (N, T) int64, probabilities
    (N, T) float32; the same as max over the softmax.
    """

    output_names = ("indices", "probs")

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network.head.logits(self.network.features(x)).float()
        best, indices = logits.max(dim=2)
        return indices, 1.0 / torch.exp(logits - best.unsqueeze(2)).sum(dim=2)


class GreedySteps(nn.Module):
    """Greedy decoding of a head that gives one class per character: the best class of every step and its probability.

    network: a recogniser that gives probabilities (N, T, classes); skipped: steps before the first character.
    (N, C, H, W) -> indices (N, T - skipped) int64, probabilities (N, T - skipped) float32.
    """

    output_names = ("indices", "probs")

    def __init__(self, network: nn.Module, skipped: int = 0) -> None:
        super().__init__()
        self.network = network
        self.skipped = skipped

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        probs, indices = self.network(x)[:, self.skipped :].float().max(dim=2)
        return indices, probs
