"""SEED: the text, and the meaning of the word. Upstream: ppocr/losses/rec_aster_loss.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.data.targets import MeaningLabels
from ptocr.data.targets.line_labels import read_vectors
from ptocr.nn.heads.seed import MEANING
from ptocr.train.objectives import Batch, Losses, Objective, Subject
from ptocr.train.parts import LossPart


def sequence_nll(logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Cross entropy of texts and their ends, summed over each line, mean over the lines (upstream AsterLoss).

    logits: (N, L, C); labels: (N, >= L); lengths: (N,) of texts.
    """
    labels = labels[:, : logits.shape[1]]
    loss = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
    text = torch.arange(labels.shape[1], device=labels.device) <= lengths[:, None]
    return (loss * text).sum() / len(labels)


def meaning_distance(meaning: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """1 - cosine of two vectors (N, D), mean over the words that are known (N,) (upstream CosineEmbeddingLoss)."""
    product = (meaning.float() * wanted).sum(1)
    similarity = product / (meaning.float().norm(dim=1) * wanted.norm(dim=1) + 1e-12)
    return ((1 - similarity) * known).sum() / known.sum().clamp_min(1)


class SEEDSettings(LossPart):
    """vectors: of the words that are learnt, in fastText's text format with 300 numbers each
    (`fasttext print-word-vectors cc.en.300.bin < words.txt`); without it the meaning is not asked for, and a word that
    is not in it has none. meaning_weight: of the distance from them."""

    name: Literal["seed"] = "seed"
    vectors: Path | None = None
    meaning_weight: float = 0.1


class SEEDObjective(Objective):
    """SEED: cross entropy of the decoder, distance of the predicted meaning from the word's."""

    heads = ("AsterHead",)
    settings = SEEDSettings

    def __init__(self, network: nn.Module, loss: SEEDSettings, *rest: Any, **more: Any) -> None:
        super().__init__(network, loss, *rest, **more)
        self.weight = loss.meaning_weight if loss.vectors is not None else 0.0

    @classmethod
    def make_targets(cls, subject: Subject, loss: SEEDSettings) -> MeaningLabels:
        """Labels with the end, and the meanings."""
        assert subject.charset is not None
        vectors = {} if loss.vectors is None else read_vectors(loss.vectors, MEANING)
        return MeaningLabels(subject.charset, subject.length, vectors, MEANING)

    def told(self, batch: Batch) -> Batch:
        """As far as the end of the longest text of the batch."""
        return {"tokens": batch["tokens"][:, : 1 + int(batch["length"].max())]}

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        losses = {"attention": sequence_nll(out["attention"], batch["tokens"], batch["length"])}
        if self.weight:
            losses["meaning"] = self.weight * meaning_distance(out["meaning"], batch["meaning"], batch["meant"])
        return losses
