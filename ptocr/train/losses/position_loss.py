"""Recognisers that read all positions at once (ViTSTR, PREN), or in permuted orders (PARSeq).

Upstream: ppocr/losses/rec_ce_loss.py, rec_pren_loss.py, rec_parseq_loss.py.
"""

from __future__ import annotations

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.data.targets import TokenLabels
from ptocr.train.objectives import Batch, Losses, Objective, Subject
from ptocr.train.parts import LossPart


def position_ce(logits: Tensor, labels: Tensor, padding: int) -> Tensor:
    """Cross entropy of what reads all positions at once, padding left out (upstream CELoss with_all, PRENLoss).

    logits: (N, L, C); labels: (N, L).
    """
    return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=padding)


def permuted_ce(logits: Tensor, labels: Tensor, padding: int, end: int) -> Tensor:
    """Permutation language modelling (PARSeq, arXiv 2207.06966; upstream ParseQLoss): the mean over all predictions,
    of which those of the end count in the first two orders alone.

    logits: (orders, N, L, C) of what follows each label; labels: (N, L + 1) with start, text, end, padding.
    """
    targets = labels[:, 1:].expand(len(logits), -1, -1).clone()
    later = targets[2:]
    later[later == end] = padding
    return F.cross_entropy(logits.float().flatten(0, 2), targets.flatten(), ignore_index=padding)


class PositionSettings(LossPart):
    """Settings of the cross entropy of positions: it has none of its own."""

    name: Literal["positions"] = "positions"


class PositionObjective(Objective):
    """Cross entropy of all positions, padding left out."""

    heads = ("TokenHead", "PRENHead")
    settings = PositionSettings

    def __init__(self, network: nn.Module, loss: PositionSettings, makes: TokenLabels, *rest: Any, **more: Any) -> None:
        super().__init__(network, loss, makes, *rest, **more)
        self.padding = makes.charset.token("pad")

    @classmethod
    def make_targets(cls, subject: Subject, loss: PositionSettings) -> TokenLabels:
        """Labels with the end; where there is a start, both stand beside the longest text (upstream:
        ViTSTRLabelEncode, PRENLabelEncode)."""
        charset = subject.charset
        assert charset is not None
        return TokenLabels(charset, subject.length + (2 if charset.frame == 2 else 0))

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        tokens = batch["tokens"]
        return {"positions": position_ce(out["positions"][:, : tokens.shape[1]], tokens, self.padding)}


class PermutedSettings(LossPart):
    """Settings of permutation language modelling: it has none of its own."""

    name: Literal["permuted"] = "permuted"


class PermutedObjective(Objective):
    """PARSeq: a text is learnt in several orders of its characters."""

    heads = ("ParseQHead",)
    settings = PermutedSettings

    def __init__(self, network: nn.Module, loss: PermutedSettings, makes: TokenLabels, *rest: Any, **more: Any) -> None:
        super().__init__(network, loss, makes, *rest, **more)
        self.padding, self.end = makes.charset.token("pad"), makes.charset.token("end")

    @classmethod
    def make_targets(cls, subject: Subject, loss: PermutedSettings) -> TokenLabels:
        """Labels with start and end."""
        assert subject.charset is not None
        return TokenLabels(subject.charset, subject.length)

    def told(self, batch: Batch) -> Batch:
        return {"tokens": self._labels(batch)}

    @staticmethod
    def _labels(batch: Batch) -> Tensor:
        """As far as the end of the longest text of the batch."""
        return batch["tokens"][:, : 2 + int(batch["length"].max())]

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        return {"permuted": permuted_ce(out["permuted"], self._labels(batch), self.padding, self.end)}
