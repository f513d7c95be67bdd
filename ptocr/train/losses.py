"""Losses of the PP-OCR recipes. Numbers agree with Paddle's (tests/train/test_losses.py holds the goldens).

Networks give plain tensors (`forward_train`); what is compared with what stands in `ptocr.train.trainings`.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6


def dice_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """1 - 2 |A and B| / (|A| + |B|) over the whole batch (upstream DiceLoss). All of one shape."""
    overlap = (pred * target * mask).sum()
    total = (pred * mask).sum() + (target * mask).sum() + EPS
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


class CTCLoss(nn.Module):
    """Connectionist temporal classification, mean over the lines of the batch (upstream CTCLoss).

    focal: weight each line with (1 - exp(-loss))^2. A line whose text cannot fit its width contributes nothing, where
    Paddle would give infinity.
    """

    def __init__(self, focal: bool = False) -> None:
        super().__init__()
        self.focal = focal

    def forward(self, logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """logits: (N, T, C), not normalised; labels: (N, L) classes, blank = 0; lengths: (N,)."""
        log_probs = F.log_softmax(logits.float(), dim=2).transpose(0, 1)  # (T, N, C)
        steps = torch.full_like(lengths, log_probs.shape[0])
        loss = F.ctc_loss(log_probs, labels, steps, lengths, blank=0, reduction="none", zero_infinity=True)
        if self.focal:
            loss = loss * (1 - torch.exp(-loss)) ** 2
        return loss.mean()


class CenterLoss(nn.Module):
    """Squared distance of each step's feature to the centre of its predicted class (upstream CenterLoss).

    centers: (C, D), fixed; make them with `ptocr.train.centers` from a trained model.
    """

    centers: Tensor

    def __init__(self, centers: Tensor) -> None:
        super().__init__()
        self.register_buffer("centers", centers.double())

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """features: (N, T, D); logits: (N, T, C)."""
        flat = features.flatten(0, 1).double()
        label = logits.argmax(2).flatten()
        distance = ((flat - self.centers[label]) ** 2).sum(1).clamp(1e-12, 1e12)
        # upstream clamps the zeros of all other classes to 1e-12 as well; that constant is kept for equal numbers
        return (distance.sum() + 1e-12 * (len(self.centers) - 1) * len(flat)) / len(flat)


class NRTRLoss(nn.Module):
    """Cross entropy of the teacher-forced guide, labels smoothed over the other classes (upstream NRTRLoss).

    Padding (class 0) is left out.
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """logits: (N, max(lengths) + 1, C); labels: (N, L) with start, text, end, padding; lengths: (N,) of texts."""
        target = labels[:, 1 : 2 + int(lengths.max())].reshape(-1)
        log_probs = F.log_softmax(logits.float(), dim=2).flatten(0, 1)  # (N * L, C)
        keep = target != 0
        log_probs, target = log_probs[keep], target[keep]
        true = log_probs.gather(1, target[:, None]).squeeze(1)
        rest = (log_probs.sum(1) - true) * self.smoothing / (log_probs.shape[1] - 1)
        return -(true * (1 - self.smoothing) + rest).mean()


class SARLoss(nn.Module):
    """Cross entropy of the SAR guide; the padding class is left out (upstream SARLoss)."""

    def forward(self, logits: Tensor, labels: Tensor, padding: int) -> Tensor:
        """logits: (N, L, C); labels: (N, L) with start, text, end, `padding`."""
        target = labels[:, 1:].reshape(-1)  # the step after the start token predicts the first character
        return F.cross_entropy(logits[:, :-1].float().flatten(0, 1), target, ignore_index=padding)


class SmoothCELoss(nn.Module):
    """Cross entropy of a classifier, optionally with label smoothing (upstream ClsLoss, CELoss(epsilon))."""

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits: (N, K); labels: (N,)."""
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.smoothing)
