"""Losses of table structure: HTML tokens, and the boxes of cells. Numbers agree with Paddle's.

structure: logits (N, T, C) of what follows each token; boxes: (N, T, box_numbers) in [0, 1]; tokens: (N, T + 1) labels
from the start token on; wanted, cells: (N, T + 1, box_numbers) boxes and (N, T + 1, 1) 1 where a token is a cell with
one. Upstream: ppocr/losses/table_att_loss.py, table_master_loss.py.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

Losses = dict[str, Tensor]
EPS = 1e-12


def _ce(structure: Tensor, tokens: Tensor, padding: int = -100) -> Tensor:
    return F.cross_entropy(structure.float().flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=padding)


def table_attention_losses(structure: Tensor, boxes: Tensor, tokens: Tensor, wanted: Tensor, cells: Tensor) -> Losses:
    """TableRec-RARE (upstream TableAttentionLoss): padding counts; squared errors over all places."""
    return {
        "structure": _ce(structure, tokens),
        "boxes": F.mse_loss(boxes.float() * cells[:, 1:], wanted[:, 1:]),
    }


def sla_losses(structure: Tensor, boxes: Tensor, tokens: Tensor, wanted: Tensor, cells: Tensor) -> Losses:
    """SLANet (upstream SLALoss): padding of shorter tables counts; smooth absolute errors, summed over a box's numbers,
    in the mean over cells. The labels may go on behind the longest table of the batch."""
    place = slice(1, 1 + structure.shape[1])
    mask, aim = cells[:, place], wanted[:, place]
    distance = F.smooth_l1_loss(boxes.float() * mask, aim * mask, reduction="sum")
    return {"structure": _ce(structure, tokens[:, : place.stop]), "boxes": distance / (mask.sum() + EPS)}


def table_master_losses(
    structure: Tensor, boxes: Tensor, tokens: Tensor, wanted: Tensor, cells: Tensor, padding: int
) -> Losses:
    """TableMaster (upstream TableMasterLoss): absolute errors of centre and size, in the mean over cells."""
    mask = cells[:, 1:]
    distance = ((boxes.float() - wanted[:, 1:]) * mask).abs()
    count = mask.sum() + EPS
    return {
        "structure": _ce(structure, tokens, padding),
        "horizontal": distance[..., 0::2].sum() / count,
        "vertical": distance[..., 1::2].sum() / count,
    }
