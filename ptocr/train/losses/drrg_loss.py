"""DRRG (arXiv 2003.07493): the loss of a text's maps and of the links between its components.

Upstream: ppocr/losses/det_drrg_loss.py.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.data.targets import DRRGMaps
from ptocr.train.objectives import Batch, Helpers, Losses, Objective, Subject
from ptocr.train.parts import LossPart

NO_TEXT = 100  # negatives that count for a batch without any text


class DRRGLoss(nn.Module):
    """Cross entropy of text on hard pixels, of its middle, and of links; smooth L1 of heights, sine and cosine.

    Of logits, where upstream takes logarithms of rounded probabilities: the same but where these are nearly 0 or 1.
    """

    def __init__(self, ohem_ratio: float = 3.0) -> None:
        super().__init__()
        self.ohem_ratio = ohem_ratio

    def forward(self, maps: Tensor, batch: Batch) -> dict[str, Tensor]:
        """maps: (N, 6, H, W), as `DRRGHead` gives them; batch: as `DRRGMaps`. Returns "text", "center", "height", "sin"
        and "cos"."""
        maps = maps.float()
        text, center, mask = (batch[name].float() for name in ("text", "center", "mask"))
        entropy = F.binary_cross_entropy_with_logits(maps[:, 1], center, reduction="none")
        middle = _mean(entropy, text * mask) + 0.5 * _mean(entropy, (1 - text) * mask)
        return {
            "text": self._hard(maps[:, 0], text, mask),
            "center": middle,
            **_geometry(maps[:, 2:], batch, center * mask),
        }

    def _hard(self, logits: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """Mean cross entropy of all pixels of text and the worst others of the batch."""
        loss = F.binary_cross_entropy_with_logits(logits, text, reduction="none")
        positives, negatives = int((text * mask).sum()), int(((1 - text) * mask).sum())
        count = min(negatives, int(positives * self.ohem_ratio)) if positives else NO_TEXT
        worst = (loss * (1 - text) * mask).flatten().topk(min(count, loss.numel())).values
        return ((loss * text * mask).sum() + worst.sum()) / (positives + count + 1e-5)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean of values where a mask is 1; 0 where it is nowhere."""
    return (values * where).sum() / where.sum().clamp(min=1)


def _bent(difference: Tensor) -> Tensor:
    """Smooth L1 of a difference."""
    return F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none")


def _geometry(maps: Tensor, batch: Batch, where: Tensor) -> dict[str, Tensor]:
    """Losses of sine, cosine and the heights above and below, (N, 4, H, W), in the middle of texts."""
    scale = (maps[:, 0].square() + maps[:, 1].square() + 1e-8).rsqrt()
    above, below = (maps[:, i] / (batch[name] + 1e-2) for i, name in ((2, "above"), (3, "below")))
    heights = _bent(above - 1) + _bent(below - 1)
    found = {"height": _mean((batch["above"] + batch["below"] + 1).log() * heights, where)}
    for number, name in enumerate(("sin", "cos")):
        found[name] = _mean(_bent(maps[:, number] * scale - batch[name]), where)
    return found


class DRRGSettings(LossPart):
    """Settings of `DRRGLoss`."""

    name: Literal["drrg"] = "drrg"
    ohem_ratio: float = 3.0


class DRRGObjective(Objective):
    """DRRG loss, and cross entropy of what the graph network says of links."""

    heads = ("DRRGHead",)
    settings = DRRGSettings

    def __init__(
        self,
        network: nn.Module,
        loss: DRRGSettings,
        makes: DRRGMaps | None = None,
        freeze_norm: bool = False,
        helpers: Helpers | None = None,
    ) -> None:
        super().__init__(network, loss, makes, freeze_norm, helpers)
        self.loss = DRRGLoss(loss.ohem_ratio)

    @classmethod
    def make_targets(cls, subject: Subject, loss: DRRGSettings) -> DRRGMaps:
        """Maps and components."""
        return DRRGMaps()

    def told(self, batch: Batch) -> Batch:
        return {name: batch[name] for name in ("components", "count")}

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        links = F.cross_entropy(out["links"].float().flatten(0, 1), out["linked"].flatten())
        return {**self.loss(out["maps"], batch), "links": links}
