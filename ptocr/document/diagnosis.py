"""What happened to one page: the data of a diagnosis, made by `ptocr.pipelines.diagnose`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ptocr.document.results import OCRResult


class Reading(NamedTuple):
    """What a line picture reads as, and how surely."""

    text: str
    score: float


@dataclass(frozen=True, eq=False)
class Rejected:
    """A region that was not kept. reason: the option that rejected it; read: what it would have read as."""

    poly: np.ndarray
    score: float
    reason: str
    read: Reading


@dataclass(frozen=True, eq=False)
class Vote:
    """A line and both of its readings. label, probability: the classifier's word; empty without one."""

    crop: np.ndarray
    label: str
    probability: float
    upright: Reading
    turned: Reading
    kept_turned: bool


@dataclass(eq=False)
class Diagnosis:
    """Everything a report shows. resized: the detector's input picture (h, w, 3) uint8 BGR; prob: its probability map
    (h, w) float32."""

    result: OCRResult
    resized: np.ndarray
    prob: np.ndarray
    votes: list[Vote]
    rejected: list[Rejected]
    advice: list[str] = field(default_factory=list)
