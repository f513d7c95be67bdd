"""The parts of one run (data, network, optimiser, averages) and the small steps that the loop is made of."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ptocr.checkpoint import save_checkpoint
from ptocr.data.samplers import EpochBatches, batch_plan
from ptocr.data.samples import OCRSamples, collate, read_sources
from ptocr.data.sources import Item, aspect_ratios
from ptocr.errors import InputError
from ptocr.evaluation.metrics import Metric
from ptocr.train.optim import make_average, make_optimizer, make_schedule, run_fused
from ptocr.train.recipe import TrainRecipe
from ptocr.train.resume import Progress, Scores, load_state, save_state, seed_everything
from ptocr.train.start import added_rows, freeze_rows, load_start
from ptocr.train.tasks import Task, make_task

log = logging.getLogger(__name__)


class Run:
    """The parts of one run, and the small steps that `fit` is made of."""

    def __init__(self, recipe: TrainRecipe) -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.utils import DistributedDataParallelKwargs

        seed_everything(recipe.run.seed)
        AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
        handlers = [DistributedDataParallelKwargs(find_unused_parameters=True)]
        # without `cpu`, accelerate overlooks the processes that torchrun starts on a machine without accelerators
        here = not torch.accelerator.is_available()
        self.accelerator = Accelerator(cpu=here, mixed_precision=recipe.run.precision, kwargs_handlers=handlers)
        self.recipe, self.out = recipe, recipe.run.output
        start = load_start(recipe)
        self.task: Task = make_task(recipe, start)
        self.items, weights, broken = read_sources(recipe.data.train, self.task.name, recipe.data)
        if not self.items:
            raise InputError("data.train names no sources; there is nothing to learn from")
        sets = {"val": recipe.data.val, "base": recipe.data.base}
        self.sets = {k: read_sources(v, self.task.name, recipe.data)[0] for k, v in sets.items() if v}
        self.progress = Progress(broken=broken)
        self._board: Any = None
        self.batches = self._batches(weights)
        self.steps_per_epoch = -(-len(self.batches) // recipe.run.accumulate)
        objective = self.task.objective().train()
        if recipe.optim.freeze_rows:
            freeze_rows(start)
        optimizer = make_optimizer(objective.network, recipe.optim, objective.peer)
        self.schedule = make_schedule(optimizer, recipe.optim, self.steps_per_epoch, recipe.run.epochs)
        self.objective, self.optimizer = self.accelerator.prepare(objective, optimizer)
        backbone = self.network.get_submodule("backbone")
        if recipe.optim.freeze_norm and not any(p.requires_grad for p in backbone.parameters()):
            run_fused(backbone)
        self.begun = _copied(self.network) if recipe.run.interpolate else {}
        self.average = make_average(self.network, recipe.run.ema) if recipe.run.ema else None
        self._train_loader = self._loader(self.task.samples(self.items), self.batches)
        self.keep = self._keep_loader()
        torch.manual_seed(recipe.run.seed + self.accelerator.process_index)  # each process drops out its own features

    @property
    def network(self) -> nn.Module:
        """The network that learns, without wrappers."""
        return self.accelerator.unwrap_model(self.objective).network

    @property
    def result(self) -> nn.Module:
        """The network that is evaluated and saved: the average where the recipe has one."""
        return self.average.module if self.average is not None else self.network

    def _batches(self, weights: np.ndarray) -> EpochBatches:
        part, data = self.recipe.sampler, self.recipe.data
        plan = self._plan(data.batch_size)
        ratios = self._ratios(self.items)
        where = self.accelerator.process_index, self.accelerator.num_processes
        return EpochBatches(len(self.items), plan, self.recipe.run.seed, *where, ratios, part.max_width, weights)

    def _plan(self, batch_size: int) -> list[tuple[int, int, int]]:
        return batch_plan(self.recipe.sampler, batch_size) if self.task.name == "rec" else [(0, 0, batch_size)]

    def _ratios(self, items: Sequence[Item]) -> np.ndarray | None:
        return aspect_ratios(items) if self.recipe.sampler.by_ratio and self.task.name == "rec" else None

    def _loader(self, samples: OCRSamples, batches: EpochBatches) -> DataLoader[Any]:
        return DataLoader(
            samples,
            batch_sampler=batches,
            num_workers=self.recipe.data.workers,
            persistent_workers=self.recipe.data.workers > 0,
            collate_fn=collate,
            generator=torch.Generator(),  # workers' seeds must not be drawn from the generator of the dropout
            pin_memory=self.accelerator.device.type == "cuda",
        )

    def epoch_batches(self) -> DataLoader[Any]:
        """What is left of the epoch that `progress` stands in."""
        self.batches.start(self.progress.epoch, self.progress.batch)
        return self._train_loader

    def _keep_loader(self) -> Iterator[dict[str, Any]] | None:
        part = self.recipe.distill
        if part is None or part.mode != "keep":
            return None
        items, weights, _ = read_sources(part.data, self.task.name, self.recipe.data)
        where = self.accelerator.process_index, self.accelerator.num_processes
        plan = self._plan(part.batch_size)
        width = self.recipe.sampler.max_width
        batches = EpochBatches(len(items), plan, self.recipe.run.seed + 1, *where, self._ratios(items), width, weights)
        loader = self._loader(self.task.pictures(items), batches)

        def endless() -> Iterator[dict[str, Any]]:
            while True:  # places follow from the step alone, so that a resumed run goes on with the same pictures
                done = self.progress.epoch * len(self.batches) + self.progress.batch
                batches.start(done // len(batches), done % len(batches))
                yield from loader

        return endless()

    def on_device(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Tensors to the device; lists stay; the names of skipped samples go to `progress`."""
        for name in batch.pop("broken"):
            log.warning("%s; skipped", name)
            self.progress.broken.append(name)
        if len(self.progress.broken) > self.recipe.data.max_broken:
            raise InputError(
                f"{len(self.progress.broken)} samples could not be used, more than data.max_broken = "
                f"{self.recipe.data.max_broken}; the last: {self.progress.broken[-1]}"
            )
        device = self.accelerator.device
        return {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}

    def step(self, batch: dict[str, Any], boundary: bool) -> dict[str, float]:
        """Forward and backward of one batch; at a boundary the weights move. Returns the losses."""
        if self.keep is not None:
            batch["keep_image"] = self.on_device(next(self.keep))["image"]
        run = self.recipe.run
        with nullcontext() if boundary else self.accelerator.no_sync(self.objective):
            with self.accelerator.autocast():
                losses = self.objective(batch)
            self.accelerator.backward(losses["loss"] / run.accumulate)
        if boundary:
            if self.recipe.optim.clip is not None:
                self.accelerator.clip_grad_norm_(self.objective.parameters(), self.recipe.optim.clip)
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
            if self.average is not None:
                self.average.update_parameters(self.network)
            self.progress.step += 1
        return {k: float(v.detach()) for k, v in losses.items()}

    def evaluate(self, network: nn.Module) -> Scores:
        """Scores of a network on the evaluation sets, shared out among processes."""
        module = self.task.for_evaluation(network).eval()
        device = self.accelerator.device

        def predict(batch: np.ndarray) -> list[np.ndarray]:
            with torch.inference_mode(), self.accelerator.autocast():
                out = module(torch.from_numpy(batch).to(device))
            return [
                o.float().cpu().numpy() if o.is_floating_point() else o.cpu().numpy()
                for o in (out if isinstance(out, tuple) else (out,))
            ]

        scores: Scores = {}
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        for name, items in self.sets.items():
            metric = self.task.evaluate(predict, items[rank::world])
            scores[name] = self._summed(metric).result()
        self.objective.train()
        return scores

    def mixture(self, share: float) -> nn.Module:
        """A network with the weights start + share * (now - start); rows of added characters stay as they are now."""
        mixed = copy.deepcopy(self.result)
        now = mixed.state_dict()
        state = {k: torch.lerp(self.begun[k], v, share) if v.is_floating_point() else v for k, v in now.items()}
        for name, added in added_rows(self.task.start).items():
            state[name][added] = now[name][added]
        mixed.load_state_dict(state)
        return mixed

    def _summed(self, metric: Metric) -> Metric:
        counts = torch.tensor(metric.counts(), dtype=torch.float64, device=self.accelerator.device)
        return metric.with_counts(self.accelerator.reduce(counts).tolist())

    def save(self, name: str, network: nn.Module | None = None, **notes: float) -> Path:
        """`name`.pth, an ordinary checkpoint of a network (default: the result). notes: what its source tells besides
        step, epoch and start."""
        path = self.out / f"{name}.pth"
        if self.accelerator.is_main_process:
            done = {"step": self.progress.step, "epoch": self.progress.epoch, "start": self.recipe.start, **notes}
            state = (network or self.result).state_dict()
            save_checkpoint(path, self.task.start.checkpoint_of(state, {"trained": done}))
        return path

    def _parts(self) -> dict[str, Any]:
        parts = {
            "objective": self.accelerator.unwrap_model(self.objective),
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }
        if self.average is not None:
            parts["average"] = self.average
        if self.accelerator.scaler is not None:
            parts["scaler"] = self.accelerator.scaler
        return parts

    def save_last(self) -> Path:
        """last.pth and what is needed to go on from here."""
        path = self.save("last")
        if self.accelerator.is_main_process:
            save_state(self.out / "state.pt", self.progress, self._parts())
        return path

    def board(self) -> Any:
        """The TensorBoard writer of this run."""
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.out / "tensorboard"))
        return self._board

    def resume(self) -> None:
        """Go on where the run in the same folder stopped."""
        self.progress = load_state(self.out / "state.pt", self._parts())


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in network.state_dict().items()}
