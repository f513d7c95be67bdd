"""Network plus losses in one module, the one that gets wrapped: forward(batch) -> named losses and their sum "loss".

One class for each way of learning, in `ptocr.train.losses`; its table says which networks' heads it is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ptocr.errors import SpecError
from ptocr.nn.fuse import fuse
from ptocr.spec.model import ModelSpec
from ptocr.spec.vocabulary import Vocabulary
from ptocr.train.optim import keep_norms
from ptocr.train.parts import DistillPart, LossPart
from ptocr.train.penalties import FeatureMatch, StartPoint

Losses = dict[str, Tensor]
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Helpers:
    """What distillation adds to an objective.

    teacher: of the labelled pictures ("teacher", "mutual") or of the unlabelled ones under "keep_image" ("keep"); peer:
    a second student; rows: class of the network for each class of the teacher; features: distance of inner features
    from the teacher's; start_point: distance of the weights from the start's (L2-SP).
    """

    part: DistillPart | None = None
    teacher: Frozen | None = None
    peer: nn.Module | None = None
    rows: Tensor | None = None
    features: FeatureMatch | None = None
    start_point: StartPoint | None = None


class Frozen:
    """A network that only answers, fused. Not a module on purpose: it is neither saved, nor trained, nor wrapped."""

    def __init__(self, network: nn.Module) -> None:
        self.network = fuse(network).requires_grad_(False)

    def logits(self, x: Tensor) -> Tensor:
        """Answers on the device of x: logits of recognisers and classifiers, the probability map of detectors."""
        network = self.network.to(x.device)
        with torch.no_grad():
            return network.answer(x)  # type: ignore[operator]


@dataclass(frozen=True)
class Subject:
    """What target makers may ask about the model that learns. length: `max_text_length` of the recipe."""

    spec: ModelSpec
    network: nn.Module
    charset: Vocabulary | None = None
    length: int = 25


class Objective(nn.Module):
    """Base: labelled losses of the network (and of a peer, for mutual learning), distillation on top.

    heads: names of the blocks, heads or whole networks, that learn so; settings: class of what recipes say below
    `loss`, kept as `options`; distils: whether `agree`, `follow` and `stay` are known; makes: what `make_targets`
    gave.
    """

    heads: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[type[LossPart]] = LossPart
    distils: ClassVar[bool] = False
    options: Any
    rows: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        loss: LossPart,
        makes: Any = None,
        freeze_norm: bool = False,
        helpers: Helpers | None = None,
    ) -> None:
        super().__init__()
        helpers = helpers or Helpers()
        if helpers.part is not None and not self.distils:
            raise SpecError(f"distill: models that learn with loss {loss.name!r} are not distilled here")
        self.network, self.peer, self.options = network, helpers.peer, loss
        self.freeze_norm, self.part, self.teacher = freeze_norm, helpers.part, helpers.teacher
        self.features, self.start_point = helpers.features, helpers.start_point
        self.register_buffer("rows", helpers.rows, persistent=False)

    @classmethod
    def make_targets(cls, subject: Subject, loss: Any) -> Any:
        """What makes the labels of samples: `PageTargets` of detectors, `LineTargets` of recognisers.

        loss: settings, of the class `settings`.
        """
        return None

    def train(self, mode: bool = True) -> Objective:
        super().train(mode)
        if self.freeze_norm:
            keep_norms(self)
        return self

    def told(self, batch: Batch) -> Batch | None:
        """What the network's `forward_train` is told beside the picture (teacher forcing)."""
        return None

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        """Losses of the outputs of `forward_train` against the labels, weighted, without a sum."""
        raise NotImplementedError

    def agree(self, a: Batch, b: Batch) -> Tensor:
        """Disagreement of two students."""
        raise NotImplementedError

    def follow(self, out: Batch, answer: Tensor, batch: Batch) -> Tensor:
        """Distance from a teacher's answers to labelled pictures."""
        raise NotImplementedError

    def stay(self, out: Batch, answer: Tensor) -> Tensor:
        """Distance from the start's answers to unlabelled pictures."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Losses:
        image, targets, part = batch["image"], self.told(batch), self.part
        out = self.network.forward_train(image, targets)  # type: ignore[operator]
        losses = self.labelled(out, batch)
        if part is not None and self.teacher is not None and part.mode == "keep" and "keep_image" in batch:
            now = self.network.forward_train(batch["keep_image"])  # type: ignore[operator]
            losses["keep"] = part.weight * self.stay(now, self.teacher.logits(batch["keep_image"]))
        answer = None
        if part is not None and self.teacher is not None and part.mode != "keep":
            answer = self.teacher.logits(image)
            losses["teacher"] = part.weight * self.follow(out, answer, batch)
        if self.features is not None and ("keep" in losses or "teacher" in losses):
            losses["features"] = self.features()
        if part is not None and self.peer is not None:
            losses |= self._mutual(part, out, answer, batch)
        if self.start_point is not None:
            losses["l2_sp"] = self.start_point()
        losses["loss"] = torch.stack([v.float() for v in losses.values()]).sum()
        return losses

    def _mutual(self, part: DistillPart, out: Batch, answer: Tensor | None, batch: Batch) -> Losses:
        """Losses of a second student."""
        assert self.peer is not None
        other = self.peer.forward_train(batch["image"], self.told(batch))  # type: ignore[operator]
        losses = {f"peer_{k}": v for k, v in self.labelled(other, batch).items()}
        losses["mutual"] = part.weight * self.agree(out, other)
        if answer is not None:  # CML: the teacher has two students
            losses["peer_teacher"] = part.weight * self.follow(other, answer, batch)
        return losses
