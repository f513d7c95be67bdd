"""Which samples make up which batch, at which size: one list per epoch, the same on every process for a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from ptocr.data.label_settings import SamplerPart


class Draw(NamedTuple):
    """What a data set is asked for: picture `sample` in `epoch`, `width` x `height` pixels (0: as the task has it)."""

    epoch: int
    sample: int
    width: int = 0
    height: int = 0


class EpochBatches(Sampler[list[Draw]]):
    """Shuffled batches of an epoch, shared out among processes.

    A global batch of `batch_size * processes` samples is dealt to the processes in turn, so that any number of them
    sees the same samples per step as one process with the same global batch. The last batch is filled up from the
    epoch's start. `start(epoch, batch)` chooses where iteration begins (resuming).

    plan: (width, height, batch size) of the shapes that batches take turns in.
    ratios: width / height of each sample; with them a batch holds lines of like ratio and is as wide as they need, from
    the plan's width up to `max_width`.
    """

    def __init__(
        self,
        count: int,
        plan: Sequence[tuple[int, int, int]],
        seed: int = 0,
        rank: int = 0,
        processes: int = 1,
        ratios: np.ndarray | None = None,
        max_width: int = 960,
        weights: np.ndarray | None = None,
    ) -> None:
        self.count, self.plan, self.seed = count, list(plan), seed
        self.rank, self.processes = rank, processes
        self.ratios, self.max_width, self.weights = ratios, max_width, weights
        self.epoch, self.first = 0, 0

    def start(self, epoch: int, batch: int = 0) -> None:
        """Iterate over this epoch, from this batch on."""
        self.epoch, self.first = epoch, batch

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        """Sample numbers of the epoch: each as often as its weight says, by chance for fractions; always so many."""
        order = rng.permutation(self.count)
        if self.weights is None or self.count == 0:
            return order
        weights = self.weights[order]
        total = self._total()
        reached = np.floor(np.cumsum(weights) * (total / weights.sum()) + 1e-6).astype(int)
        return rng.permutation(np.repeat(order, np.diff(reached, prepend=0)))

    def _total(self) -> int:
        """Samples of an epoch."""
        if self.weights is None or self.count == 0:
            return self.count
        return max(1, round(float(self.weights.sum())))

    def _cut(self, epoch: int) -> list[tuple[np.ndarray, int, int]]:
        """Sample numbers, width and height of every global batch: arrays, since an epoch may have millions."""
        rng = np.random.default_rng([self.seed, epoch])
        order = self._order(rng)
        if len(order) == 0:
            return []
        if self.ratios is not None:  # small disorder keeps batches different from epoch to epoch
            order = order[np.argsort(self.ratios[order] * rng.uniform(0.9, 1.1, len(order)), kind="stable")]
        result = []
        for place, (width, height, size) in self._places(len(order)):
            chosen = order[place : place + size]
            if len(chosen) < size:
                chosen = order.take(np.arange(place, place + size), mode="wrap")
            if self.ratios is not None:
                width = self._width(chosen, width, height)
            result.append((chosen, width, height))
        if self.ratios is not None:  # or an epoch would go from narrow to wide
            rng.shuffle(result)  # type: ignore[arg-type]
        return result

    def _places(self, total: int) -> Iterator[tuple[int, tuple[int, int, int]]]:
        """Where the batches of `total` samples begin, with their width, height and global size."""
        place = turn = 0
        while place < total:
            width, height, size = self.plan[turn % len(self.plan)]
            yield place, (width, height, size * self.processes)
            place, turn = place + size * self.processes, turn + 1

    def _width(self, chosen: np.ndarray, least: int, height: int) -> int:
        """As wide as the lines need, but not narrower than inference pads them to."""
        assert self.ratios is not None
        widest = math.ceil(height * float(self.ratios[chosen].max()) / 32) * 32
        return min(max(widest, least), self.max_width)

    def __iter__(self) -> Iterator[list[Draw]]:
        for chosen, width, height in self._cut(self.epoch)[self.first :]:
            mine = chosen[self.rank :: self.processes].tolist()
            yield [Draw(self.epoch, number, width, height) for number in mine]

    def __len__(self) -> int:
        return sum(1 for _ in self._places(self._total()))


def batch_plan(part: SamplerPart, batch_size: int) -> list[tuple[int, int, int]]:
    """(width, height, batch size) for each scale: sizes rounded to multiples of 8 and 16, area per batch kept.

    Upstream: MultiScaleSampler.
    """
    base = part.scales[0][0] * part.scales[0][1] * batch_size
    plan = []
    for width, height in part.scales:
        width, height = width // 8 * 8, height // 16 * 16
        size = batch_size if part.fixed_batch else max(1, base // (width * height))
        plan.append((width, height, size))
    return plan
