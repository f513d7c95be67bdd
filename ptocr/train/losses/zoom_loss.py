"""Losses of text super-resolution: pixels, and what a recogniser looks at. Numbers agree with Paddle's.

Pictures are (N, 3, H, W); `looked`, `meant`: the attention of a recogniser that is fed the text, (N, heads, L, cells),
on the enlarged line and on the sharp one. Upstream: ppocr/losses/text_focus_loss.py, stroke_focus_loss.py.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

Losses = dict[str, Tensor]


def confusable_ce(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy in which a class counts as much as it is like the label (upstream weight_cross_entropy).

    logits: (M, C); labels: (M,); weights: (C, C) positive, a row per label.
    """
    return F.cross_entropy(logits.float() + weights[labels].log(), labels)


def telescope_losses(
    enlarged: Tensor, sharp: Tensor, looked: Tensor, meant: Tensor, logits: Tensor, labels: Tensor, weights: Tensor
) -> Losses:
    """Text Telescope (upstream TelescopeLoss). logits, labels: of all characters of the batch, (M, C) and (M,)."""
    return {
        "pixels": F.mse_loss(enlarged, sharp),
        "attention": 10 * F.l1_loss(looked, meant),
        "recognition": 0.0005 * confusable_ce(logits, labels, weights),
    }


def stroke_losses(enlarged: Tensor, sharp: Tensor, looked: Tensor, meant: Tensor) -> Losses:
    """Text Gestalt (upstream StrokeFocusLoss): the recogniser reads strokes."""
    return {"pixels": 100 * F.mse_loss(enlarged, sharp), "attention": 5000 * F.l1_loss(looked, meant)}
