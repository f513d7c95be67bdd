"""Evaluation sets of a run, and which state of the network is the best by them (model selection)."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ptocr.data.sources import Item
from ptocr.evaluation.metrics import Metric
from ptocr.evaluation.models import EVALUATORS, EvalOptions
from ptocr.train.resume import Progress, Scores
from ptocr.train.trainings import Training

log = logging.getLogger(__name__)


class Jury:
    """Scores networks on "val" and "base", shared out among the processes of `accelerator`.

    max_base_loss: a state that loses more than this of the start's score on "base" is not kept, however good it is.
    """

    def __init__(
        self,
        sets: Mapping[str, Sequence[Item]],
        training: Training,
        options: EvalOptions,
        accelerator: Any,
        max_base_loss: float | None = None,
    ) -> None:
        self.sets, self.training, self.options = dict(sets), training, options
        self.accelerator, self.max_base_loss = accelerator, max_base_loss
        base = len(self.sets.get("base", ()))
        if max_base_loss is not None and training.score == "acc" and 0 < base * max_base_loss < 1:
            log.warning(
                "data.base has %d samples, so one of them weighs %.1f points: run.max_base_loss = %.1f points vetoes "
                "every state that loses a single one net; add samples or raise the limit",
                base,
                100 / base,
                100 * max_base_loss,
            )

    def scores(self, network: nn.Module) -> Scores:
        """{set: {score: value}} of a network, through the product's own pre- and postprocessing."""
        accelerator = self.accelerator
        module = self.training.for_evaluation(network).eval()

        def predict(*inputs: np.ndarray) -> list[np.ndarray]:
            with torch.inference_mode(), accelerator.autocast():
                out = module(*(torch.from_numpy(array).to(accelerator.device) for array in inputs))
            arrays = out if isinstance(out, tuple) else (out,)
            return [a.float().cpu().numpy() if a.is_floating_point() else a.cpu().numpy() for a in arrays]

        rank, world = accelerator.process_index, accelerator.num_processes
        evaluate = EVALUATORS[self.training.task]
        # with the weights of today: some detectors' postprocessing runs a part of the network itself
        checkpoint = dataclasses.replace(self.training.checkpoint, state_dict=network.state_dict())
        return {
            name: self._summed(evaluate(checkpoint, predict, items[rank::world], self.options)).result()
            for name, items in self.sets.items()
        }

    def _summed(self, metric: Metric) -> Metric:
        counts = torch.tensor(metric.counts(), dtype=torch.float64, device=self.accelerator.device)
        return metric.with_counts(self.accelerator.reduce(counts).tolist())

    def prefers(self, scores: Scores, progress: Progress) -> bool:
        """Whether a state with these scores is better than the best so far, and loses little enough of "base"."""
        score = self.training.score
        if scores["val"][score] <= progress.best:
            return False
        if self.max_base_loss is None:
            return True
        return progress.before["base"][score] - scores["base"][score] <= self.max_base_loss + 1e-9
