"""Differentiable binarisation (arXiv 1911.08947): the loss of DB detectors and what they learn with it.

Upstream: ppocr/losses/det_db_loss.py, det_basic_loss.py.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ptocr.data.targets import DBMaps
from ptocr.train import distill
from ptocr.train.masked import balanced, binary_focal, dice_loss, masked_l1
from ptocr.train.objectives import Batch, Helpers, Losses, Objective, Subject
from ptocr.train.parts import LossPart

DetMainLoss = Literal["dice", "bce", "dice_focal"]


class DBLoss(nn.Module):
    """Differentiable binarisation: alpha * shrink map + beta * threshold map + binary map (upstream DBLoss).

    main: loss of the shrink map; "dice" is what the PP-OCR recipes use, "bce" the paper's hard-negative cross entropy,
    "dice_focal" PP-OCRv6's. aux: weights of auxiliary map sets by name, where the network gives any. A map "cbn" (of
    heads with a local refinement) gets the loss of the shrink map with weight 1.
    """

    def __init__(
        self,
        main: DetMainLoss = "dice",
        alpha: float = 5.0,
        beta: float = 10.0,
        ohem_ratio: float = 3.0,
        focal_alpha: float = 0.25,
        focal_gamma: float = 2.0,
        aux: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.main, self.alpha, self.beta, self.ohem_ratio = main, alpha, beta, ohem_ratio
        self.focal_alpha, self.focal_gamma = focal_alpha, focal_gamma
        self.aux = dict(aux or {})

    def _shrink(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        if self.main == "dice_focal":
            return dice_loss(pred, target, mask) + binary_focal(pred, target, mask, self.focal_alpha, self.focal_gamma)
        if self.main == "bce":
            # the network ends with a sigmoid; autocast forbids BCE on halves, so float32
            loss = F.binary_cross_entropy(pred.float(), target, reduction="none")
        else:
            loss = dice_loss(pred, target, mask)
        return balanced(loss, target, mask, self.ohem_ratio)

    def _maps(self, maps: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        shrink, mask = batch["shrink_map"], batch["shrink_mask"]
        pred = {name: value.squeeze(1) for name, value in maps.items()}  # (N, 1, H, W) -> (N, H, W)
        binary = dice_loss if self.main != "dice_focal" else self._shrink
        return {
            "shrink": self.alpha * self._shrink(pred["shrink"], shrink, mask),
            "threshold": self.beta * masked_l1(pred["threshold"], batch["threshold_map"], batch["threshold_mask"]),
            "binary": binary(pred["binary"], shrink, mask),
        }

    def forward(self, out: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """out: "shrink", "threshold", "binary", maybe "cbn" (N, 1, H, W), auxiliary sets as "aux_p3.shrink" etc.;
        batch: "shrink_map", "shrink_mask", "threshold_map", "threshold_mask" (N, H, W).

        Returns the parts, weighted, and their sum "loss".
        """
        losses = self._maps({k: v for k, v in out.items() if "." not in k}, batch)
        if "cbn" in out:
            losses["cbn"] = self._shrink(out["cbn"].squeeze(1), batch["shrink_map"], batch["shrink_mask"])
        for name, weight in self.aux.items():
            maps = {k.split(".", 1)[1]: v for k, v in out.items() if k.startswith(f"{name}.")}
            if maps and weight > 0:
                losses[name] = weight * torch.stack(list(self._maps(maps, batch).values())).sum()
        losses["loss"] = torch.stack(list(losses.values())).sum()
        return losses


class DBSettings(LossPart):
    """Settings of `DBLoss`."""

    name: Literal["db"] = "db"
    main: DetMainLoss = "dice"
    alpha: float = 5.0
    beta: float = 10.0
    ohem_ratio: float = 3.0
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    aux: dict[str, float] = Field(default_factory=dict)


class DBObjective(Objective):
    """DB loss, and what a teacher or the start says about text regions."""

    heads = ("DBHead", "JoinedDBHead", "PFHeadLocal")
    settings = DBSettings
    distils = True

    def __init__(
        self,
        network: nn.Module,
        loss: DBSettings,
        makes: DBMaps | None = None,
        freeze_norm: bool = False,
        helpers: Helpers | None = None,
    ) -> None:
        super().__init__(network, loss, makes, freeze_norm, helpers)
        self.loss = DBLoss(**loss.model_dump(exclude={"name", "l2_sp"}))

    @classmethod
    def make_targets(cls, subject: Subject, loss: DBSettings) -> DBMaps:
        """The four maps."""
        return DBMaps()

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        losses = self.loss(out, batch)
        losses.pop("loss")
        return losses

    def agree(self, a: Batch, b: Batch) -> Tensor:
        return distill.dml_maps(a["shrink"].squeeze(1), b["shrink"].squeeze(1)).mean()

    def follow(self, out: Batch, answer: Tensor, batch: Batch) -> Tensor:
        return distill.dilated_db(out, answer, batch["shrink_mask"], self.loss.alpha, self.loss.ohem_ratio)

    def stay(self, out: Batch, answer: Tensor) -> Tensor:
        return F.binary_cross_entropy(out["shrink"].float().clamp(1e-6, 1 - 1e-6), answer.float())
