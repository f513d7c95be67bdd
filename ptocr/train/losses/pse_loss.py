"""PSENet (arXiv 1903.12473): the loss of a text region and its kernels.

Upstream: ppocr/losses/det_pse_loss.py.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.data.targets import PSEMaps
from ptocr.errors import SpecError
from ptocr.spec.settings import PSEPostprocess
from ptocr.train.masked import hard_mask, squared_dice
from ptocr.train.objectives import Batch, Helpers, Losses, Objective, Subject
from ptocr.train.parts import LossPart

EPS = 1e-6
ENLARGED = 4  # of the maps, to the size of the picture


class PSELoss(nn.Module):
    """alpha * dice of the text on hard pixels + (1 - alpha) * mean dice of the kernels, mean over the batch.

    kernels_in: where the kernels' loss counts, in what is predicted as text or in what is text. As upstream, maps are
    enlarged by repeating pixels, though they are interpolated for predictions; the first kernel is compared with the
    same target as the text, and the smallest target with nothing; hard pixels are ranked among ignored ones too.
    Upstream's recipes take the sum over the batch, so that the rate of the weight decay hangs on the batch size.
    """

    def __init__(self, alpha: float = 0.7, ohem_ratio: float = 3.0, kernels_in: Literal["pred", "gt"] = "pred") -> None:
        super().__init__()
        self.alpha, self.ohem_ratio, self.kernels_in = alpha, ohem_ratio, kernels_in

    def forward(self, maps: Tensor, kernels: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """maps: (N, K, H / 4, W / 4) logits; kernels: (N, K, H, W); mask: (N, H, W). Returns "text" and "kernels"."""
        logits = F.interpolate(maps.float(), scale_factor=ENLARGED, mode="nearest")
        kernels, mask = kernels.float(), mask.float()
        text, target = logits[:, 0], kernels[:, 0]
        hard = [
            hard_mask(s, t, m, self.ohem_ratio, t <= 0.5) for s, t, m in zip(text.detach(), target, mask, strict=True)
        ]
        inside = mask * (text.detach() > 0 if self.kernels_in == "pred" else target)
        parts = [squared_dice(logits[:, i + 1], kernels[:, i], inside, EPS) for i in range(logits.shape[1] - 1)]
        return {
            "text": self.alpha * squared_dice(text, target, torch.stack(hard), EPS).mean(),
            "kernels": (1 - self.alpha) * torch.stack(parts).mean(),
        }


class PSESettings(LossPart):
    """Settings of `PSELoss`."""

    name: Literal["pse"] = "pse"
    alpha: float = 0.7
    ohem_ratio: float = 3.0
    kernels_in: Literal["pred", "gt"] = "pred"


class PSEObjective(Objective):
    """PSE loss."""

    heads = ("PSEHead",)
    settings = PSESettings

    def __init__(
        self,
        network: nn.Module,
        loss: PSESettings,
        makes: PSEMaps | None = None,
        freeze_norm: bool = False,
        helpers: Helpers | None = None,
    ) -> None:
        super().__init__(network, loss, makes, freeze_norm, helpers)
        self.loss = PSELoss(loss.alpha, loss.ohem_ratio, loss.kernels_in)

    @classmethod
    def make_targets(cls, subject: Subject, loss: PSESettings) -> PSEMaps:
        """As many kernels as the head has.

        Raises:
            SpecError: the model's maps are others.
        """
        if not isinstance(subject.spec.postprocess, PSEPostprocess):
            raise SpecError(f"{subject.spec.name}: loss 'pse' is for postprocessing 'pse'; say another as `loss.name`")
        return PSEMaps(subject.network.head.kernels)  # type: ignore[union-attr,arg-type]

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        return self.loss(out["maps"], batch["kernels"], batch["mask"])  # type: ignore[no-any-return]
