"""Greedy decoding: beside a recogniser on its device, so that class-wide outputs never leave it, and inside of decoders
that read one token after the other."""

from __future__ import annotations

from collections.abc import Callable

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


def read_greedily(
    step: Callable[[Tensor, int], Tensor], batch: int, most: int, start: int, end: int, device: torch.device
) -> Tensor:
    """Autoregressive greedy decoding until every sequence of the batch has ended: logits (N, T, classes), T <= most.

    step: the tokens before (N, 1), `start` at first, and the number of the step -> logits (N, 1, classes). A compiled
    network always takes all steps; on the meta device, where no value says when to end, one shows everything.
    """
    token = torch.full((batch, 1), start, device=device)
    ended = torch.zeros_like(token, dtype=torch.bool)
    steps: list[Tensor] = []
    for place in range(most):
        steps.append(step(token, place))
        token = steps[-1].argmax(2)
        ended = ended | (token == end)
        if not torch.compiler.is_compiling() and (ended.is_meta or bool(ended.all())):
            break
    return torch.cat(steps, dim=1)
