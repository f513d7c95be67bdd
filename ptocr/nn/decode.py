"""Greedy decoding: beside a recogniser on its device, so that class-wide outputs never leave it, and inside of decoders
that read one token after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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

    network: a recogniser that gives probabilities (N, T, classes); skipped: steps before the first character;
    most: steps that are looked at. (N, C, H, W) -> indices (N, T - skipped) int64, probabilities (N, T - skipped)
    float32.
    """

    output_names = ("indices", "probs")

    def __init__(self, network: nn.Module, skipped: int = 0, most: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.steps = slice(skipped, most)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        probs, indices = self.network(x)[:, self.steps].float().max(dim=2)
        return indices, probs


class CountedSteps(nn.Module):
    """Counts of classes, spelt out: each class as often as it was counted, in the order of the classes.

    network: gives counts (N, classes), of which the first and the last stand for no characters; steps: places of a
    line. (N, C, H, W) -> indices (N, steps) int64, the last class behind the characters, and how near each one's count
    is to a whole number, (N, steps) float32 from 0.5 to 1.
    """

    output_names = ("indices", "probs")

    def __init__(self, network: nn.Module, steps: int) -> None:
        super().__init__()
        self.network, self.steps = network, steps

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        counts = self.network(x).float()
        end = counts.shape[1] - 1
        whole = counts.round().clamp(0, self.steps)
        sure = 1 - (counts - whole).abs().clamp(max=0.5)
        ends = whole[:, 1:-1].cumsum(1)  # of each class, the place behind its last
        places = torch.arange(self.steps, device=x.device)[:, None]
        indices = 1 + (ends[:, None] <= places).sum(2)  # classes that end before the place
        return indices, sure.gather(1, indices.clamp(max=end))


def greedy_steps(
    step: Callable[[Tensor, int], Tensor],
    batch: int,
    most: int,
    start: int,
    end: int,
    device: torch.device,
    group: int = 1,
    pad: int | None = None,
) -> Iterator[Tensor]:
    """Autoregressive greedy decoding until every sequence of the batch has ended: logits (N, group, classes) of each
    step.

    step: the tokens before (N, group), `start` at first, and the place of the first of those that follow -> logits (N,
    group, classes). most: places there are; group: tokens that are read at once; pad: what is fed behind the end of
    each of the group's lanes, None: what was read there. A compiled network always takes all steps; on the meta device,
    where no value says when to end, one shows everything.
    """
    token = torch.full((batch, group), start, device=device)
    ended = torch.zeros_like(token, dtype=torch.bool)
    for place in range(0, most - group + 1, group):
        logits = step(token, place)
        yield logits
        token = logits.argmax(2)
        if pad is not None:
            token = token.masked_fill(ended, pad)
        ended = ended | (token == end)
        if not torch.compiler.is_compiling() and (ended.is_meta or bool(ended.any(1).all())):
            break


def read_greedily(
    step: Callable[[Tensor, int], Tensor], batch: int, most: int, start: int, end: int, device: torch.device
) -> Tensor:
    """The logits of all steps of `greedy_steps`, one token at a time: (N, T, classes), T <= most."""
    return torch.cat(list(greedy_steps(step, batch, most, start, end, device)), dim=1)
