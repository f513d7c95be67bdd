"""Connectionist temporal classification with a guide and a center loss: what most recognisers learn with.

Upstream: ppocr/losses/rec_ctc_loss.py, rec_multi_loss.py, center_loss.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ptocr.data.targets import LabelEncoder
from ptocr.train import distill
from ptocr.train.losses.token_losses import NRTRLoss, SARLoss
from ptocr.train.objectives import Batch, Helpers, Losses, Objective, Subject
from ptocr.train.parts import LossPart


class CTCLoss(nn.Module):
    """Connectionist temporal classification, mean over the lines of the batch (upstream CTCLoss).

    focal: weight each line with (1 - exp(-loss))^2. A line whose text cannot fit its width contributes nothing, where
    Paddle would give infinity.
    """

    def __init__(self, focal: bool = False) -> None:
        super().__init__()
        self.focal = focal

    def forward(self, logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """logits: (N, T, C), not normalised; labels: (N, L) classes, blank = 0; lengths: (N,)."""
        log_probs = F.log_softmax(logits.float(), dim=2).transpose(0, 1)  # (T, N, C)
        steps = torch.full_like(lengths, log_probs.shape[0])
        loss = F.ctc_loss(log_probs, labels, steps, lengths, blank=0, reduction="none", zero_infinity=True)
        if self.focal:
            loss = loss * (1 - torch.exp(-loss)) ** 2
        return loss.mean()


def ace_loss(logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Aggregation cross entropy (arXiv 1904.08364): how often each class occurs, mean over lines (upstream ACELoss,
    which puts the mean probabilities through a softmax once more).

    logits: (N, T, C); labels: (N, L) classes, 0 behind the text; lengths: (N,).
    """
    steps = logits.shape[1]
    found = logits.float().softmax(2).mean(1)
    wanted = F.one_hot(labels, logits.shape[2]).sum(1).to(found.dtype)
    wanted[:, 0] = steps - lengths.to(found.dtype)
    return F.cross_entropy(found, wanted / steps)


class CenterLoss(nn.Module):
    """Squared distance of each step's feature to the centre of its predicted class (upstream CenterLoss).

    centers: (C, D), fixed; make them with `ptocr.train.centers` from a trained model.
    """

    centers: Tensor

    def __init__(self, centers: Tensor) -> None:
        super().__init__()
        self.register_buffer("centers", centers.double())

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """features: (N, T, D); logits: (N, T, C)."""
        flat = features.flatten(0, 1).double()
        label = logits.argmax(2).flatten()
        distance = ((flat - self.centers[label]) ** 2).sum(1).clamp(1e-12, 1e12)
        # upstream clamps the zeros of all other classes to 1e-12 as well; that constant is kept for equal numbers
        return (distance.sum() + 1e-12 * (len(self.centers) - 1) * len(flat)) / len(flat)


class CTCSettings(LossPart):
    """Settings of CTC and what is added to it.

    ctc_focal: weight lines by how badly they are read; gtc_weight: of the guide, where the network has one; centers:
    .npy (classes, features) of the center loss (tools/class_centers.py), weighted with center_weight; ace_weight: of
    the aggregation cross entropy.
    """

    name: Literal["ctc"] = "ctc"
    ctc_weight: float = 1.0
    gtc_weight: float = 1.0
    ctc_focal: bool = False
    centers: Path | None = None
    center_weight: float = 0.05
    ace_weight: float = Field(default=0.0, ge=0)


class CTCObjective(Objective):
    """CTC, the guide's loss where the network has a guide, center loss where centres are given."""

    heads = ("CTCHead", "MultiHead")
    settings = CTCSettings
    options: CTCSettings
    distils = True

    def __init__(
        self,
        network: nn.Module,
        loss: CTCSettings,
        makes: LabelEncoder,
        freeze_norm: bool = False,
        helpers: Helpers | None = None,
    ) -> None:
        super().__init__(network, loss, makes, freeze_norm, helpers)
        self.ctc = CTCLoss(loss.ctc_focal)
        self.nrtr, self.sar = NRTRLoss(), SARLoss()
        self.sar_padding = makes.sar_padding if makes.guide == "sar" else None
        centers = None if loss.centers is None else torch.from_numpy(np.load(loss.centers, allow_pickle=False))
        self.center = CenterLoss(centers) if centers is not None else None

    @classmethod
    def make_targets(cls, subject: Subject, loss: CTCSettings) -> LabelEncoder:
        """Labels of CTC and of the network's guide."""
        assert subject.charset is not None
        layouts = subject.network.class_rows().values()  # type: ignore[operator]
        guide = next((layout for layout in layouts if layout != subject.charset.layout), "nrtr")
        return LabelEncoder(subject.charset, subject.length, guide)

    def told(self, batch: Batch) -> Batch:
        tokens = batch["label_gtc"]
        if self.sar_padding is None:
            tokens = tokens[:, : 2 + int(batch["length"].max())]
        return {"gtc": tokens, "valid_ratio": batch["valid_ratio"]}

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        losses = {"ctc": self.options.ctc_weight * self.ctc(out["ctc"], batch["label_ctc"], batch["length"])}
        if "gtc" in out:
            labels = batch["label_gtc"]
            if self.sar_padding is None:
                guide = self.nrtr(out["gtc"], labels, batch["length"])
            else:
                guide = self.sar(out["gtc"], labels, self.sar_padding)
            losses["gtc"] = self.options.gtc_weight * guide
        if self.center is not None:
            losses["center"] = self.options.center_weight * self.center(out["features"], out["ctc"])
        if self.options.ace_weight:
            ace = ace_loss(out["ctc"], batch["label_ctc"], batch["length"])
            losses["ace"] = self.options.ace_weight * ace
        return losses

    def agree(self, a: Batch, b: Batch) -> Tensor:
        return distill.dml_logits(a["ctc"], b["ctc"])

    def follow(self, out: Batch, answer: Tensor, batch: Batch) -> Tensor:
        return self.stay(out, answer)

    def stay(self, out: Batch, answer: Tensor) -> Tensor:
        assert self.rows is not None and self.part is not None
        return distill.keep_ctc(out["ctc"], answer, self.rows, self.part.temperature)
