"""Tasks as rows of one table. Nothing else in the project compares names of tasks: what differs between tasks is a fact
of the row, or an entry of a table with the same keys (`PREDICTORS`, `EVALUATORS`, `TRAININGS`).

Settings that only one task has stand here as well, in front of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ptocr.spec.settings import (
    IMAGENET,
    CTPostprocess,
    DBPostprocess,
    DetPreprocess,
    DRRGPostprocess,
    EASTPostprocess,
    FCEPostprocess,
    FormulaPostprocess,
    FormulaPreprocess,
    Normalize,
    Positive,
    Postprocess,
    Preprocess,
    PSEPostprocess,
    Ratio,
    RecPostprocess,
    RecPreprocess,
    SASTPostprocess,
    Shape,
    Share,
    SideLimit,
    SRPreprocess,
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

    def in_steps(self, step: int) -> Axis:
        """The same sides as far as they are multiples of `step` pixels too, a multiple of the own step or 1."""
        if step <= self.step:
            return self
        ratio = step // self.step
        return Axis(self.name, step, -(-self.least // ratio), self.most // ratio)


@dataclass(frozen=True)
class Task:
    """What is true for all models of a task.

    title: what the task is called in texts; folder: of the specs, below `configs/`; preprocess: its settings;
    postprocess: settings by name, the first is the default, none where the network's output is the result; vocabulary:
    whether models read text and so have one; probe: a picture size (C, H, W) that every network of the task takes
    unless the preprocessing asks for another; beside: such sizes, without the batch, of the inputs that networks have
    beside the picture, in their order; varying: which axes of a batch (N, C, H, W) may vary beside the first,
    in exported and compiled networks; compiles: whether networks can be compiled ahead of time.
    """

    title: str
    folder: str
    preprocess: type[Preprocess]
    postprocess: Mapping[str, type[Postprocess]]
    probe: tuple[int, int, int]
    beside: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    varying: Mapping[int, Axis] = field(default_factory=dict)
    vocabulary: bool = False
    compiles: bool = True


class ClsPreprocess(Preprocess):
    """Classifier input.

    mode "line": height and width of `image_shape`, aspect ratio kept, zero padding on the right (upstream
    ClsResizeImg); "crop": short side to `resize_short`, then centre crop; "resize": plain resize.
    """

    mode: Literal["line", "crop", "resize"]
    image_shape: Shape
    resize_short: Positive | None = None
    normalize: Normalize

    @model_validator(mode="after")
    def _short_side(self) -> ClsPreprocess:
        if (self.mode == "crop") != (self.resize_short is not None):
            raise ValueError("resize_short belongs to mode 'crop', and to it alone")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.image_shape


class ClsPostprocess(Postprocess):
    """Best class. labels: class names in order (degrees the content is turned); threshold: below it nothing is
    turned."""

    name: Literal["topk"] = "topk"
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    threshold: Share = 0.9

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.labels


class UnwarpPreprocess(Preprocess):
    """Unwarping input: x * scale, channels in `order`, size as it is."""

    scale: Ratio = 1 / 255
    order: Literal["bgr", "rgb"] = "bgr"


class LayoutPreprocess(Preprocess):
    """Layout input: height and width of `image_shape`, aspect ratio not kept, normalised."""

    image_shape: Shape = (3, 800, 608)
    interpolation: Literal["linear", "cubic"] = "cubic"
    normalize: Normalize = IMAGENET

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.image_shape


class RegionPostprocess(Postprocess):
    """Base: regions of a page. labels: class names in order; threshold: least score, or that of classes by their index
    (0.5 for the others)."""

    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    threshold: Share | dict[int, Share] = 0.5

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.labels

    def least(self, index: int) -> float:
        """The least score of a class."""
        return self.threshold.get(index, 0.5) if isinstance(self.threshold, dict) else self.threshold


class LayoutPostprocess(RegionPostprocess):
    """Regions of a page by non-maximum suppression for each class. nms_threshold: of two regions of a class that
    overlap by more (intersection over union), the likelier stays; nms_top_k: so many of a class, keep_top_k: so many of
    a page are looked at and kept."""

    name: Literal["nms"] = "nms"
    nms_threshold: Share = 0.6
    nms_top_k: Positive = 1000
    keep_top_k: Positive = 100


class DETRPostprocess(RegionPostprocess):
    """Regions of a page as queries see them, a query perhaps as several classes. top_k: so many of a page."""

    name: Literal["detr"] = "detr"
    top_k: Positive = 300


class TablePreprocess(Preprocess):
    """Table input: the longer side `side` pixels, aspect ratio kept, normalised, padded to a square on the right and
    below with zeros, or with what black becomes."""

    side: SideLimit = 488
    padding: Literal["zeros", "black"] = "zeros"
    normalize: Normalize = IMAGENET

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, self.side, self.side)


class TableMasterPostprocess(Postprocess):
    """The same of TableMaster: its special tokens stand behind the others, and boxes are centres and sizes."""

    name: Literal["master"] = "master"
    tokens: Annotated[tuple[str, ...], Field(min_length=1)]
    boxes: Literal["square"] = "square"
    centred: ClassVar[bool] = True

    @property
    def class_names(self) -> tuple[str, ...]:
        return (*self.tokens, "ukn", "sos", "eos", "pad")

    @property
    def marks(self) -> tuple[int, int, int]:
        """Classes of start, end and padding."""
        first = len(self.tokens)
        return first + 1, first + 2, first + 3


class TablePostprocess(Postprocess):
    """Tokens of a table's HTML and boxes of its cells. tokens: between the start and the end token, in class order;
    boxes: what coordinates are fractions of, the square that the picture was padded to or the picture; "untrained"
    where the weights say nothing of them."""

    name: Literal["cells"] = "cells"
    tokens: Annotated[tuple[str, ...], Field(min_length=1)]
    boxes: Literal["square", "picture", "untrained"] = "square"
    centred: ClassVar[bool] = False  # whether boxes are centres and sizes

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("sos", *self.tokens, "eos")

    @property
    def marks(self) -> tuple[int, int, int]:
        """Classes of start, end and padding."""
        return 0, len(self.tokens) + 1, 0


class E2EPreprocess(Preprocess):
    """End-to-end input: sides rounded up to multiples of `stride`, then normalised (upstream E2EResizeForTest).

    resize "totaltext": enlarged by `enlarge` unless the height would exceed `limit_side_len`, which it gets then;
    "partvgg": the longer side gets `limit_side_len` (upstream's valid_set; its predict_e2e knows the first alone).
    max_side_limit, max_pixels: bounds for large pages, as of detectors.
    """

    resize: Literal["totaltext", "partvgg"] = "totaltext"
    limit_side_len: Positive = 768
    enlarge: Ratio = 1.25
    max_side_limit: SideLimit = 4000
    max_pixels: Positive = 4_000_000
    stride: Annotated[int, Field(ge=64, le=1024, multiple_of=64)] = 128
    normalize: Normalize = IMAGENET

    @property
    def step(self) -> int:
        return self.stride


class PGNetPostprocess(Postprocess):
    """Characters gathered along thinned centre lines (arXiv 2104.05458; upstream PGPostProcess).

    thresh: least score of a pixel of a centre line; valid_set: outlines for lines of any form ("totaltext") or four
    corners ("partvgg"); mode: outlines of six pairs of points ("fast"), or of a pair for each character and blank
    ("slow", where the lines of "partvgg" are not thinned); widen: ends are moved outwards by so many heights;
    point_gather_mode "align": in mode "fast", characters are looked for at every pixel between the points of a line.
    space, right_to_left: as of recognisers.
    """

    name: Literal["pgnet"] = "pgnet"
    thresh: Share = 0.5
    valid_set: Literal["totaltext", "partvgg"] = "totaltext"
    mode: Literal["fast", "slow"] = "fast"
    widen: Annotated[float, Field(ge=0)] = 0.2
    point_gather_mode: Literal["align"] | None = None
    space: bool = False
    right_to_left: bool = False

    @property
    def expand(self) -> float:
        """How far out borders are drawn."""
        return 1.2 if self.valid_set == "totaltext" else 1.0


class KIEPreprocess(Preprocess):
    """Input of key information extraction: a picture of a form, within `long_side` x `short_side` pixels in either
    direction and sides rounded up to multiples of `stride`, and the lines of text on it.

    characters: those that texts are made of, in class order from 1; others are left out. norm: how many pixels make one
    unit of the distance between lines.
    """

    long_side: SideLimit = 1024
    short_side: SideLimit = 512
    stride: Annotated[int, Field(ge=16, le=1024, multiple_of=16)] = 32
    norm: Ratio = 10.0
    normalize: Normalize = IMAGENET.with_(order="rgb")
    characters: Annotated[tuple[str, ...], Field(min_length=1)]

    @property
    def step(self) -> int:
        return self.stride


class KIEPostprocess(Postprocess):
    """The best class of each line. labels: names of the classes in order; unscored: those that say nothing worth
    knowing, such as the names of fields, and do not count in evaluation."""

    name: Literal["fields"] = "fields"
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    unscored: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.labels


TASKS: dict[str, Task] = {
    "det": Task(
        title="text detection",
        folder="det",
        preprocess=DetPreprocess,
        postprocess={
            "db": DBPostprocess,
            "ct": CTPostprocess,
            "drrg": DRRGPostprocess,
            "east": EASTPostprocess,
            "fce": FCEPostprocess,
            "pse": PSEPostprocess,
            "sast": SASTPostprocess,
        },
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
        postprocess={"nms": LayoutPostprocess, "detr": DETRPostprocess},
        probe=(3, 320, 256),
    ),
    "table": Task(
        title="table structure recognition",
        folder="table",
        preprocess=TablePreprocess,
        postprocess={"cells": TablePostprocess, "master": TableMasterPostprocess},
        probe=(3, 128, 128),
        compiles=False,  # it runs as many steps as the table has tokens
    ),
    "e2e": Task(
        title="text spotting",
        folder="e2e",
        preprocess=E2EPreprocess,
        postprocess={"pgnet": PGNetPostprocess},
        probe=(3, 256, 384),
        varying={2: Axis("rows", 128, 1, 128), 3: Axis("columns", 128, 1, 128)},
        vocabulary=True,
    ),
    "sr": Task(
        title="text super-resolution",
        folder="sr",
        preprocess=SRPreprocess,
        postprocess={},
        probe=(3, 16, 64),
    ),
    "kie": Task(
        title="key information extraction",
        folder="kie",
        preprocess=KIEPreprocess,
        postprocess={"fields": KIEPostprocess},
        probe=(3, 64, 96),
        beside={"relations": (3, 3, 5), "texts": (3, 8), "boxes": (3, 4)},
        compiles=False,  # its graph has as many nodes as the page has lines
    ),
    "formula": Task(
        title="formula recognition",
        folder="formula",
        preprocess=FormulaPreprocess,
        postprocess={"unimernet": FormulaPostprocess},
        probe=(1, 384, 384),
        vocabulary=True,
        compiles=False,  # it runs as many steps as the formula has tokens
    ),
}
