"""The loss of SAST (arXiv 1908.05498) and what its detectors learn with it. Upstream: ppocr/losses/det_sast_loss.py."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ptocr.data.targets.sast_maps import SASTMaps
from ptocr.train.masked import dice_loss, weighted_smooth_l1
from ptocr.train.objectives import Batch, Losses, Objective, Subject
from ptocr.train.parts import LossPart


class SASTSettings(LossPart):
    """Settings of the SAST loss. Weights of its four parts; min_text_size, max_text_size: pixels, of the shorter side
    of texts that are learnt."""

    name: Literal["sast"] = "sast"
    score_weight: float = 1.0
    border_weight: float = 1.0
    corners_weight: float = 1.5
    center_weight: float = 1.5
    min_text_size: float = Field(default=4.0, ge=0)
    max_text_size: float = Field(default=512.0, gt=0)


class SASTObjective(Objective):
    """Dice loss of the score, smooth L1 of the offsets within the bands of texts."""

    heads = ("SASTHead",)
    settings = SASTSettings
    options: SASTSettings

    @classmethod
    def make_targets(cls, subject: Subject, loss: SASTSettings) -> SASTMaps:
        """Score, mask, and offsets to borders, corners and centre."""
        return SASTMaps(loss.min_text_size, loss.max_text_size)

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        score, mask, weights = batch["score_map"], batch["mask"], self.options
        inside = score * mask
        return {
            "score": weights.score_weight * dice_loss(out["score"].float(), score, mask, eps=1e-5),
            "border": weights.border_weight * weighted_smooth_l1(out["border"], batch["border_map"], inside),
            "corners": weights.corners_weight * weighted_smooth_l1(out["corners"], batch["corner_map"], inside),
            "center": weights.center_weight * weighted_smooth_l1(out["center"], batch["center_map"], inside),
        }
