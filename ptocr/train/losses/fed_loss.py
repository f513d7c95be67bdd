"""Recognisers whose decoder reads one character after the other: RARE, SPIN, SAR, RobustScanner, NRTR.

Upstream: ppocr/losses/rec_att_loss.py, rec_spin_att_loss.py, rec_sar_loss.py, rec_ce_loss.py.
"""

from __future__ import annotations

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.data.targets import TokenLabels
from ptocr.errors import SpecError
from ptocr.train.losses.token_losses import NRTRLoss, SARLoss
from ptocr.train.objectives import Batch, Losses, Objective, Subject
from ptocr.train.parts import LossPart


def attention_ce(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of every step, padding included, summed over the batch (upstream AttentionLoss).

    logits: (N, L, C); labels: (N, L) with start, text, end, start again for padding.
    """
    return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="sum")


def spin_ce(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of what follows each label; class 0, the start and padding, is left out (upstream
    SPINAttentionLoss).

    logits: (N, L - 1, C); labels: (N, L) with start, text, end, padding.
    """
    return F.cross_entropy(logits.float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=0)


class FedObjective(Objective):
    """Base: label rows with start and end, as long as `max_text_length` and `EXTRA`. FIRST: label that the first step
    reads."""

    EXTRA, FIRST = 0, 1

    @classmethod
    def make_targets(cls, subject: Subject, loss: LossPart) -> TokenLabels:
        """Label rows.

        Raises:
            SpecError: longer ones than the head reads.
        """
        assert subject.charset is not None
        length, head = subject.length + cls.EXTRA, subject.network.head
        most = int(head.steps) + cls.FIRST - cls.EXTRA  # type: ignore[union-attr, arg-type]
        if subject.length > most:
            raise SpecError(f"max_text_length {subject.length}: {subject.spec.name} learns no more than {most}")
        return TokenLabels(subject.charset, length)

    def told(self, batch: Batch) -> Batch | None:
        return {"tokens": batch["tokens"], "valid_ratio": batch["valid_ratio"]}


class AttentionSettings(LossPart):
    """forced: the decoder is fed the text. Upstream feeds it what it has read itself, and the first step reads the
    start."""

    name: Literal["attention"] = "attention"
    forced: bool = False


class AttentionObjective(FedObjective):
    """RARE: cross entropy of all steps."""

    heads = ("AttentionHead",)
    FIRST = 0
    settings = AttentionSettings

    def __init__(self, network: nn.Module, loss: AttentionSettings, *rest: Any, **more: Any) -> None:
        super().__init__(network, loss, *rest, **more)
        self.forced = loss.forced

    def told(self, batch: Batch) -> Batch | None:
        fed = F.pad(batch["tokens"][:, :-1], (1, 0))  # class 0 starts the sequence
        return {"tokens": fed} if self.forced else None

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        labels = batch["tokens"]
        return {"attention": attention_ce(out["attention"][:, : labels.shape[1]], labels)}


class SPINSettings(LossPart):
    """Settings of SPIN: it has none of its own."""

    name: Literal["spin"] = "spin"


class SPINObjective(FedObjective):
    """SPIN: cross entropy of what follows each character."""

    heads = ("SPINAttentionHead",)
    settings = SPINSettings
    EXTRA = 2

    def told(self, batch: Batch) -> Batch:
        return {"tokens": batch["tokens"][:, :-1]}

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        return {"attention": spin_ce(out["attention"], batch["tokens"])}


class SARSettings(LossPart):
    """Settings of SAR and RobustScanner: they have none of their own."""

    name: Literal["sar"] = "sar"


class SARObjective(FedObjective):
    """SAR, RobustScanner: cross entropy of what follows each character, padding left out."""

    heads = ("SARHead", "RobustScannerHead")
    settings = SARSettings

    def __init__(self, network: nn.Module, loss: SARSettings, makes: TokenLabels, *rest: Any, **more: Any) -> None:
        super().__init__(network, loss, makes, *rest, **more)
        self.loss, self.padding = SARLoss(), makes.charset.token("pad")

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        return {"sequence": self.loss(out["fed"], batch["tokens"], self.padding)}


class NRTRSettings(LossPart):
    """smoothing: share of a label that the other classes get."""

    name: Literal["nrtr"] = "nrtr"
    smoothing: float = 0.1


class NRTRObjective(FedObjective):
    """NRTR: smoothed cross entropy of what follows each character."""

    heads = ("Transformer",)
    settings = NRTRSettings

    def __init__(self, network: nn.Module, loss: NRTRSettings, *rest: Any, **more: Any) -> None:
        super().__init__(network, loss, *rest, **more)
        self.loss = NRTRLoss(loss.smoothing)

    def told(self, batch: Batch) -> Batch:
        """As far as the end of the longest text of the batch."""
        return {"tokens": batch["tokens"][:, : 2 + int(batch["length"].max())]}

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        return {"sequence": self.loss(out["fed"], batch["tokens"], batch["length"])}
