"""CentripetalText (arXiv 2107.05945): the loss of kernels and of shifts towards them.

Upstream: ppocr/losses/det_ct_loss.py.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.data.targets import CTMaps
from ptocr.errors import SpecError
from ptocr.spec.settings import CTPostprocess
from ptocr.train.masked import hard_mask, squared_dice
from ptocr.train.objectives import Batch, Helpers, Losses, Objective, Subject
from ptocr.train.parts import LossPart

KERNEL_EPS, SHIFT_EPS = 1e-3, 1e-6
ENLARGED = 4  # of the maps, to the size of the picture
UNIT = 10  # pixels that one unit of a shift is
HARD_RATIO = 3.0
BEND, WEIGHT = 0.1, 0.05  # of the smooth L1 loss of shifts


class CTLoss(nn.Module):
    """Dice of the kernels on hard pixels + 0.05 * smooth L1 of the shifts where they lead to a wrong kernel, mean over
    the batch.

    Upstream knows pictures of 640 x 640 pixels alone, and takes the sum over the batch.
    """

    def forward(self, maps: Tensor, batch: Batch) -> dict[str, Tensor]:
        """maps: (N, 3, H / 4, W / 4), logits of kernels and shifts in x and y; batch: "texts", "kernels", "mask",
        "shift_mask" (N, H, W), "shifts" (N, 2, H, W). Returns "kernels" and "shifts"."""
        maps = F.interpolate(maps.float(), scale_factor=float(ENLARGED), mode="bilinear", align_corners=False)
        logits, shifts = maps[:, 0], maps[:, 1:]
        target, mask = (batch["kernels"] > 0).float(), batch["mask"].float()
        hard = [
            hard_mask(s, t, m, HARD_RATIO, (t <= 0.5) & (m > 0.5))
            for s, t, m in zip(logits.detach(), target, mask, strict=True)
        ]
        wrong = _misled(shifts.detach(), batch["texts"], batch["kernels"]) * batch["shift_mask"]
        loss = F.smooth_l1_loss(shifts * wrong[:, None], batch["shifts"] * wrong[:, None], reduction="none", beta=BEND)
        return {
            "kernels": squared_dice(logits, target, torch.stack(hard), KERNEL_EPS).mean(),
            "shifts": WEIGHT * (loss.flatten(1).sum(1) / (wrong.flatten(1).sum(1) + SHIFT_EPS)).mean(),
        }


def _misled(shifts: Tensor, texts: Tensor, kernels: Tensor) -> Tensor:
    """1 where a pixel's shift (N, 2, H, W) does not lead to the kernel of its text, (N, H, W) float32."""
    count, height, width = texts.shape
    columns, rows = torch.arange(width, device=shifts.device), torch.arange(height, device=shifts.device)[:, None]
    x = (columns + UNIT * shifts[:, 0]).long().clamp(0, width - 1)
    y = (rows + UNIT * shifts[:, 1]).long().clamp(0, height - 1)
    reached = kernels.flatten(1).gather(1, (y * width + x).flatten(1)).reshape(count, height, width)
    return (reached != texts).float()


class CTSettings(LossPart):
    """Settings of `CTLoss`: none of its own."""

    name: Literal["ct"] = "ct"


class CTObjective(Objective):
    """CT loss."""

    heads = ("PSEHead",)
    settings = CTSettings

    def __init__(
        self,
        network: nn.Module,
        loss: CTSettings,
        makes: CTMaps | None = None,
        freeze_norm: bool = False,
        helpers: Helpers | None = None,
    ) -> None:
        super().__init__(network, loss, makes, freeze_norm, helpers)
        self.loss = CTLoss()

    @classmethod
    def make_targets(cls, subject: Subject, loss: CTSettings) -> CTMaps:
        """The maps of kernels and shifts.

        Raises:
            SpecError: the model's maps are others.
        """
        if not isinstance(subject.spec.postprocess, CTPostprocess):
            raise SpecError(f"{subject.spec.name}: loss 'ct' is for postprocessing 'ct'; say another as `loss.name`")
        return CTMaps()

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        return self.loss(out["maps"], batch)  # type: ignore[no-any-return]
