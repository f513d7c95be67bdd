"""The loss of PGNet (arXiv 2104.05458) and what text spotters learn with it. Upstream: ppocr/losses/e2e_pg_loss.py,
ppocr/utils/e2e_utils/extract_batchsize.py."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ptocr.data.targets.pgnet_maps import PGNetMaps
from ptocr.train.masked import dice_loss, weighted_smooth_l1
from ptocr.train.objectives import Batch, Losses, Objective, Subject
from ptocr.train.parts import LossPart

SURE = 20.0  # logit of the blank where a text has no place any more, and less than nothing of all characters


def reading_loss(logits: Tensor, batch: Batch, texts: int) -> Tensor:
    """CTC of the characters along each text (the paper's point gathering), mean over `texts` of them.

    logits: (N, C, h, w), the blank last; batch: "positions" (N, T, P, 2) y and x, "position_mask" (N, T, P), "labels"
    (N, T, L), "lengths" (N, T), 0 where there is no text. Of fewer texts in a batch the first ones count once more
    until there are so many, as upstream; of more, upstream drops some at random, where all count alike here.
    """
    image, text = torch.nonzero(batch["lengths"], as_tuple=True)
    if not len(image):
        return logits.float().sum() * 0
    rows, columns = batch["positions"][image, text].unbind(dim=-1)  # (T, P)
    there = batch["position_mask"][image, text].unsqueeze(-1)
    nowhere = logits.new_full((logits.shape[1],), -SURE, dtype=torch.float32)
    nowhere[-1] = SURE
    steps = logits[image[:, None], :, rows, columns].float() * there + nowhere * (1 - there)  # (T, P, C)
    lengths, labels = batch["lengths"][image, text], batch["labels"][image, text]
    log_probs, times = F.log_softmax(steps, dim=2).transpose(0, 1), torch.full_like(lengths, steps.shape[1])
    loss = F.ctc_loss(
        log_probs, labels, times, lengths, blank=logits.shape[1] - 1, reduction="none", zero_infinity=True
    )
    number, total = torch.arange(len(loss), device=loss.device), max(texts, len(loss))
    return (loss * ((total - 1 - number) // len(loss) + 1)).sum() / total


class PGNetSettings(LossPart):
    """Settings of the PGNet loss. characters_weight: of reading; texts: so many of a batch are read (upstream tcl_bs);
    max_texts: of a page; points: places along a text (upstream tcl_len); min_text_size, max_text_size: pixels, of the
    shorter side of texts that are learnt."""

    name: Literal["pgnet"] = "pgnet"
    characters_weight: float = 5.0
    texts: int = Field(default=64, ge=1)
    max_texts: int = Field(default=30, ge=1)
    points: int = Field(default=64, ge=2)
    min_text_size: float = Field(default=4.0, ge=0)
    max_text_size: float = Field(default=512.0, gt=0)


class PGNetObjective(Objective):
    """Dice loss of the score, smooth L1 of borders and reading direction, CTC along the texts."""

    heads = ("PGHead",)
    settings = PGNetSettings
    options: PGNetSettings

    @classmethod
    def make_targets(cls, subject: Subject, loss: PGNetSettings) -> PGNetMaps:
        """Maps and texts; characters are looked for where the postprocessing of the model does."""
        assert subject.charset is not None
        gather = subject.spec.postprocess.point_gather_mode
        sizes = loss.min_text_size, loss.max_text_size
        return PGNetMaps(subject.charset, gather, subject.length, loss.max_texts, loss.points, *sizes)

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        score, mask = batch["score_map"], batch["mask"]
        inside = score * mask
        return {
            "score": dice_loss(out["score"].float(), score, mask),
            "border": weighted_smooth_l1(out["border"], batch["border_map"], inside),
            "direction": weighted_smooth_l1(out["direction"], batch["direction_map"], inside),
            "characters": self.options.characters_weight * reading_loss(out["characters"], batch, self.options.texts),
        }
