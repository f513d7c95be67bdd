"""Losses of maps that count where a mask is 1: shared by the losses of detectors. Numbers agree with Paddle's."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

EPS = 1e-6


def dice_loss(pred: Tensor, target: Tensor, mask: Tensor, eps: float = EPS) -> Tensor:
    """1 - 2 |A and B| / (|A| + |B|) over the whole batch (upstream DiceLoss). All of one shape."""
    overlap = (pred * target * mask).sum()
    total = (pred * mask).sum() + (target * mask).sum() + eps
    return 1 - 2 * overlap / total


def masked_l1(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error where mask is 1 (upstream MaskL1Loss)."""
    return ((pred - target).abs() * mask).sum() / (mask.sum() + EPS)


def balanced(loss: Tensor, target: Tensor, mask: Tensor, negative_ratio: float) -> Tensor:
    """Mean of the loss over all positives and the hardest `negative_ratio` times as many negatives (BalanceLoss).

    loss: per pixel, or a number for the whole batch, which stays nearly as it is.
    """
    positive, negative = target * mask, (1 - target) * mask
    n_positive = int(positive.sum())
    n_negative = int(min(float(negative.sum()), n_positive * negative_ratio))
    total = (positive * loss).sum()
    if n_negative > 0:
        total = total + (negative * loss).flatten().topk(n_negative).values.sum()
    return total / (n_positive + n_negative + EPS)


def binary_focal(pred: Tensor, target: Tensor, mask: Tensor, alpha: float, gamma: float) -> Tensor:
    """Focal loss of probabilities (arXiv 1708.02002), mean where mask is 1."""
    p = pred.clamp(EPS, 1 - EPS)
    p_true = p * target + (1 - p) * (1 - target)
    weight = alpha * target + (1 - alpha) * (1 - target)
    return (-weight * (1 - p_true) ** gamma * p_true.log() * mask).sum() / (mask.sum() + EPS)


def squared_dice(logits: Tensor, target: Tensor, mask: Tensor, eps: float) -> Tensor:
    """1 - 2 |A B| / (|A|^2 + |B|^2) of probabilities, for each picture of its own: (N, H, W) each -> (N,)."""
    pred, target = (x.flatten(1) * mask.flatten(1) for x in (logits.sigmoid(), target))
    overlap = (pred * target).sum(1)
    return 1 - 2 * overlap / ((pred * pred).sum(1) + eps + (target * target).sum(1) + eps)


def hard_mask(score: Tensor, target: Tensor, mask: Tensor, ratio: float, among: Tensor) -> Tensor:
    """Where a picture's loss counts: on positives, and on the negatives with the highest scores, `ratio` times as many.

    All (H, W); among: the negatives that are ranked. Without a positive or a negative the mask stays as it is.
    """
    positives = int(((target > 0.5) & (mask > 0.5)).sum())
    count = min(int(positives * ratio), int(among.sum()))
    if count == 0:
        return mask.float()
    least = score[among].topk(count).values[-1]
    return (((score >= least) | (target > 0.5)) & (mask > 0.5)).float()


def weighted_smooth_l1(pred: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    """Smooth L1 of offsets, weighted pixel by pixel, mean over what is inside of texts (SASTLoss, PGLoss).

    pred: (N, C, H, W); target: (N, C + 1, H, W), which end with the weight; inside: (N, 1, H, W).
    """
    count = pred.shape[1]
    loss = F.smooth_l1_loss(pred.float(), target[:, :count], reduction="none")
    return (target[:, count:] * loss * inside).sum() / (count * inside.sum() + 1e-5)
