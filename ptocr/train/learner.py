"""The network that learns, with optimiser, schedule and weight average: one optimisation step, and its state."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ptocr.train.adapters import merged
from ptocr.train.objectives import Objective
from ptocr.train.optim import fuse_frozen, make_average, make_optimizer, make_schedule
from ptocr.train.parts import OptimPart

SKIPPED = 20  # steps in a row that a gradient scaler (fp16) may leave out before a run counts as lost


class Learner:
    """An objective under accelerate. `network`: what learns; `result`: what is evaluated and saved.

    part: optimiser and rates, the learning rate already that of this batch size; accumulate: batches per step;
    ema: decay of the weight average, or None; swa_from: step after which the mean of the weights is taken, or None.
    """

    def __init__(
        self,
        objective: Objective,
        part: OptimPart,
        accelerator: Any,
        steps_per_epoch: int,
        epochs: int,
        accumulate: int = 1,
        ema: float | None = None,
        swa_from: int | None = None,
    ) -> None:
        self.accelerator, self.part, self.accumulate = accelerator, part, accumulate
        optimizer = make_optimizer(objective.network, part, objective.peer)
        self.schedule = make_schedule(optimizer, part, steps_per_epoch, epochs)
        self.objective, self.optimizer = accelerator.prepare(objective.train(), optimizer)
        if part.freeze_norm:
            fuse_frozen(self.network)
        self.average = make_average(self.network, ema) if ema or swa_from is not None else None
        self.swa_from = swa_from or 0
        self._skipped = 0

    @property
    def network(self) -> nn.Module:
        """The network that learns, without wrappers."""
        return self.accelerator.unwrap_model(self.objective).network

    @property
    def result(self) -> nn.Module:
        """The network that is evaluated and saved: the average where there is one, adapters merged."""
        averaged = self.average is not None and int(self.average.n_averaged) > 0
        return merged(self.average.module if averaged else self.network)  # type: ignore[union-attr]

    @property
    def rate(self) -> float:
        """The learning rate now, of the fastest layers."""
        return float(max(self.schedule.get_last_lr()))

    def sharing(self, boundary: bool) -> AbstractContextManager[Any]:
        """Around the forward and backward of a batch: processes share gradients at boundaries alone."""
        return nullcontext() if boundary else self.accelerator.no_sync(self.objective)

    def learn(self, losses: dict[str, Tensor], boundary: bool) -> dict[str, float]:
        """Backward of one batch's losses; at a boundary the weights move. Returns the losses as numbers."""
        self.accelerator.backward(losses["loss"] / self.accumulate)
        if boundary:
            if self.part.clip is not None:
                self.accelerator.clip_grad_norm_(self.objective.parameters(), self.part.clip)
            if self.part.clip_each is not None:
                self.accelerator.unscale_gradients()
                for parameter in self.objective.parameters():
                    nn.utils.clip_grad_norm_(parameter, self.part.clip_each)
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
            if self.average is not None and self.schedule.last_epoch > self.swa_from:
                self.average.update_parameters(self.network)
        return {k: float(v.detach()) for k, v in losses.items()}

    def lost(self, losses: Mapping[str, float]) -> bool:
        """Whether the losses of a step say that training diverged. A gradient scaler leaves single such steps out."""
        if math.isfinite(losses["loss"]):
            self._skipped = 0
            return False
        self._skipped += 1
        return self.accelerator.scaler is None or self._skipped > SKIPPED

    def finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(v.isfinite().all()) for v in self.result.state_dict().values() if v.is_floating_point())

    def mixture(self, begun: Mapping[str, Tensor], share: float, added: Mapping[str, Tensor]) -> nn.Module:
        """A network with the weights begun + share * (now - begun); the rows `added` names stay as they are now."""
        mixed = copy.deepcopy(self.result)
        now = mixed.state_dict()
        state = {k: torch.lerp(begun[k], v, share) if v.is_floating_point() else v for k, v in now.items()}
        for name, rows in added.items():
            state[name][rows] = now[name][rows]
        mixed.load_state_dict(state)
        return mixed

    def parts(self) -> dict[str, Any]:
        """What a resumed run needs, by name: objects with state_dict() and load_state_dict()."""
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


def copied(network: nn.Module) -> dict[str, Tensor]:
    """The weights of a network as they are now."""
    return {k: v.detach().clone() for k, v in network.state_dict().items()}
