"""Fields of forms: what SDMGR learns with. Upstream: ppocr/losses/kie_sdmgr_loss.py."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from ptocr.train.objectives import Batch, Losses, Objective
from ptocr.train.parts import LossPart


class FormSettings(LossPart):
    """node_weight, pair_weight: of the classes of lines and of pairs; ignore: a class that is not learnt."""

    name: Literal["fields"] = "fields"
    node_weight: float = 1.0
    pair_weight: float = 1.0
    ignore: int = 0


class FormObjective(Objective):
    """Cross entropy of lines, and of pairs of lines."""

    heads = ("SDMGR",)
    settings = FormSettings
    options: FormSettings
    INPUTS = ("relations", "texts", "boxes", "counts")

    def told(self, batch: Batch) -> Batch:
        return {name: batch[name] for name in self.INPUTS}

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        """nodes: (N, M, classes) against labels (N, M); pairs: (N, M, M, 2) against (N, M, M). Below zero is no label:
        a line with itself, and what only fills the batch.

        The mean is that over lines with a label, but over all pairs: Paddle's cross entropy counts what it ignores
        where the ignored class is negative, and upstream's weights were learnt so."""
        labels = batch["labels"].masked_fill(batch["labels"] == self.options.ignore, -1)
        nodes, pairs = _sum(out["nodes"], labels), _sum(out["pairs"], batch["pairs"])
        return {
            "nodes": self.options.node_weight * nodes / (labels >= 0).sum().clamp(min=1),
            "pairs": self.options.pair_weight * pairs / batch["counts"].square().sum(),
        }


def _sum(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy where there is a label."""
    return F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), ignore_index=-1, reduction="sum")
