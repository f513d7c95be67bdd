"""Losses of table structure: HTML tokens, and the boxes of cells. Numbers agree with Paddle's.

structure: logits (N, T, C) of what follows each token; boxes: (N, T, box_numbers) in [0, 1]; tokens: (N, T + 1) labels
from the start token on; wanted, cells: (N, T + 1, box_numbers) boxes and (N, T + 1, 1) 1 where a token is a cell with
one. Upstream: ppocr/losses/table_att_loss.py, table_master_loss.py.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.data.targets import TableTargets
from ptocr.spec.tasks import TableMasterPostprocess, TablePostprocess
from ptocr.train.objectives import Batch, Losses, Objective, Subject
from ptocr.train.parts import LossPart

EPS = 1e-12


def _ce(structure: Tensor, tokens: Tensor, padding: int = -100) -> Tensor:
    return F.cross_entropy(structure.float().flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=padding)


def table_attention_losses(structure: Tensor, boxes: Tensor, tokens: Tensor, wanted: Tensor, cells: Tensor) -> Losses:
    """TableRec-RARE (upstream TableAttentionLoss): padding counts; squared errors over all places."""
    return {
        "structure": _ce(structure, tokens),
        "boxes": F.mse_loss(boxes.float() * cells[:, 1:], wanted[:, 1:]),
    }


def sla_losses(structure: Tensor, boxes: Tensor, tokens: Tensor, wanted: Tensor, cells: Tensor) -> Losses:
    """SLANet (upstream SLALoss): padding of shorter tables counts; smooth absolute errors, summed over a box's numbers,
    in the mean over cells. The labels may go on behind the longest table of the batch."""
    place = slice(1, 1 + structure.shape[1])
    mask, aim = cells[:, place], wanted[:, place]
    distance = F.smooth_l1_loss(boxes.float() * mask, aim * mask, reduction="sum")
    return {"structure": _ce(structure, tokens[:, : place.stop]), "boxes": distance / (mask.sum() + EPS)}


def table_master_losses(
    structure: Tensor, boxes: Tensor, tokens: Tensor, wanted: Tensor, cells: Tensor, padding: int
) -> Losses:
    """TableMaster (upstream TableMasterLoss): absolute errors of centre and size, in the mean over cells."""
    mask = cells[:, 1:]
    distance = ((boxes.float() - wanted[:, 1:]) * mask).abs()
    count = mask.sum() + EPS
    return {
        "structure": _ce(structure, tokens, padding),
        "horizontal": distance[..., 0::2].sum() / count,
        "vertical": distance[..., 1::2].sum() / count,
    }


class TableSettings(LossPart):
    """Weights of what tables learn with."""

    structure_weight: float = 1.0
    box_weight: float = 1.0


class TableObjective(Objective):
    """Base: tokens are fed in, what follows them and where their cells are is learnt."""

    settings: ClassVar[type[LossPart]] = TableSettings

    @classmethod
    def make_targets(cls, subject: Subject, loss: TableSettings) -> TableTargets:
        """Rows of two places more than the head's longest table has tokens."""
        post, head = subject.spec.postprocess, subject.network.head
        assert isinstance(post, TablePostprocess | TableMasterPostprocess)
        return TableTargets(post, head.max_length + 2, head.box_numbers)  # type: ignore[union-attr, operator, arg-type]

    def told(self, batch: Batch) -> Batch:
        return {"tokens": batch["tokens"][:, :-1]}

    def errors(self, out: Batch, tokens: Tensor, wanted: Tensor, cells: Tensor) -> Losses:
        """Losses without weights."""
        raise NotImplementedError

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        losses = self.errors(out, batch["tokens"], batch["boxes"], batch["cells"])
        tokens, boxes = self.options.structure_weight, self.options.box_weight
        return {name: (tokens if name == "structure" else boxes) * value for name, value in losses.items()}


class TableAttentionSettings(TableSettings):
    """Upstream's weights."""

    name: Literal["table_attention"] = "table_attention"
    structure_weight: float = 100.0
    box_weight: float = 10000.0


class TableAttentionObjective(TableObjective):
    """TableRec-RARE."""

    heads = ("TableAttentionHead",)
    settings = TableAttentionSettings

    def errors(self, out: Batch, tokens: Tensor, wanted: Tensor, cells: Tensor) -> Losses:
        return table_attention_losses(out["structure"], out["boxes"], tokens, wanted, cells)


class SLASettings(TableSettings):
    """Upstream's weights."""

    name: Literal["sla"] = "sla"
    box_weight: float = 2.0


class SLAObjective(TableObjective):
    """SLANet: a batch is as long as its longest table."""

    heads = ("SLAHead",)
    settings = SLASettings

    def told(self, batch: Batch) -> Batch:
        return {"tokens": batch["tokens"][:, : 1 + int(batch["length"].max())]}

    def errors(self, out: Batch, tokens: Tensor, wanted: Tensor, cells: Tensor) -> Losses:
        return sla_losses(out["structure"], out["boxes"], tokens, wanted, cells)


class TableMasterSettings(TableSettings):
    """Upstream's weights."""

    name: Literal["table_master"] = "table_master"


class TableMasterObjective(TableObjective):
    """TableMaster: padding is left out."""

    heads = ("TableMasterHead",)
    settings = TableMasterSettings

    def __init__(
        self, network: nn.Module, loss: TableMasterSettings, makes: TableTargets, *rest: Any, **more: Any
    ) -> None:
        super().__init__(network, loss, makes, *rest, **more)
        _, _, self.padding = makes.post.marks

    def errors(self, out: Batch, tokens: Tensor, wanted: Tensor, cells: Tensor) -> Losses:
        return table_master_losses(out["structure"], out["boxes"], tokens, wanted, cells, self.padding)
