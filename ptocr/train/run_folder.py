"""The output folder of a run: checkpoints, history, the state to resume from. Only the main process writes."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from ptocr.checkpoint import Checkpoint, save_checkpoint
from ptocr.errors import TrainError
from ptocr.files import write_atomic
from ptocr.train.recipe import TrainRecipe
from ptocr.train.resume import Progress, changed_settings, load_state, save_state

log = logging.getLogger(__name__)
RESULTS = ("best.pth", "last.pth", "state.pt")
BESIDE = ("recipe.yaml", "history.jsonl", "tensorboard")


class RunFolder:
    """Files of one run. writes: whether this process is the one that writes them; track: what else is told the numbers
    of a step, by name."""

    def __init__(self, path: Path, writes: bool, track: Callable[[dict[str, float], int], None] | None = None) -> None:
        self.path, self.writes, self.track = path, writes, track
        self.best, self.last, self.state = (path / name for name in RESULTS)
        self._saved: dict[str, Any] = {}

    def check(self, recipe: TrainRecipe, resume: bool, overwrite: bool) -> None:
        """Refuse to lose an earlier run, or to go on with another recipe than it was begun with.

        Raises:
            TrainError: says which files or settings, and what to do.
        """
        if resume:
            self._check_settings(recipe)
            return
        there = [name for name in RESULTS if (self.path / name).exists()]
        if there and not overwrite:
            raise TrainError(
                f"{self.path}: holds {', '.join(there)} of an earlier run; go on with it by --resume, replace it by "
                "--overwrite, or choose another run.output"
            )

    def _check_settings(self, recipe: TrainRecipe) -> None:
        path = self.path / "recipe.yaml"
        if not path.is_file():
            return
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        refused, applied = changed_settings(before, recipe.model_dump(mode="json"))
        if refused:
            raise TrainError(
                f"{self.path}: --resume goes on with the run as it was begun, but {'; '.join(refused)}. Restore that, "
                "or begin a new run in another run.output (its `start` can be last.pth of this one)"
            )
        for change in applied:
            log.info("resumed with another %s", change)

    def begin(self, recipe: TrainRecipe, resume: bool) -> None:
        """Make the folder ready: leftovers of a killed process go, and an earlier run unless it is resumed."""
        if not self.writes:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        for stale in self.path.glob(".*.part*"):
            stale.unlink(missing_ok=True)
        if resume:
            return
        for name in (*RESULTS, *BESIDE):
            path = self.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        write_atomic(self.path / "recipe.yaml", text.encode("utf-8"))
        (self.path / "history.jsonl").write_text("", encoding="utf-8")

    def note(self, entry: dict[str, Any]) -> None:
        """One line of history.jsonl, and the same to the trackers. entry: "step" and groups of numbers."""
        if not self.writes:
            return
        with (self.path / "history.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
        if self.track is not None:
            self.track(_flat(entry), entry["step"])

    def save(self, path: Path, checkpoint: Checkpoint) -> None:
        """An ordinary checkpoint."""
        if self.writes:
            save_checkpoint(path, checkpoint)

    def save_last(self, checkpoint: Checkpoint, progress: Progress, parts: dict[str, Any]) -> None:
        """last.pth and what is needed to go on from here, unless that is what was saved last."""
        if not self.writes or self._saved == asdict(progress):
            return
        if self._saved.get("step") != progress.step:
            save_checkpoint(self.last, checkpoint)
        save_state(self.state, progress, parts)
        self._saved = asdict(progress)

    def load(self, parts: dict[str, Any]) -> Progress:
        """Bring the parts back to where the run was saved last."""
        progress = load_state(self.state, parts)
        self._saved = asdict(progress)
        return progress

    @property
    def saved_step(self) -> int | None:
        """The step of last.pth, None before it was written."""
        return self._saved.get("step")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}/") if isinstance(value, dict) else {name: float(value)}
    return flat
