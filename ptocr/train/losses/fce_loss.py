"""FCENet (arXiv 2104.10442): the loss of texts, their middles and the points on their contours.

Upstream: ppocr/losses/det_fce_loss.py.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ptocr.data.targets import FCEMaps
from ptocr.errors import SpecError
from ptocr.spec.settings import FCEPostprocess
from ptocr.train.objectives import Batch, Helpers, Losses, Objective, Subject
from ptocr.train.parts import LossPart

NO_TEXT = 100  # negatives that count for a batch without any text


class FCELoss(nn.Module):
    """Cross entropy of text on hard pixels, of the middle inside texts and, at half the weight, elsewhere, and smooth
    L1 of contour points, summed over the levels.

    points: on each contour that is compared. As upstream, the middle is learnt in ignored regions too, as none, and 100
    negatives are counted where a batch has no text, however few there are.
    """

    def __init__(self, points: int = 50, ohem_ratio: float = 3.0) -> None:
        super().__init__()
        self.points, self.ohem_ratio = points, ohem_ratio

    def forward(self, classes: list[Tensor], contours: list[Tensor], targets: list[Tensor]) -> dict[str, Tensor]:
        """Of each level: classes (N, 4, h, w) logits, contours (N, coefficients, h, w), targets as `FCEMaps` gives.
        Returns "text", "center", "x" and "y"."""
        parts = [self._level(*level) for level in zip(classes, contours, targets, strict=True)]
        return {name: torch.stack([part[name] for part in parts]).sum() for name in parts[0]}

    def _level(self, classes: Tensor, contours: Tensor, target: Tensor) -> dict[str, Tensor]:
        classes, contours = (x.float().movedim(1, -1).flatten(0, 2) for x in (classes, contours))  # (pixels, channels)
        target = target.movedim(1, -1).flatten(0, 2)
        text, center, mask = (target[:, i] > 0.5 for i in range(3))
        inside = text & mask
        losses = {"text": self._hard(classes[:, :2], text, mask)}
        if not inside.any():
            return losses | dict.fromkeys(("center", "x", "y"), contours.sum() * 0)
        loss = F.cross_entropy(classes[:, 2:], center.long(), reduction="none")
        outside = loss[~inside]
        losses["center"] = loss[inside].mean() + 0.5 * (outside.mean() if len(outside) else outside.sum())
        weight = (1 + center[inside].float())[:, None] / 2
        for name, found, wanted in zip(
            "xy", self._drawn(contours[inside]), self._drawn(target[inside][:, 3:]), strict=True
        ):
            losses[name] = (weight * F.smooth_l1_loss(found, wanted, reduction="none")).mean()
        return losses

    def _hard(self, logits: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """Mean cross entropy of all pixels of text and the worst others."""
        loss = F.cross_entropy(logits, text.long(), reduction="none")
        positive, negative = loss[text & mask], loss[~text & mask]
        count = min(len(negative), int(self.ohem_ratio * len(positive))) if len(positive) else NO_TEXT
        worst = negative.topk(min(count, len(negative))).values
        return (positive.sum() + worst.sum()) / (len(positive) + count)

    def _drawn(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Points (n, points) x and y of contours (n, 2 * (2 * degree + 1)): real, then imaginary parts."""
        real, imaginary = coefficients.chunk(2, dim=1)
        degree = real.shape[1] // 2
        waves = torch.arange(-degree, degree + 1, dtype=torch.float32, device=real.device)
        steps = torch.arange(self.points, dtype=torch.float32, device=real.device)
        angles = 2 * math.pi / self.points * waves[:, None] * steps
        cos, sin = angles.cos(), angles.sin()
        return real @ cos - imaginary @ sin, real @ sin + imaginary @ cos


class FCESettings(LossPart):
    """Settings of `FCELoss`."""

    name: Literal["fce"] = "fce"
    points: int = Field(default=50, ge=4)
    ohem_ratio: float = 3.0


class FCEObjective(Objective):
    """FCE loss."""

    heads = ("FCEHead",)
    settings = FCESettings

    def __init__(
        self,
        network: nn.Module,
        loss: FCESettings,
        makes: FCEMaps | None = None,
        freeze_norm: bool = False,
        helpers: Helpers | None = None,
    ) -> None:
        super().__init__(network, loss, makes, freeze_norm, helpers)
        self.loss = FCELoss(loss.points, loss.ohem_ratio)

    @classmethod
    def make_targets(cls, subject: Subject, loss: FCESettings) -> FCEMaps:
        """Maps of the levels and coefficients that the model's postprocessing expects.

        Raises:
            SpecError: it is another one, or has other than three levels.
        """
        post = subject.spec.postprocess
        if not isinstance(post, FCEPostprocess) or len(post.scales) != 3:
            raise SpecError(f"{subject.spec.name}: loss 'fce' is for postprocessing 'fce' with three `scales`")
        return FCEMaps(post.scales, post.fourier_degree)

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        classes, contours, targets = (
            [source[f"{name}_{i}"] for i in range(3)]
            for source, name in ((out, "classes"), (out, "contours"), (batch, "maps"))
        )
        return self.loss(classes, contours, targets)  # type: ignore[no-any-return]
