"""Cross entropies of decoders that are fed the text (teacher forcing)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def smoothed_ce(logits: Tensor, target: Tensor, padding: int, smoothing: float) -> Tensor:
    """Cross entropy of logits (N, L, C) whose labels (N, L) are shared with all other classes; `padding` is left out
    (upstream NRTRLoss, CPPDLoss)."""
    log_probs, target = F.log_softmax(logits.float(), dim=2).flatten(0, 1), target.reshape(-1)
    keep = target != padding
    log_probs, target = log_probs[keep], target[keep]
    true = log_probs.gather(1, target[:, None]).squeeze(1)
    rest = (log_probs.sum(1) - true) * smoothing / (log_probs.shape[1] - 1)
    return -(true * (1 - smoothing) + rest).mean()


class NRTRLoss(nn.Module):
    """Cross entropy of the teacher-forced guide, labels smoothed over the other classes (upstream NRTRLoss).

    Padding (class 0) is left out.
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """logits: (N, max(lengths) + 1, C); labels: (N, L) with start, text, end, padding; lengths: (N,) of texts."""
        return smoothed_ce(logits, labels[:, 1 : 2 + int(lengths.max())], 0, self.smoothing)


class SARLoss(nn.Module):
    """Cross entropy of the SAR guide; the padding class is left out (upstream SARLoss)."""

    def forward(self, logits: Tensor, labels: Tensor, padding: int) -> Tensor:
        """logits: (N, L, C); labels: (N, L) with start, text, end, `padding`."""
        target = labels[:, 1:].reshape(-1)  # the step after the start token predicts the first character
        return F.cross_entropy(logits[:, :-1].float().flatten(0, 1), target, ignore_index=padding)
