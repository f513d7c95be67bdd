"""What a stopped run needs to go on exactly where it was, in one file beside the checkpoints."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ptocr.errors import WeightsError
from ptocr.files import write_atomic

Scores = dict[str, dict[str, float]]


@dataclass
class Progress:
    """Where a run stands.

    batch: next batch of `epoch`; step: optimiser steps done; waited: evaluations without a better score; evaluated:
    step of the last evaluation; broken: samples skipped so far, each named once; before, best_scores, last_scores: of
    the start, of the best state and of the last one.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float = -1.0
    best_step: int = 0
    waited: int = 0
    evaluated: int = -1
    broken: list[str] = field(default_factory=list)
    before: Scores = field(default_factory=dict)
    best_scores: Scores = field(default_factory=dict)
    last_scores: Scores = field(default_factory=dict)


# What may differ in a resumed run: it changes neither what is learnt from nor how the best state is chosen.
FREE = (
    "run.output", "run.epochs", "run.max_steps", "run.patience", "run.eval_every", "run.log_every", "run.tensorboard",
    "run.trackers", "run.recompute",
    "data.workers", "data.cache", "data.val_batch_size", "data.max_broken",
)  # fmt: skip


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Settings of a resumed run that differ from those it was begun with, in words: refused ones, applied ones.

    before, now: recipes as plain containers; a setting that only one of them knows is no change.
    """
    old, new = flattened(before), flattened(now)
    changed = {key: f"{key}: was {old[key]!r}, is {new[key]!r}" for key in new if key in old and old[key] != new[key]}
    refused = [text for key, text in changed.items() if key not in FREE]
    return refused, [text for key, text in changed.items() if key in FREE and key != "run.output"]


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A recipe's settings by their names with dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def random_state() -> dict[str, Any]:
    """State of every generator that training draws from."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: dict[str, Any]) -> None:
    """Go on drawing where `random_state` was taken."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def seed_everything(seed: int) -> None:
    """Start values and dropout follow this seed; samples have their own generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # libraries may draw from it
    torch.manual_seed(seed)


def save_state(path: Path, progress: Progress, parts: dict[str, Any]) -> None:
    """Write atomically. parts: objects with state_dict()."""
    payload = {
        "progress": asdict(progress),
        "random": random_state(),
        "parts": {name: part.state_dict() for name, part in parts.items()},
    }
    write_atomic(path, lambda stream: torch.save(payload, stream), durable=True)


def load_state(path: Path, parts: dict[str, Any]) -> Progress:
    """Bring everything back to where `save_state` was called.

    Raises:
        WeightsError: no such file, or of a run with another network or optimiser.
    """
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no run to resume there; start it without --resume") from None
    if set(payload["parts"]) != set(parts):
        raise WeightsError(f"{path}: holds {sorted(payload['parts'])}, this recipe needs {sorted(parts)}")
    for name, part in parts.items():
        try:
            part.load_state_dict(payload["parts"][name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise WeightsError(f"{path}: the state of {name!r} does not fit this recipe: {error}") from None
    set_random_state(payload["random"])
    return Progress(**payload["progress"])
