"""The loss of EAST (arXiv 1704.03155) and what its detectors learn with it. Upstream: ppocr/losses/det_east_loss.py."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ptocr.data.targets.east_maps import CORNERS, EASTMaps
from ptocr.train.masked import dice_loss
from ptocr.train.objectives import Batch, Losses, Objective, Subject
from ptocr.train.parts import LossPart


def corner_loss(pred: Tensor, target: Tensor, score: Tensor) -> Tensor:
    """How far the offsets of corners (N, 8, h, w) are from those wanted (N, 9, h, w), which end with their weight,
    where the score (N, 1, h, w) is 1; mean over all pixels.

    Upstream's smooth L1 is not smooth: below 1 it is the square, without the half, so that it falls from 1 to 1/2 where
    a corner gets more than a pixel away; and it is learnt for texts, too, that the mask leaves out. Kept for equal
    numbers.
    """
    away = (target[:, :CORNERS] - pred.float()).abs()
    loss = torch.where(away < score, away**2, away - 0.5)
    return (target[:, CORNERS:] / CORNERS * loss * score**2).sum(dim=1).mean()


class EASTSettings(LossPart):
    """Settings of the EAST loss. score_weight: of the dice loss of the score; min_text_size: pixels, quads with a
    shorter side are not learnt."""

    name: Literal["east"] = "east"
    score_weight: float = 0.01
    min_text_size: float = Field(default=10.0, ge=0)


class EASTObjective(Objective):
    """Dice loss of the score, and the distance of the corners."""

    heads = ("EASTHead",)
    settings = EASTSettings
    options: EASTSettings

    @classmethod
    def make_targets(cls, subject: Subject, loss: EASTSettings) -> EASTMaps:
        """Score, geometry and mask."""
        return EASTMaps(loss.min_text_size)

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        score = batch["score_map"]
        return {
            "score": self.options.score_weight * dice_loss(out["score"].float(), score, batch["mask"]),
            "geometry": corner_loss(out["geometry"], batch["geometry_map"], score),
        }
