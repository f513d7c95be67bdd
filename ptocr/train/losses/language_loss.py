"""Recognisers that learn what texts are like beside what is seen: SRN, ABINet, VisionLAN.

Upstream: ppocr/losses/rec_srn_loss.py, rec_ce_loss.py, rec_vl_loss.py.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.data.targets import HiddenLabels, TokenLabels
from ptocr.train.objectives import Batch, Losses, Objective, Subject
from ptocr.train.parts import LossPart


def summed_ce(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy summed over the batch, padding included: (N, L, C), (N, L)."""
    return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="sum")


def text_ce(logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Mean cross entropy of texts and their ends; what stands behind is left out.

    logits: (..., N, >= L, C), of several rounds too; labels: (N, L); lengths: (N,) of texts.
    """
    logits = logits[..., : labels.shape[1], :]
    text = torch.arange(labels.shape[1], device=labels.device) <= lengths[:, None]
    labels = labels.masked_fill(~text, -100).expand(logits.shape[:-1])
    return F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), ignore_index=-100)


class SRNSettings(LossPart):
    """Weights of what was seen, of what the text probably says, and of both together."""

    name: Literal["srn"] = "srn"
    word_weight: float = 1.0
    semantic_weight: float = 0.15
    fused_weight: float = 2.0


class SRNObjective(Objective):
    """SRN: cross entropies of its three branches, each summed over the batch."""

    heads = ("SRNHead",)
    settings = SRNSettings

    def __init__(self, network: nn.Module, loss: SRNSettings, *rest: Any, **more: Any) -> None:
        super().__init__(network, loss, *rest, **more)
        self.weights = {"words": loss.word_weight, "semantic": loss.semantic_weight, "fused": loss.fused_weight}

    @classmethod
    def make_targets(cls, subject: Subject, loss: SRNSettings) -> TokenLabels:
        """Labels as long as the head's positions."""
        assert subject.charset is not None
        return TokenLabels(subject.charset, subject.length)

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        labels = batch["tokens"]
        return {k: w * summed_ce(out[k][:, : labels.shape[1]], labels) for k, w in self.weights.items()}


class ABINetSettings(LossPart):
    """Settings of ABINet: it has none of its own."""

    name: Literal["abinet"] = "abinet"


class ABINetObjective(Objective):
    """ABINet: cross entropies of what is seen, of what the language model says, and of both together."""

    heads = ("ABINetHead",)
    settings = ABINetSettings

    @classmethod
    def make_targets(cls, subject: Subject, loss: ABINetSettings) -> TokenLabels:
        """Labels with the end behind the longest text."""
        assert subject.charset is not None
        return TokenLabels(subject.charset, subject.length + 1)

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        return {
            name: text_ce(out[name], batch["tokens"], batch["length"]) for name in ("aligned", "language", "vision")
        }


def parts_of(tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Labels (N, L) without the character at `hidden` (N,), and of it alone; 0 behind them."""
    place = torch.arange(tokens.shape[1], device=tokens.device)
    rest = torch.where(place < hidden[:, None], tokens, F.pad(tokens[:, 1:], (0, 1)))
    one = torch.where(place == 0, tokens.gather(1, hidden[:, None]), 0)
    return rest, one


class VisionLANSettings(LossPart):
    """stage: "LF_1" learns to read, "LF_2" also to tell one character from the rest of its line, "LA" to read half of
    the lines without one of their characters; each begins with the weights of the one before (`start`). Upstream lets
    all but the mask learn at a tenth of the rate in LF_2 (`optim.lr_scale`). rest_weight, one_weight: of the line
    without the character, and of the character alone.
    """

    name: Literal["visionlan"] = "visionlan"
    stage: Literal["LF_1", "LF_2", "LA"] = "LA"
    rest_weight: float = 0.5
    one_weight: float = 0.5


class VisionLANObjective(Objective):
    """VisionLAN: cross entropies of the text, of the text without a character, and of that character."""

    heads = ("VLHead",)
    settings = VisionLANSettings

    def __init__(self, network: nn.Module, loss: VisionLANSettings, *rest: Any, **more: Any) -> None:
        super().__init__(network, loss, *rest, **more)
        self.stage, self.weights = loss.stage, (loss.rest_weight, loss.one_weight)

    @classmethod
    def make_targets(cls, subject: Subject, loss: VisionLANSettings) -> HiddenLabels:
        """Labels with the end behind the longest text (upstream has no room for it), and a character to hide."""
        assert subject.charset is not None
        return HiddenLabels(subject.charset, subject.length + 1)

    def told(self, batch: Batch) -> Batch | None:
        if self.stage == "LF_1":
            return None
        hidden, count = batch["hidden"], len(batch["hidden"])
        half = torch.arange(count, device=hidden.device) < max(1, count // 2)
        return {"hidden": hidden} | ({"occluded": half} if self.stage == "LA" else {})

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        tokens, lengths = batch["tokens"], batch["length"]
        losses = {"text": text_ce(out["text"], tokens, lengths)}
        if self.stage != "LF_1":
            rest, one = parts_of(tokens, batch["hidden"])
            losses["rest"] = self.weights[0] * text_ce(out["rest"], rest, lengths - 1)
            losses["one"] = self.weights[1] * text_ce(out["one"], one, torch.ones_like(lengths))
        return losses
