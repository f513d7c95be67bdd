"""Settings of labelled data: where samples come from, how they are augmented and put into batches."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelSource(Part):
    """Labelled pictures.

    format "paddle": PaddleOCR's and PPOCRLabel's label files (`path<TAB>label`, for all tasks); "lmdb": the
    text-recognition literature's, one or every one below a folder; "tar": WebDataset's, one or a folder of them (beside
    the picture .txt, .cls, or .json with det labels); "icdar2015": `path` is a folder of `gt_NAME.txt`; "folder":
    pictures without labels; "pubtabnet": tables, lines of JSON with `filename` and `html`; "textzoom": LMDBs of small
    lines and sharp ones (as label files: `small<TAB>sharp<TAB>text`).
    root: folder of the pictures (default: that of the label file). ratio: share of the samples that an epoch takes;
    more than 1 repeats them.
    """

    path: Path
    format: Literal["paddle", "lmdb", "tar", "icdar2015", "folder", "pubtabnet", "textzoom"] = "paddle"
    root: Path | None = None
    ratio: float = Field(default=1.0, gt=0)


class DataPart(Part):
    """train, val: what to learn and what to choose the best checkpoint by; base: must not get worse (reported only).

    max_broken: so many unreadable samples are skipped (each is logged by name), one more ends the run.
    """

    train: tuple[LabelSource, ...] = ()
    val: tuple[LabelSource, ...] = ()
    base: tuple[LabelSource, ...] = ()
    batch_size: int = Field(default=8, ge=1)
    val_batch_size: int = Field(default=8, ge=1)
    workers: int = Field(default=0, ge=0)
    max_broken: int = Field(default=100, ge=0)
    cache: bool = False


class AugmentPart(Part):
    """Probabilities and ranges of the augmentations; those of other tasks are ignored. Defaults are upstream's."""

    # recognition (RecConAug, RecAug, TIA)
    concat: float = 0.5
    tia: float = 0.4
    crop: float = 0.4
    blur: float = 0.4
    hsv: float = 0.4
    jitter: float = 0.4
    noise: float = 0.4
    reverse: float = 0.4
    # detection (CopyPaste, ColorJitter, IaaAugment, EastRandomCropData)
    copy_paste: float = 1.0
    color: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # brightness, contrast, saturation, hue
    flip: float = 0.5
    rotate: tuple[float, float] = (-10.0, 10.0)
    rotate_chance: float = 1.0
    scale: tuple[float, float] = (0.5, 3.0)
    crop_size: tuple[int, int] = (640, 640)
    crop_tries: int = 50
    # detection by squares: FCENet, DRRG (RandomCropFlip, RandomCropPolyInstances, SquareResizePad)
    patch_flip: float = 0.5
    cut: float = 0.8
    cut_least: float = 0.3
    keep_ratio: float = 0.6
    # detection of texts with a direction (EASTProcessTrain)
    quarter_turns: float = 0.5
    background: float = 0.125
    # line and page classification: RandAugment-like photometric changes
    photometric: float = 0.5
    turns: bool = False  # pictures are upright, whatever their labels say, and are turned by each class's degrees


class SamplerPart(Part):
    """How recognition batches are put together.

    scales: (width, height) a batch may have, upstream's multi-scale training; fixed_batch keeps the batch size when the
    pictures get larger, else it follows the area. by_ratio: a batch holds lines of like aspect ratio and is as wide as
    they need, from the scale's width (which inference pads short lines to) up to max_width.
    """

    scales: tuple[tuple[int, int], ...] = ((320, 48),)
    fixed_batch: bool = False
    by_ratio: bool = False
    max_width: int = 960
