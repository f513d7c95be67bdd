"""The three tasks: how samples, objective and evaluation of det, rec and cls are made from a recipe and a start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ptocr.checkpoint import network_of
from ptocr.data.samples import ClsSamples, DetSamples, LineImages, OCRSamples, RecSamples
from ptocr.data.sources import Item
from ptocr.data.targets import LabelEncoder
from ptocr.errors import SpecError
from ptocr.evaluation.metrics import Metric
from ptocr.evaluation.models import EVALUATORS, EvalOptions, Predict
from ptocr.nn.build import build_network
from ptocr.nn.decode import GreedyCTC
from ptocr.nn.heads.sar import SARHead
from ptocr.spec.settings import ClsPostprocess, ClsPreprocess, DBPostprocess, DetPreprocess, RecPreprocess
from ptocr.spec.vocabulary import Charset
from ptocr.train.objectives import ClsObjective, DetObjective, Frozen, Objective, RecObjective
from ptocr.train.recipe import TrainRecipe
from ptocr.train.start import Start, class_rows
from ptocr.weights import store


@dataclass(frozen=True)
class Helpers:
    """What distillation adds to an objective: a frozen teacher, a second student, the classes of the teacher."""

    teacher: Frozen | None = None
    peer: nn.Module | None = None
    rows: Tensor | None = None


def make_helpers(recipe: TrainRecipe, start: Start) -> Helpers:
    """Teacher and peer of the recipe's distillation.

    Raises:
        SpecError: "keep" without a start, or a teacher of another task.
    """
    part = recipe.distill
    if part is None:
        return Helpers()
    teacher, rows = None, start.rows
    if part.mode == "keep":
        if start.base is None:
            raise SpecError("distill.mode keep: there is nothing to keep without `start`")
        teacher = Frozen(network_of(start.base))
    elif part.teacher is not None:
        checkpoint = store.load(part.teacher)
        if checkpoint.spec.task != start.checkpoint.spec.task:
            raise SpecError(f"distill.teacher {part.teacher}: a model for {checkpoint.spec.task!r}")
        teacher = Frozen(network_of(checkpoint))
        if checkpoint.charset is not None and start.checkpoint.charset is not None:
            rows = class_rows(checkpoint.charset, start.checkpoint.charset)
    return Helpers(teacher, _peer(start) if part.mode == "mutual" else None, rows)


def _peer(start: Start) -> nn.Module:
    """A second student: the same network with random numbers in its own neck and head, the same backbone."""
    spec, classes = start.checkpoint.spec, start.checkpoint.classes
    peer = build_network(spec.architecture, classes, train=True).train()
    if start.base is not None and start.checkpoint.form == "train":
        state = {k: v for k, v in start.network.state_dict().items() if k.startswith("backbone.")}
        peer.load_state_dict(state, strict=False)
    return peer


class Task:
    """Base of the tasks. `score` names the metric that chooses the best checkpoint."""

    name = ""
    score = "acc"

    def __init__(self, recipe: TrainRecipe, start: Start) -> None:
        self.recipe, self.start = recipe, start
        self.spec = start.checkpoint.spec

    def options(self) -> dict[str, Any]:
        """Arguments that all data sets take."""
        return {"seed": self.recipe.run.seed, "cache": self.recipe.data.cache}

    def samples(self, items: Sequence[Item]) -> OCRSamples:
        """Training samples with augmentation."""
        raise NotImplementedError

    def pictures(self, items: Sequence[Item]) -> OCRSamples:
        """Unlabelled pictures for distillation."""
        raise NotImplementedError

    def objective(self) -> Objective:
        """The network with its losses."""
        raise NotImplementedError

    def for_evaluation(self, network: nn.Module) -> nn.Module:
        """The module whose outputs `evaluate` is given."""
        return network

    def evaluate(self, predict: Predict, items: Sequence[Item]) -> Metric:
        """Score of labelled pictures; predict: NCHW batch -> arrays."""
        options = EvalOptions(self.recipe.data.val_batch_size, self.recipe.ignore_space, self.recipe.ignore_case)
        return EVALUATORS[self.name](self.start.checkpoint, predict, items, options)

    def _objective_options(self) -> dict[str, Any]:
        helpers = make_helpers(self.recipe, self.start)
        return {
            "freeze_norm": self.recipe.optim.freeze_norm,
            "part": self.recipe.distill,
            "teacher": helpers.teacher,
            "peer": helpers.peer,
            "rows": helpers.rows,
        }


class DetTask(Task):
    """Text detection."""

    name, score = "det", "hmean"

    def __init__(self, recipe: TrainRecipe, start: Start) -> None:
        super().__init__(recipe, start)
        assert isinstance(self.spec.preprocess, DetPreprocess) and isinstance(self.spec.postprocess, DBPostprocess)
        self.pre = self.spec.preprocess

    def samples(self, items: Sequence[Item]) -> OCRSamples:
        return DetSamples(items, self.pre, self.recipe.augment, **self.options())

    pictures = samples

    def objective(self) -> Objective:
        return DetObjective(self.start.network, self.recipe.loss, **self._objective_options())


class RecTask(Task):
    """Text recognition."""

    name, score = "rec", "acc"

    def __init__(self, recipe: TrainRecipe, start: Start) -> None:
        super().__init__(recipe, start)
        assert isinstance(self.spec.preprocess, RecPreprocess) and start.checkpoint.charset is not None
        self.pre = self.spec.preprocess
        self.charset: Charset = start.checkpoint.charset
        sar = any(isinstance(m, SARHead) for m in start.network.modules())
        self.encoder = LabelEncoder(self.charset, recipe.max_text_length, "sar" if sar else "nrtr")

    def samples(self, items: Sequence[Item]) -> OCRSamples:
        return RecSamples(items, self.pre, self.encoder, self.recipe.augment, **self.options())

    def pictures(self, items: Sequence[Item]) -> OCRSamples:
        return LineImages(items, self.pre, self.recipe.augment, **self.options())

    def objective(self) -> Objective:
        padding = self.encoder.sar_padding if self.encoder.guide == "sar" else None
        loss = self.recipe.loss
        centers = None if loss.centers is None else torch.from_numpy(np.load(loss.centers, allow_pickle=False))
        return RecObjective(self.start.network, loss, padding, centers, **self._objective_options())

    def for_evaluation(self, network: nn.Module) -> nn.Module:
        return GreedyCTC(network)  # type: ignore[arg-type]


class ClsTask(Task):
    """Direction of lines or pages."""

    name, score = "cls", "acc"

    def __init__(self, recipe: TrainRecipe, start: Start) -> None:
        super().__init__(recipe, start)
        assert isinstance(self.spec.preprocess, ClsPreprocess) and isinstance(self.spec.postprocess, ClsPostprocess)
        self.pre, self.labels = self.spec.preprocess, self.spec.postprocess.labels

    def samples(self, items: Sequence[Item]) -> OCRSamples:
        return ClsSamples(items, self.pre, self.labels, self.recipe.augment, **self.options())

    pictures = samples

    def objective(self) -> Objective:
        return ClsObjective(self.start.network, self.recipe.loss, **self._objective_options())


TASKS: dict[str, type[Task]] = {"det": DetTask, "rec": RecTask, "cls": ClsTask}


def make_task(recipe: TrainRecipe, start: Start) -> Task:
    """The task of the recipe's model.

    Raises:
        SpecError: models for this task are not trained here.
    """
    task = start.checkpoint.spec.task
    if task not in TASKS:
        name, known = start.checkpoint.spec.name, ", ".join(TASKS)
        raise SpecError(f"{name}: models for {task!r} cannot be trained; known: {known}")
    return TASKS[task](recipe, start)
