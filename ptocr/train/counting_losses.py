"""Losses of recognisers that count characters beside reading them: RFL, CPPD, CAN. Numbers agree with Paddle's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Losses = dict[str, Tensor]


def occurrences(tokens: Tensor, classes: int, uncounted: Sequence[int]) -> Tensor:
    """How often each class occurs among tokens (N, L), zero for those that are not counted: (N, classes) int64."""
    counts = F.one_hot(tokens, classes).sum(1)
    counts[:, list(uncounted)] = 0
    return counts


def smoothed_ce(logits: Tensor, target: Tensor, padding: int, smoothing: float) -> Tensor:
    """Cross entropy of logits (N, L, C) whose labels (N, L) are shared with the other classes; `padding` is left out
    (upstream: label_smoothing_ce)."""
    log_probs, target = F.log_softmax(logits.float(), dim=2).flatten(0, 1), target.flatten()
    keep = target != padding
    log_probs, target = log_probs[keep], target[keep]
    true = log_probs.gather(1, target[:, None]).squeeze(1)
    rest = (log_probs.sum(1) - true) * smoothing / (log_probs.shape[1] - 1)
    return -(true * (1 - smoothing) + rest).mean()


def rfl_losses(counts: Tensor, logits: Tensor | None, labels: Tensor) -> Losses:
    """RFL (upstream RFLLoss): squared error of the counts, and cross entropy of the decoder, padding included.

    counts: (N, C); logits: (N, L, C) of what follows each label, None in the counting stage; labels: (N, L) with start
    (class 0), text, end (the last class), and the start again for padding.
    """
    wanted = occurrences(labels, counts.shape[1], (0, counts.shape[1] - 1))
    losses = {"counting": F.mse_loss(counts.float(), wanted.float())}
    if logits is not None:
        losses["attention"] = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten())
    return losses


def cppd_losses(
    characters: Tensor, positions: Tensor, edges: Tensor, labels: Tensor, padding: int, smoothing: float
) -> Losses:
    """CPPD (upstream CPPDLoss): how often each character occurs, which positions are taken, and what stands there.

    characters: (N, C, most + 1) logits of a character's count; positions: (N, L) logits; edges: (N, L, C); labels:
    (N, L) with text, end (class 0), then `padding`, which is no class.
    """
    text = labels.where(labels != padding, 0)
    counts = occurrences(text, edges.shape[2], (0,))
    counts[:, 0] = 1  # the end
    taken = (labels != padding).float()
    return {
        "characters": F.cross_entropy(characters.float().flatten(0, 1), counts.flatten()),
        "positions": F.binary_cross_entropy_with_logits(positions.float(), taken),
        "edges": smoothed_ce(edges, labels, padding, smoothing),
    }


def can_losses(logits: Tensor, counts: Sequence[Tensor], labels: Tensor, uncounted: Sequence[int]) -> Losses:
    """CAN (upstream CANLoss): cross entropy of the symbols, padding included, and errors of the counts.

    logits: (N, L, C); counts: (N, C) each: of small kernels, of large ones, their mean; labels: (N, L) with the text,
    end, and the end again for padding; uncounted: the end, the start, and what only joins symbols.
    """
    wanted = occurrences(labels, logits.shape[2], uncounted).float()
    return {
        "symbols": F.cross_entropy(logits.float().flatten(0, 1), labels.flatten()),
        "counting": torch.stack([F.smooth_l1_loss(c.float(), wanted) for c in counts]).sum(),
    }


def position_ce(logits: Tensor, labels: Tensor, padding: int) -> Tensor:
    """Cross entropy of what reads all positions at once, padding left out (upstream CELoss with_all, PRENLoss).

    logits: (N, L, C); labels: (N, L).
    """
    return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=padding)


def permuted_ce(logits: Tensor, labels: Tensor, padding: int, end: int) -> Tensor:
    """Permutation language modelling (PARSeq, arXiv 2207.06966; upstream ParseQLoss): the mean over all predictions,
    of which those of the end count in the first two orders alone.

    logits: (orders, N, L, C) of what follows each label; labels: (N, L + 1) with start, text, end, padding.
    """
    targets = labels[:, 1:].expand(len(logits), -1, -1).clone()
    later = targets[2:]
    later[later == end] = padding
    return F.cross_entropy(logits.float().flatten(0, 2), targets.flatten(), ignore_index=padding)
