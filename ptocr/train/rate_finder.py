"""Learning-rate range test (arXiv 1506.01186): the loss of a short run whose rate rises from step to step."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ptocr.train.recipe import TrainRecipe
from ptocr.train.run import Run

SMOOTHING = 0.9  # of the running mean of the losses
WORSE = 2.0  # times the least smoothed loss: the test ends
TENTH = 10.0  # a common choice: a tenth of the rate at which the loss was least


@dataclass(frozen=True)
class RateTest:
    """What a range test saw. rates, losses: of every step, the losses smoothed; batch: samples per step; suggested: a
    rate for that batch, None where the loss never fell."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    batch: int
    suggested: float | None


def find_rate(recipe: TrainRecipe, steps: int = 60, low: float = 1e-7, high: float = 1e-1) -> RateTest:
    """Train from the start for at most `steps` steps, at rates from `low` to `high` in equal ratios.

    Nothing is kept, and nothing is written into `run.output`. `optim.lr_scale` holds as in a run.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Run(_short(recipe, Path(folder), steps))
        batches = _endless(run)
        base = [group["lr"] / run.learner.part.lr for group in run.learner.optimizer.param_groups]
        rates: list[float] = []
        losses: list[float] = []
        mean = 0.0
        for step in range(steps):
            rate = low * (high / low) ** (step / max(1, steps - 1))
            for group, scale in zip(run.learner.optimizer.param_groups, base, strict=True):
                group["lr"] = rate * scale
            values = [learn_from(run, batch, last) for batch, last in next(batches)]
            loss = sum(values) / len(values)
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            smooth = mean / (1 - SMOOTHING ** (step + 1))
            if not math.isfinite(loss) or (losses and smooth > WORSE * min(losses)):
                break
            rates.append(rate)
            losses.append(smooth)
        samples = recipe.data.batch_size * recipe.run.accumulate * run.accelerator.num_processes
    return RateTest(tuple(rates), tuple(losses), samples, suggestion(rates, losses))


def learn_from(run: Run, batch: dict[str, Any], last: bool) -> float:
    """The loss of a batch, from which the network learns."""
    with run.learner.sharing(last):
        with run.accelerator.autocast():
            losses = run.learner.objective(batch)
        return run.learner.learn(losses, last)["loss"]


def suggestion(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """A tenth of the rate at which the smoothed loss is least; None where it is least at the first step."""
    if not losses or min(losses) == losses[0]:
        return None
    return rates[losses.index(min(losses))] / TENTH


def _short(recipe: TrainRecipe, folder: Path, steps: int) -> TrainRecipe:
    """The recipe without evaluation and schedule."""
    data = recipe.data.model_copy(update={"val": (), "base": ()})
    optim = recipe.optim.model_copy(update={"schedule": "constant", "warmup": 0.0})
    off: dict[str, Any] = {"interpolate": (), "max_base_loss": None, "ema": None, "swa": None, "trackers": ()}
    run = recipe.run.model_copy(update={**off, "tensorboard": False, "output": folder, "max_steps": steps})
    return recipe.model_copy(update={"data": data, "optim": optim, "run": run})


def _endless(run: Run) -> Iterator[list[tuple[dict[str, Any], bool]]]:
    """The batches of one step after the other, and whether each is the step's last."""
    size = run.part.accumulate
    step: list[tuple[dict[str, Any], bool]] = []
    for epoch in count():
        for batch in run.feed.epoch(epoch):
            step.append((batch, len(step) + 1 == size))
            if len(step) == size:
                yield step
                step = []
