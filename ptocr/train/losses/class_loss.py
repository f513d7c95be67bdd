"""Cross entropy: what classifiers learn with. Upstream: ppocr/losses/cls_loss.py."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.train import distill
from ptocr.train.objectives import Batch, Helpers, Losses, Objective
from ptocr.train.parts import LossPart


class SmoothCELoss(nn.Module):
    """Cross entropy of a classifier, optionally with label smoothing (upstream ClsLoss, CELoss(epsilon))."""

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits: (N, K); labels: (N,)."""
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.smoothing)


class ClsSettings(LossPart):
    """smoothing: share of the label that the other classes get."""

    name: Literal["ce"] = "ce"
    smoothing: float = 0.0


class ClsObjective(Objective):
    """Cross entropy of a classifier."""

    heads = ("ClsHead", "PPLCNetClassifier")
    settings = ClsSettings
    distils = True

    def __init__(
        self,
        network: nn.Module,
        loss: ClsSettings,
        makes: None = None,
        freeze_norm: bool = False,
        helpers: Helpers | None = None,
    ) -> None:
        super().__init__(network, loss, makes, freeze_norm, helpers)
        self.ce = SmoothCELoss(loss.smoothing)

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        return {"ce": self.ce(out["logits"], batch["label"])}

    def agree(self, a: Batch, b: Batch) -> Tensor:
        return distill.dml_logits(a["logits"], b["logits"])

    def follow(self, out: Batch, answer: Tensor, batch: Batch) -> Tensor:
        return self.stay(out, answer)

    def stay(self, out: Batch, answer: Tensor) -> Tensor:
        now, then = F.log_softmax(out["logits"].float(), 1), F.log_softmax(answer.float(), 1)
        return F.kl_div(now, then, reduction="batchmean", log_target=True)
