"""What is particular to tasks in training: how samples are made of pictures and labels. What is learnt of them is a
matter of the loss (`ptocr.train.losses`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ptocr.checkpoint import network_of
from ptocr.data.label_settings import AugmentPart
from ptocr.data.samples import (
    ClsSamples,
    DetSamples,
    FormSamples,
    LineImages,
    OCRSamples,
    RecSamples,
    TableSamples,
    ZoomSamples,
    collate,
    collate_forms,
    collate_sizes,
)
from ptocr.data.sources import Item
from ptocr.data.targets import LineTargets, PageTargets, TableTargets
from ptocr.errors import SpecError
from ptocr.nn.build import build_network
from ptocr.spec.settings import DetPreprocess, RecPreprocess, SRPreprocess
from ptocr.spec.tasks import (
    ClsPostprocess,
    ClsPreprocess,
    E2EPreprocess,
    KIEPostprocess,
    KIEPreprocess,
    TablePreprocess,
)
from ptocr.train.losses import OBJECTIVES
from ptocr.train.objectives import Frozen, Helpers, Objective, Subject
from ptocr.train.parts import DistillPart, LossPart
from ptocr.train.penalties import FeatureMatch, StartPoint
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
    """Base of what is particular to a task while training: samples, and what is evaluated.

    score: the metric that chooses the best checkpoint; lines: whether batches may be as wide as their pictures need;
    collate: samples -> batch; limit: what cannot be learnt, in words; checkpoint: spec, charset and form of what will
    be saved; makes: target maker of the loss.
    """

    score = "acc"
    lines = False
    limit = ""
    collate = staticmethod(collate)

    def __init__(self, start: Start, loss: LossPart, augment: AugmentPart, max_text_length: int) -> None:
        self.checkpoint, self.network, self.loss, self.augment = start.checkpoint, start.network, loss, augment
        self.kind = OBJECTIVES[loss.name]
        subject = Subject(self.checkpoint.spec, self.network, self.checkpoint.charset, max_text_length)
        self.makes = self.kind.make_targets(subject, loss)

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

    def objective(self, helpers: Helpers, freeze_norm: bool) -> Objective:
        """The network with its losses."""
        return self.kind(self.network, self.loss, self.makes, freeze_norm, helpers)

    def for_evaluation(self, network: nn.Module) -> nn.Module:
        """The module whose outputs the evaluator is given."""
        return network.decoding()  # type: ignore[operator]


class DetTraining(Training):
    """Text detection; text spotting, whose score counts what was found and read."""

    score = "hmean"

    def samples(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        pre = self.checkpoint.spec.preprocess
        assert isinstance(pre, DetPreprocess | E2EPreprocess) and isinstance(self.makes, PageTargets)
        return DetSamples(items, pre, self.augment, self.makes, **options)


class RecTraining(Training):
    """Text recognition."""

    def __init__(self, start: Start, loss: LossPart, augment: AugmentPart, max_text_length: int) -> None:
        super().__init__(start, loss, augment, max_text_length)
        pre = self.checkpoint.spec.preprocess
        assert isinstance(pre, RecPreprocess) and isinstance(self.makes, LineTargets)
        self.pre, self.encoder = pre, self.makes
        self.lines, self.limit = not pre.fixed, self.encoder.limit
        if pre.resize == "inverted":  # pictures of their own size
            self.collate = collate_sizes

    def learns(self, item: Item) -> bool:
        return self.encoder.accepts(str(item.label))

    def samples(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        return RecSamples(items, self.pre, self.encoder, self.augment, **options)

    def pictures(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        return LineImages(items, self.pre, self.augment, **options)


class ClsTraining(Training):
    """Direction of lines or pages."""

    def samples(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        pre, post = self.checkpoint.spec.preprocess, self.checkpoint.spec.postprocess
        assert isinstance(pre, ClsPreprocess) and isinstance(post, ClsPostprocess)
        return ClsSamples(items, pre, post.labels, self.augment, **options)


class TableTraining(Training):
    """Structure of tables."""

    def __init__(self, start: Start, loss: LossPart, augment: AugmentPart, max_text_length: int) -> None:
        super().__init__(start, loss, augment, max_text_length)
        assert isinstance(self.makes, TableTargets)
        self.limit = self.makes.limit

    def learns(self, item: Item) -> bool:
        return self.makes.accepts(item.label)

    def samples(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        pre = self.checkpoint.spec.preprocess
        assert isinstance(pre, TablePreprocess)
        return TableSamples(items, pre, self.makes, **options)


class KIETraining(Training):
    """Key information extraction. Pictures are taken as they are, as upstream."""

    score = "hmean"
    collate = staticmethod(collate_forms)

    def samples(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        pre, post = self.checkpoint.spec.preprocess, self.checkpoint.spec.postprocess
        assert isinstance(pre, KIEPreprocess) and isinstance(post, KIEPostprocess)
        return FormSamples(items, pre, post.labels, **options)


class ZoomTraining(Training):
    """Super-resolution of text lines."""

    score = "psnr"

    def samples(self, items: Sequence[Item], **options: Any) -> OCRSamples:
        pre = self.checkpoint.spec.preprocess
        assert isinstance(pre, SRPreprocess)
        return ZoomSamples(items, pre, **options)


TRAININGS: dict[str, type[Training]] = {
    "det": DetTraining,
    "rec": RecTraining,
    "cls": ClsTraining,
    "e2e": DetTraining,
    "table": TableTraining,
    "kie": KIETraining,
    "sr": ZoomTraining,
}


def make_training(start: Start, loss: LossPart, augment: AugmentPart, max_text_length: int) -> Training:
    """What is particular to the task of a start's model.

    Raises:
        SpecError: models for this task are not trained here.
    """
    spec = start.checkpoint.spec
    if spec.task not in TRAININGS:
        raise SpecError(f"{spec.name}: models for {spec.task!r} cannot be trained; known: {', '.join(TRAININGS)}")
    return TRAININGS[spec.task](start, loss, augment, max_text_length)
