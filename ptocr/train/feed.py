"""Mini-batches of a run: the labelled ones of an epoch, with the pictures of `distill.data` beside them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ptocr.data.label_settings import DataPart, SamplerPart
from ptocr.data.records import chosen
from ptocr.data.samplers import EpochBatches, batch_plan
from ptocr.data.samples import OCRSamples, read_sources
from ptocr.data.sources import Item, aspect_ratios
from ptocr.errors import InputError
from ptocr.train.parts import DistillPart
from ptocr.train.trainings import Training

log = logging.getLogger(__name__)
Batch = dict[str, Any]


class Place(NamedTuple):
    """This process among those that train together, and where its batches go."""

    rank: int
    processes: int
    device: torch.device


class Feed:
    """Batches of a run. A batch follows from the seed, the epoch and its number alone, so that a run can be resumed.

    broken: samples that could not be used, each named once; more than `data.max_broken` of them end the run.
    """

    def __init__(self, training: Training, data: DataPart, sampler: SamplerPart, seed: int, place: Place) -> None:
        items, weights, broken = read_sources(data.train, training.task, data)
        if not items:
            raise InputError("data.train names no sources; there is nothing to learn from")
        items, weights = _usable(training, items, weights)
        self.training, self.data, self.sampler, self.seed, self.place = training, data, sampler, seed, place
        self.broken = dict.fromkeys(broken)
        self.batches = self._batches(items, weights, data.batch_size, seed)
        self._loader = self._loader_of(training.samples(items, seed=seed, cache=data.cache), self.batches)
        self._keep: Iterator[Batch] | None = None
        self._done = 0

    def __len__(self) -> int:
        return len(self.batches)

    def keep(self, part: DistillPart) -> None:
        """From now on every batch has unlabelled pictures of `part.data` beside it, under "keep_image"."""
        items, weights, _ = read_sources(part.data, self.training.task, self.data)
        batches = self._batches(items, weights, part.batch_size, self.seed + 1)
        loader = self._loader_of(self.training.pictures(items, seed=self.seed, cache=self.data.cache), batches)

        def endless() -> Iterator[Batch]:
            while True:  # places follow from the step alone, so that a resumed run goes on with the same pictures
                done = self.batches.epoch * len(self) + self._done
                batches.start(done // len(batches), done % len(batches))
                yield from loader

        self._keep = endless()

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on, on the device."""
        self.batches.start(epoch, first)
        self._done = first
        for batch in self._loader:
            batch = self._placed(batch)
            if self._keep is not None:
                batch["keep_image"] = self._placed(next(self._keep))["image"]
            self._done += 1
            yield batch

    def _batches(self, items: Sequence[Item], weights: np.ndarray, size: int, seed: int) -> EpochBatches:
        lines = self.training.lines
        plan = batch_plan(self.sampler, size) if lines else [(0, 0, size)]
        ratios = aspect_ratios(items) if lines and self.sampler.by_ratio else None
        rank, processes, _ = self.place
        return EpochBatches(len(items), plan, seed, rank, processes, ratios, self.sampler.max_width, weights)

    def _loader_of(self, samples: OCRSamples, batches: EpochBatches) -> DataLoader[Any]:
        return DataLoader(
            samples,
            batch_sampler=batches,
            num_workers=self.data.workers,
            persistent_workers=self.data.workers > 0,
            collate_fn=self.training.collate,
            generator=torch.Generator(),  # workers' seeds must not be drawn from the generator of the dropout
            pin_memory=self.place.device.type == "cuda",
        )

    def _placed(self, batch: Batch) -> Batch:
        """Tensors on the device; lists stay; the names of skipped samples go to `broken`."""
        for name in batch.pop("broken"):
            if name not in self.broken:
                log.warning("%s; skipped", name)
                self.broken[name] = None
        if len(self.broken) > self.data.max_broken:
            raise InputError(
                f"{len(self.broken)} samples could not be used, more than data.max_broken = {self.data.max_broken}; "
                f"the last: {list(self.broken)[-1]}"
            )
        device = self.place.device
        return {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}


def _usable(training: Training, items: Sequence[Item], weights: np.ndarray) -> tuple[Sequence[Item], np.ndarray]:
    """Without the items whose label can be read but not learnt (too long a text): those are no broken samples."""
    keep = np.fromiter((training.learns(item) for item in items), bool, len(items))
    if not keep.any():
        raise InputError(f"none of the {len(items)} samples of data.train can be learnt: {training.limit}")
    if keep.all():
        return items, weights
    out, first = int((~keep).sum()), items[int(keep.argmin())]
    log.warning("%d of %d samples are left out: %s; the first: %s", out, len(items), training.limit, first.where)
    return chosen(items, keep), weights[keep]
