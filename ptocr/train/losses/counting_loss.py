"""Recognisers that count characters beside reading them: RFL, CPPD, CAN.

Upstream: ppocr/losses/rec_rfl_loss.py, rec_cppd_loss.py, rec_can_loss.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.data.targets import TokenLabels
from ptocr.train.losses.token_losses import smoothed_ce
from ptocr.train.objectives import Batch, Losses, Objective, Subject
from ptocr.train.parts import LossPart


def occurrences(tokens: Tensor, classes: int, uncounted: Sequence[int]) -> Tensor:
    """How often each class occurs among tokens (N, L), zero for those that are not counted: (N, classes) int64."""
    counts = F.one_hot(tokens, classes).sum(1)
    counts[:, list(uncounted)] = 0
    return counts


def rfl_losses(counts: Tensor, logits: Tensor | None, labels: Tensor) -> Losses:
    """RFL (upstream RFLLoss): squared error of the counts, and cross entropy of the decoder, padding included.

    counts: (N, C); logits: (N, L, C) of what follows each label, None in the counting stage; labels: (N, L) with start
    (class 0), text, end (the last class), and the start again for padding.
    """
    wanted = occurrences(labels, counts.shape[1], (0, counts.shape[1] - 1))
    losses = {"counting": F.mse_loss(counts.float(), wanted.float())}
    if logits is not None:
        losses["attention"] = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten())
    return losses


def cppd_losses(
    characters: Tensor, positions: Tensor, edges: Tensor, labels: Tensor, padding: int, smoothing: float
) -> Losses:
    """CPPD (upstream CPPDLoss): how often each character occurs, which positions are taken, and what stands there.

    characters: (N, C, most + 1) logits of a character's count; positions: (N, L) logits; edges: (N, L, C); labels:
    (N, L) with text, end (class 0), then `padding`, which is no class.
    """
    text = labels.where(labels != padding, 0)
    counts = occurrences(text, edges.shape[2], (0,))
    counts[:, 0], most = 1, characters.shape[2] - 1  # the end
    taken = (labels != padding).float()
    return {
        "characters": F.cross_entropy(characters.float().flatten(0, 1), counts.clamp(max=most).flatten()),
        "positions": F.binary_cross_entropy_with_logits(positions.float(), taken),
        "edges": smoothed_ce(edges, labels, padding, smoothing),
    }


def can_losses(logits: Tensor, counts: Sequence[Tensor], labels: Tensor, uncounted: Sequence[int]) -> Losses:
    """CAN (upstream CANLoss): cross entropy of the symbols, padding included, and errors of the counts.

    logits: (N, L, C); counts: (N, C) each: of small kernels, of large ones, their mean; labels: (N, L) with the text,
    end, and the end again for padding; uncounted: the end, the start, and what only joins symbols.
    """
    wanted = occurrences(labels, logits.shape[2], uncounted).float()
    return {
        "symbols": F.cross_entropy(logits.float().flatten(0, 1), labels.flatten()),
        "counting": torch.stack([F.smooth_l1_loss(c.float(), wanted) for c in counts]).sum(),
    }


class RFLSettings(LossPart):
    """Settings of RFL: it has none of its own."""

    name: Literal["rfl"] = "rfl"


class RFLObjective(Objective):
    """RFL: counting alone, or counting and reading, whichever the head does."""

    heads = ("RFLHead", "RFLCountingHead")
    settings = RFLSettings

    @classmethod
    def make_targets(cls, subject: Subject, loss: RFLSettings) -> TokenLabels:
        """Labels with start and end."""
        assert subject.charset is not None
        return TokenLabels(subject.charset, subject.length)

    def told(self, batch: Batch) -> Batch:
        return {"tokens": batch["tokens"]}

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        return rfl_losses(out["counting"], out.get("attention"), batch["tokens"])


class CPPDSettings(LossPart):
    """smoothing: share of a label that the other classes get; side_weight: of what is asked of the nodes."""

    name: Literal["cppd"] = "cppd"
    smoothing: float = 0.1
    side_weight: float = 1.0


class CPPDObjective(Objective):
    """CPPD: counts of characters, places that are taken, and the text."""

    heads = ("CPPDHead",)
    settings = CPPDSettings
    options: CPPDSettings
    UNTOLD = -100  # stands for places behind a text's end

    @classmethod
    def make_targets(cls, subject: Subject, loss: CPPDSettings) -> TokenLabels:
        """Labels with the end, as long as the head's positions."""
        assert subject.charset is not None
        return TokenLabels(subject.charset, subject.network.head.positions)  # type: ignore[union-attr, arg-type]

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        tokens = batch["tokens"]
        behind = torch.arange(tokens.shape[1], device=tokens.device) > batch["length"][:, None]
        labels = tokens.masked_fill(behind, self.UNTOLD)
        losses = cppd_losses(**out, labels=labels, padding=self.UNTOLD, smoothing=self.options.smoothing)
        return {k: v if k == "edges" else self.options.side_weight * v for k, v in losses.items()}


class CANSettings(LossPart):
    """Settings of CAN: it has none of its own."""

    name: Literal["can"] = "can"


class CANObjective(Objective):
    """CAN: the symbols of a formula and how often each occurs."""

    heads = ("CANHead",)
    settings = CANSettings
    UNCOUNTED = ("{", "}", "^", "_")  # what only joins symbols

    def __init__(self, network: nn.Module, loss: CANSettings, makes: TokenLabels, *rest: Any, **more: Any) -> None:
        super().__init__(network, loss, makes, *rest, **more)
        charset = makes.charset
        marks = [charset.encode(mark)[0] for mark in self.UNCOUNTED if mark in charset]
        self.uncounted = [charset.token("end"), charset.token("start"), *marks]

    @classmethod
    def make_targets(cls, subject: Subject, loss: CANSettings) -> TokenLabels:
        """Labels with the end."""
        assert subject.charset is not None
        return TokenLabels(subject.charset, subject.length)

    def told(self, batch: Batch) -> Batch:
        return {"tokens": self._labels(batch), "mask": batch["mask"]}

    @staticmethod
    def _labels(batch: Batch) -> Tensor:
        """As far as the end of the longest formula of the batch."""
        return batch["tokens"][:, : 1 + int(batch["length"].max())]

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        small, large = out["small"], out["large"]
        counts = (small, large, (small + large) / 2)
        return can_losses(out["symbols"], counts, self._labels(batch), self.uncounted)
