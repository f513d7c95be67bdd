"""The training loop: one function over accelerate, for one process or many."""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from tqdm import tqdm

from ptocr.train.recipe import TrainRecipe
from ptocr.train.resume import Progress, Scores
from ptocr.train.run import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended. before, after: scores on "val" and "base" of the start and of the best checkpoint.

    stopped: "done", "steps" (run.max_steps), "patience", or "interrupted" (Ctrl-C; `resume` goes on).
    """

    best: Path
    last: Path
    progress: Progress
    before: Scores
    after: Scores
    stopped: str


def fit(recipe: TrainRecipe, resume: bool = False, show: bool = False) -> Outcome:
    """Train by a recipe; checkpoints and `history.jsonl` go to `recipe.run.output`.

    best.pth, last.pth: ordinary checkpoints; state.pt: what `resume` needs. show: progress bars on stderr.

    Raises:
        SpecError, WeightsError, InputError: the recipe, its weights or its data are unusable; each names the culprit.
    """
    run = Run(recipe)
    run.out.mkdir(parents=True, exist_ok=True)
    if resume:
        run.resume()
        log.info("resumed at epoch %d, step %d", run.progress.epoch, run.progress.step)
    else:
        _begin(run)
    stopped = "done"
    with interrupt_flag() as flag:
        while run.progress.epoch < recipe.run.epochs and stopped == "done":
            stopped = _epoch(run, flag, show)
            if stopped == "done":
                run.progress.epoch, run.progress.batch = run.progress.epoch + 1, 0
                run.save_last()
    if stopped != "interrupted":
        _finish(run)
    last = run.save_last()
    run.accelerator.end_training()
    _report_broken(run.progress)
    progress = run.progress
    best = run.out / "best.pth"
    return Outcome(best if best.is_file() else last, last, progress, progress.before, progress.best_scores, stopped)


def _begin(run: Run) -> None:
    """A new run: its recipe beside its results, the scores of the start."""
    if run.accelerator.is_main_process:
        text = yaml.safe_dump(run.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        (run.out / "recipe.yaml").write_text(text, encoding="utf-8")
        (run.out / "history.jsonl").write_text("", encoding="utf-8")
        (run.out / "best.pth").unlink(missing_ok=True)
    if run.task.start.base is not None:
        run.progress.before = run.evaluate(run.network)
        _write(run, {"step": 0, "scores": run.progress.before})
        if "val" in run.progress.before:  # what does not beat the start is not kept
            _keep_best(run, run.progress.before, run.network)


def _epoch(run: Run, flag: threading.Event, show: bool) -> str:
    """The rest of the epoch. Returns "done", or why the run has to stop."""
    part, progress, total = run.recipe.run, run.progress, len(run.batches)
    every = max(1, round(part.eval_every * run.steps_per_epoch))
    bar = tqdm(
        run.epoch_batches(),
        desc=f"epoch {progress.epoch + 1}/{part.epochs}",
        total=total,
        initial=progress.batch,
        disable=not (show and run.accelerator.is_local_main_process),
    )
    for batch in bar:
        # the last batch of an epoch ends an accumulation too, so that checkpoints never fall into one
        boundary = (progress.batch + 1) % part.accumulate == 0 or progress.batch + 1 == total
        losses = run.step(run.on_device(batch), boundary)
        progress.batch += 1
        if not boundary:
            continue
        if progress.step % part.log_every == 0:
            _write(run, {"step": progress.step, "lr": max(run.schedule.get_last_lr()), "losses": losses})
            bar.set_postfix({"loss": f"{losses['loss']:.4f}", "best": f"{max(progress.best, 0):.4f}"})
        if progress.step % every == 0 and progress.batch < total:  # that of the last batch waits for the epoch's end
            _evaluate(run)
        if stop := _stop(run, flag):
            return stop
    if progress.step % every == 0 or progress.epoch + 1 == part.epochs:
        _evaluate(run)
    return _stop(run, flag) or "done"


def _stop(run: Run, flag: threading.Event) -> str:
    part, progress = run.recipe.run, run.progress
    stop = flag.is_set()
    if run.accelerator.num_processes > 1 and progress.step % part.log_every == 0:  # all processes stop together
        mine = torch.tensor(float(stop), device=run.accelerator.device)
        stop = bool(run.accelerator.reduce(mine) > 0)
    elif run.accelerator.num_processes > 1:
        stop = False
    if stop:
        return "interrupted"
    if part.patience is not None and progress.waited >= part.patience:
        return "patience"
    return "steps" if part.max_steps is not None and progress.step >= part.max_steps else ""


def _evaluate(run: Run) -> None:
    """Score the network; keep it when it is the best so far."""
    if run.progress.evaluated != run.progress.step and run.sets:
        run.progress.evaluated = run.progress.step
        _weigh(run, run.result)
        run.save_last()


def _weigh(run: Run, network: nn.Module, **notes: float) -> None:
    scores, progress = run.evaluate(network), run.progress
    if "val" not in scores:
        progress.best_scores = scores
    elif scores["val"][run.task.score] > progress.best and _bearable(run, scores):
        _keep_best(run, scores, network, **notes)
    else:
        progress.waited += 1
    _write(run, {"step": progress.step, **notes, "scores": scores})
    log.info("step %d %s: %s", progress.step, notes or "", scores)


def _bearable(run: Run, scores: Scores) -> bool:
    limit, score = run.recipe.run.max_base_loss, run.task.score
    return limit is None or run.progress.before["base"][score] - scores["base"][score] <= limit + 1e-9


def _keep_best(run: Run, scores: Scores, network: nn.Module, **notes: float) -> None:
    progress = run.progress
    progress.best, progress.best_step, progress.waited = scores["val"][run.task.score], progress.step, 0
    progress.best_scores = scores
    run.save("best", network, **notes)


def _finish(run: Run) -> None:
    """The end of a run: its last state and mixtures with the start are scored; without `val`, the last is the best."""
    _evaluate(run)
    if "val" not in run.sets:
        run.save("best")
        return
    for share in run.recipe.run.interpolate:
        _weigh(run, run.mixture(share), share=share)


def _write(run: Run, entry: dict[str, Any]) -> None:
    """One line of history.jsonl, and TensorBoard where the recipe wants it."""
    if not run.accelerator.is_main_process:
        return
    with (run.out / "history.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry) + "\n")
    if run.recipe.run.tensorboard:
        board = run.board()
        for kind, values in entry.items():
            for name, value in _flat({kind: values}).items():
                board.add_scalar(name, value, entry["step"])


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}/") if isinstance(value, dict) else {name: float(value)}
    return flat


def _report_broken(progress: Progress) -> None:
    if progress.broken:
        log.warning("%d samples could not be used; the first: %s", len(progress.broken), progress.broken[0])


@contextmanager
def interrupt_flag() -> Iterator[threading.Event]:
    """Ctrl-C sets the flag, so that the step in progress is completed and saved; a second one stops at once."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def handle(number: int, frame: Any) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        log.warning("stopping after this step; press Ctrl-C again to stop at once")
        flag.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)
