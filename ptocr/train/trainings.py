"""The three tasks: how samples and objective of det, rec and cls are made from the parts of a recipe and a start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ptocr.checkpoint import network_of
from ptocr.data.label_settings import AugmentPart
from ptocr.data.samples import ClsSamples, DetSamples, LineImages, OCRSamples, RecSamples
from ptocr.data.sources import Item
from ptocr.data.targets import LabelEncoder
from ptocr.errors import SpecError
from ptocr.nn.build import build_network
from ptocr.spec.settings import DBPostprocess, DetPreprocess, RecPreprocess
from ptocr.spec.tasks import ClsPostprocess, ClsPreprocess
from ptocr.train.objectives import ClsObjective, DetObjective, Frozen, Helpers, Objective, RecObjective
from ptocr.train.penalties import FeatureMatch, StartPoint
from ptocr.train.recipe import DistillPart, LossPart
from ptocr.train.start import Start, added_rows, class_rows
from ptocr.weights import store


def make_helpers(part: DistillPart | None, start: Start, l2_sp: float = 0.0) -> Helpers:
    """Teacher, peer and penalties of a recipe. l2_sp: weight of the distance from the start's weights.

    Raises:
        SpecError: "keep" without a start, a teacher of another task, no such module for features.
    """
    near = StartPoint(start.network, l2_sp, added_rows(start)) if l2_sp else None
    if part is None:
        return Helpers(start_point=near)
    teacher, rows = _teacher(part, start)
    features = None
    if part.features:
        assert teacher is not None  # the recipe was checked
        features = FeatureMatch(start.network, teacher.network, part.features)
    return Helpers(part, teacher, _peer(start) if part.mode == "mutual" else None, rows, features, near)


def _teacher(part: DistillPart, start: Start) -> tuple[Frozen | None, Tensor | None]:
    """Who is learnt from, if anybody, and the network's class of each of its classes."""
    if part.mode == "keep":
        if start.base is None:
            raise SpecError("distill.mode keep: there is nothing to keep without `start`")
        return Frozen(network_of(start.base)), start.rows
    if part.teacher is None:
        return None, start.rows
    checkpoint = store.load(part.teacher)
    if checkpoint.spec.task != start.checkpoint.spec.task:
        raise SpecError(f"distill.teacher {part.teacher}: a model for {checkpoint.spec.task!r}")
    rows = start.rows
    if checkpoint.charset is not None and start.checkpoint.charset is not None:
        rows = class_rows(checkpoint.charset, start.checkpoint.charset)
    return Frozen(network_of(checkpoint)), rows


def _peer(start: Start) -> nn.Module:
    """A second student: the same network with random numbers in its own neck and head, the same backbone."""
    spec, classes = start.checkpoint.spec, start.checkpoint.classes
    peer = build_network(spec.architecture, classes, train=True).train()
    if start.base is not None and start.checkpoint.form == "train":
        state = {k: v for k, v in start.network.state_dict().items() if k.startswith("backbone.")}
        peer.load_state_dict(state, strict=False)
    return peer


class Training:
    """Base of what is particular to a task while training: samples, objective, what is evaluated.

    score: the metric that chooses the best checkpoint; lines: whether batches may be as wide as their pictures need;
    limit: what cannot be learnt, in words; checkpoint: spec, charset and form of what will be saved.
    """

    score = "acc"
    lines = False
    limit = ""

    def __init__(self, start: Start, augment: AugmentPart, max_text_length: int) -> None:
        self.checkpoint, self.network, self.augment = start.checkpoint, start.network, augment

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.checkpoint.spec.task

    def learns(self, item: Item) -> bool:
        """Whether the label of an item can be learnt."""
        return True

    def samples(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        """Training samples with augmentation. options: `seed` and `cache` of the data set."""
        raise NotImplementedError

    def pictures(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        """Unlabelled pictures for distillation."""
        return self.samples(items, **options)

    def objective(self, loss: LossPart, helpers: Helpers, freeze_norm: bool) -> Objective:
        """The network with its losses."""
        raise NotImplementedError

    def for_evaluation(self, network: nn.Module) -> nn.Module:
        """The module whose outputs the evaluator is given."""
        return network.decoding()  # type: ignore[operator]


class DetTraining(Training):
    """Text detection."""

    score = "hmean"

    def samples(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        pre, post = self.checkpoint.spec.preprocess, self.checkpoint.spec.postprocess
        assert isinstance(pre, DetPreprocess)
        if not isinstance(post, DBPostprocess):
            raise SpecError(f"{self.checkpoint.spec.name}: {post.name!r} detectors are not trained here; DB ones are")
        return DetSamples(items, pre, self.augment, **options)

    def objective(self, loss: LossPart, helpers: Helpers, freeze_norm: bool) -> Objective:
        return DetObjective(self.network, loss, freeze_norm, helpers)


class RecTraining(Training):
    """Text recognition. max_text_length: of the labels, two more than the longest text that is learnt."""

    lines = True

    def __init__(self, start: Start, augment: AugmentPart, max_text_length: int) -> None:
        super().__init__(start, augment, max_text_length)
        pre, charset = self.checkpoint.spec.preprocess, self.checkpoint.charset
        assert isinstance(pre, RecPreprocess) and charset is not None
        self.pre, self.charset = pre, charset
        layouts = start.network.class_rows().values()  # type: ignore[operator]
        guide = next((layout for layout in layouts if layout != charset.layout), "nrtr")
        self.encoder = LabelEncoder(charset, max_text_length, guide)
        self.limit = (
            f"texts of more than {self.encoder.longest} characters (max_text_length {max_text_length} less two) or "
            "without a character that the charset has"
        )

    def learns(self, item: Item) -> bool:
        return self.encoder.accepts(str(item.label))

    def samples(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        return RecSamples(items, self.pre, self.encoder, self.augment, **options)

    def pictures(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        return LineImages(items, self.pre, self.augment, **options)

    def objective(self, loss: LossPart, helpers: Helpers, freeze_norm: bool) -> Objective:
        padding = self.encoder.sar_padding if self.encoder.guide == "sar" else None
        centers = None if loss.centers is None else torch.from_numpy(np.load(loss.centers, allow_pickle=False))
        return RecObjective(self.network, loss, freeze_norm, helpers, padding, centers)


class ClsTraining(Training):
    """Direction of lines or pages."""

    def samples(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        pre, post = self.checkpoint.spec.preprocess, self.checkpoint.spec.postprocess
        assert isinstance(pre, ClsPreprocess) and isinstance(post, ClsPostprocess)
        return ClsSamples(items, pre, post.labels, self.augment, **options)

    def objective(self, loss: LossPart, helpers: Helpers, freeze_norm: bool) -> Objective:
        return ClsObjective(self.network, loss, freeze_norm, helpers)


OBJECTIVES: dict[str, type[Training]] = {"det": DetTraining, "rec": RecTraining, "cls": ClsTraining}


def make_training(start: Start, augment: AugmentPart, max_text_length: int) -> Training:
    """What is particular to the task of a start's model.

    Raises:
        SpecError: models for this task are not trained here.
    """
    spec = start.checkpoint.spec
    if spec.task not in OBJECTIVES:
        raise SpecError(f"{spec.name}: models for {spec.task!r} cannot be trained; known: {', '.join(OBJECTIVES)}")
    return OBJECTIVES[spec.task](start, augment, max_text_length)
