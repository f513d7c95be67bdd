"""Tasks as rows of one table. Nothing else in the project compares names of tasks: what differs between tasks is a fact
of the row, or an entry of a table with the same keys (`PREDICTORS`, `EVALUATORS`, `OBJECTIVES`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ptocr.spec.settings import (
    ClsPostprocess,
    ClsPreprocess,
    DBPostprocess,
    DetPreprocess,
    EASTPostprocess,
    LayoutPostprocess,
    LayoutPreprocess,
    Postprocess,
    Preprocess,
    PSEPostprocess,
    RecPostprocess,
    RecPreprocess,
    TablePostprocess,
    TablePreprocess,
    UnwarpPreprocess,
)
from ptocr.spec.vocabulary import LAYOUTS


@dataclass(frozen=True)
class Axis:
    """A side of a network's input that may vary: multiples of `step` pixels, from `least` to `most` of them."""

    name: str
    step: int = 1
    least: int = 1
    most: int = 16384

    def holds(self, size: int) -> bool:
        """Whether a side of so many pixels is among them."""
        return size % self.step == 0 and self.least <= size // self.step <= self.most


@dataclass(frozen=True)
class Task:
    """What is true for all models of a task.

    title: what the task is called in texts; folder: of the specs, below `configs/`; preprocess: its settings;
    postprocess: settings by name, the first is the default, none where the network's output is the result; vocabulary:
    whether models read text and so have one; probe: a picture size (C, H, W) that every network of the task takes
    unless the preprocessing asks for another; varying: which axes of a batch (N, C, H, W) may vary beside the first,
    in exported and compiled networks; compiles: whether networks can be compiled ahead of time.
    """

    title: str
    folder: str
    preprocess: type[Preprocess]
    postprocess: Mapping[str, type[Postprocess]]
    probe: tuple[int, int, int]
    varying: Mapping[int, Axis] = field(default_factory=dict)
    vocabulary: bool = False
    compiles: bool = True


TASKS: dict[str, Task] = {
    "det": Task(
        title="text detection",
        folder="det",
        preprocess=DetPreprocess,
        postprocess={"db": DBPostprocess, "east": EASTPostprocess, "pse": PSEPostprocess},
        probe=(3, 320, 384),
        # two steps at least: a map one pixel high is a special case of several operators
        varying={2: Axis("rows", 32, 2, 512), 3: Axis("columns", 32, 2, 512)},
    ),
    "rec": Task(
        title="text recognition",
        folder="rec",
        preprocess=RecPreprocess,
        postprocess=dict.fromkeys(LAYOUTS, RecPostprocess),
        probe=(3, 48, 320),
        varying={3: Axis("width", 1, 16, 16384)},
        vocabulary=True,
    ),
    "cls": Task(
        title="orientation classification",
        folder="cls",
        preprocess=ClsPreprocess,
        postprocess={"topk": ClsPostprocess},
        probe=(3, 224, 224),
    ),
    "unwarp": Task(
        title="page unwarping",
        folder="doc",
        preprocess=UnwarpPreprocess,
        postprocess={},
        probe=(3, 320, 256),
        varying={2: Axis("height", 1, 2, 16384), 3: Axis("width", 1, 2, 16384)},
        compiles=False,
    ),
    "layout": Task(
        title="layout detection",
        folder="layout",
        preprocess=LayoutPreprocess,
        postprocess={"nms": LayoutPostprocess},
        probe=(3, 320, 256),
    ),
    "table": Task(
        title="table structure recognition",
        folder="table",
        preprocess=TablePreprocess,
        postprocess={"cells": TablePostprocess},
        probe=(3, 128, 128),
        compiles=False,  # it runs as many steps as the table has tokens
    ),
}
