"""Network plus losses in one module, the one that gets wrapped: forward(batch) -> named losses and their sum "loss"."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import fuse
from ptocr.train import distill
from ptocr.train.losses import CenterLoss, CTCLoss, DBLoss, NRTRLoss, SARLoss, SmoothCELoss
from ptocr.train.optim import keep_norms
from ptocr.train.penalties import FeatureMatch, StartPoint
from ptocr.train.recipe import DistillPart, LossPart

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


class Objective(nn.Module):
    """Base: labelled losses of the network (and of a peer, for mutual learning), distillation on top."""

    rows: Tensor | None

    def __init__(self, network: nn.Module, freeze_norm: bool = False, helpers: Helpers | None = None) -> None:
        super().__init__()
        helpers = helpers or Helpers()
        self.network, self.peer = network, helpers.peer
        self.freeze_norm, self.part, self.teacher = freeze_norm, helpers.part, helpers.teacher
        self.features, self.start_point = helpers.features, helpers.start_point
        self.register_buffer("rows", helpers.rows, persistent=False)

    def train(self, mode: bool = True) -> Objective:
        super().train(mode)
        if self.freeze_norm:
            keep_norms(self)
        return self

    def targets(self, batch: Batch) -> Batch | None:
        """What training-only branches of the network are told (teacher forcing)."""
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
        image, targets, part = batch["image"], self.targets(batch), self.part
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
        other = self.peer.forward_train(batch["image"], self.targets(batch))  # type: ignore[operator]
        losses = {f"peer_{k}": v for k, v in self.labelled(other, batch).items()}
        losses["mutual"] = part.weight * self.agree(out, other)
        if answer is not None:  # CML: the teacher has two students
            losses["peer_teacher"] = part.weight * self.follow(other, answer, batch)
        return losses


class DetObjective(Objective):
    """DB loss, and what a teacher or the start says about text regions."""

    def __init__(
        self, network: nn.Module, loss: LossPart, freeze_norm: bool = False, helpers: Helpers | None = None
    ) -> None:
        super().__init__(network, freeze_norm, helpers)
        self.loss = DBLoss(
            loss.main, loss.alpha, loss.beta, loss.ohem_ratio, loss.focal_alpha, loss.focal_gamma, loss.aux
        )

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        losses = self.loss(out, batch)
        losses.pop("loss")
        return losses

    def agree(self, a: Batch, b: Batch) -> Tensor:
        return distill.dml_maps(a["shrink"].squeeze(1), b["shrink"].squeeze(1)).mean()

    def follow(self, out: Batch, answer: Tensor, batch: Batch) -> Tensor:
        return distill.dilated_db(out, answer, batch["shrink_mask"], self.loss.alpha, self.loss.ohem_ratio)

    def stay(self, out: Batch, answer: Tensor) -> Tensor:
        return F.binary_cross_entropy(out["shrink"].float().clamp(1e-6, 1 - 1e-6), answer.float())


class RecObjective(Objective):
    """CTC, the guide's loss where the network has a guide, center loss where centres are given."""

    def __init__(
        self,
        network: nn.Module,
        loss: LossPart,
        freeze_norm: bool = False,
        helpers: Helpers | None = None,
        sar_padding: int | None = None,
        centers: Tensor | None = None,
    ) -> None:
        super().__init__(network, freeze_norm, helpers)
        self.weights = loss
        self.ctc = CTCLoss(loss.ctc_focal)
        self.nrtr, self.sar, self.sar_padding = NRTRLoss(), SARLoss(), sar_padding
        self.center = CenterLoss(centers) if centers is not None else None

    def targets(self, batch: Batch) -> Batch:
        tokens = batch["label_gtc"]
        if self.sar_padding is None:
            tokens = tokens[:, : 2 + int(batch["length"].max())]
        return {"gtc": tokens, "valid_ratio": batch["valid_ratio"]}

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        losses = {"ctc": self.weights.ctc_weight * self.ctc(out["ctc"], batch["label_ctc"], batch["length"])}
        if "gtc" in out:
            labels = batch["label_gtc"]
            if self.sar_padding is None:
                guide = self.nrtr(out["gtc"], labels, batch["length"])
            else:
                guide = self.sar(out["gtc"], labels, self.sar_padding)
            losses["gtc"] = self.weights.gtc_weight * guide
        if self.center is not None:
            losses["center"] = self.weights.center_weight * self.center(out["features"], out["ctc"])
        return losses

    def agree(self, a: Batch, b: Batch) -> Tensor:
        return distill.dml_logits(a["ctc"], b["ctc"])

    def follow(self, out: Batch, answer: Tensor, batch: Batch) -> Tensor:
        return self.stay(out, answer)

    def stay(self, out: Batch, answer: Tensor) -> Tensor:
        assert self.rows is not None and self.part is not None
        return distill.keep_ctc(out["ctc"], answer, self.rows, self.part.temperature)


class ClsObjective(Objective):
    """Cross entropy of a classifier."""

    def __init__(
        self, network: nn.Module, loss: LossPart, freeze_norm: bool = False, helpers: Helpers | None = None
    ) -> None:
        super().__init__(network, freeze_norm, helpers)
        self.ce = SmoothCELoss(loss.smoothing)

    def labelled(self, out: Batch, batch: Batch) -> Losses:
        return {"ce": self.ce(out["logits"], batch["label"])}

    def agree(self, a: Batch, b: Batch) -> Tensor:
        return distill.dml_logits(a["logits"], b["logits"])

    def follow(self, out: Batch, answer: Tensor, batch: Batch) -> Tensor:
        return self.stay(out, answer)

    def stay(self, out: Batch, answer: Tensor) -> Tensor:
        now, then = F.log_softmax(out["logits"].float(), 1), F.log_softmax(answer.float(), 1)
        return F.kl_div(now, then, reduction="batchmean", log_target=True)
