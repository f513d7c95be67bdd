"""Distillation losses: mutual learning (DML, CML), teacher to student, and keeping what a fine-tuned model knew."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ptocr.train.masked import balanced, dice_loss

_TINY = 1e-5  # upstream's, inside and outside the logarithm


def dml_maps(a: Tensor, b: Tensor) -> Tensor:
    """Mutual learning of two probability maps (N, H, W): symmetric, per picture (upstream KLJSLoss "js").

    Returns (N,).
    """
    forward = b * torch.log((b + _TINY) / (a + _TINY) + _TINY)
    backward = a * torch.log((a + _TINY) / (b + _TINY) + _TINY)
    return (0.5 * (forward + backward)).mean((1, 2))


def dml_logits(a: Tensor, b: Tensor) -> Tensor:
    """Mutual learning of two recognisers' logits (N, T, C): symmetric KL, summed per line, mean over lines.

    Each direction trains its approximating side only, as Paddle's kl_div does.
    """
    log_a, log_b = F.log_softmax(a.float(), -1), F.log_softmax(b.float(), -1)
    there = F.kl_div(log_a, log_b.detach(), reduction="batchmean", log_target=True)
    back = F.kl_div(log_b, log_a.detach(), reduction="batchmean", log_target=True)
    return (there + back) / 2


def distance(a: Tensor, b: Tensor, mode: Literal["l1", "l2", "smooth_l1"] = "l2") -> Tensor:
    """Distance of two feature maps (upstream DistanceLoss)."""
    return {"l1": F.l1_loss, "l2": F.mse_loss, "smooth_l1": F.smooth_l1_loss}[mode](a, b)


def dilated_db(
    student: dict[str, Tensor], teacher_shrink: Tensor, mask: Tensor, alpha: float = 5.0, ohem_ratio: float = 3.0
) -> Tensor:
    """A student detector learns the teacher's text regions, grown by one pixel (CML; upstream DistillationDilaDBLoss).

    student: "shrink", "binary" (N, 1, H, W); teacher_shrink: (N, 1, H, W) probabilities; mask: (N, H, W).
    """
    target = (teacher_shrink > 0.3).float()
    target = F.max_pool2d(F.pad(target, (1, 0, 1, 0)), 2, stride=1).squeeze(1)  # cv2.dilate with a 2 x 2 kernel
    shrink, binary = student["shrink"].squeeze(1), student["binary"].squeeze(1)
    main = balanced(dice_loss(shrink, target, mask), target, mask, ohem_ratio)
    return alpha * main + dice_loss(binary, target, mask)


def keep_ctc(student: Tensor, teacher: Tensor, rows: Tensor, temperature: float = 1.0) -> Tensor:
    """A fine-tuned recogniser goes on answering like its start: KL(teacher | student),
    summed over a line as CTC is, mean over lines.

    student: (N, T, C) logits; teacher: (N, T, C') logits of the frozen start; rows: (C',) the student's class of each
    teacher class, -1 where it was dropped. The student's softmax runs over all its classes: on crops of the base domain
    a new character is as wrong as any other, so these crops should not show the new characters.
    """
    kept = rows >= 0
    log_s = F.log_softmax(student.float() / temperature, -1)[..., rows[kept]]
    log_t = F.log_softmax(teacher[..., kept].float() / temperature, -1)
    return (log_t.exp() * (log_t - log_s)).sum((-2, -1)).mean() * temperature**2
