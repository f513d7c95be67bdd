"""The training loop: one function over accelerate, for one process or many."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from ptocr.train.recipe import TrainRecipe
from ptocr.train.run import Outcome, Run

log = logging.getLogger(__name__)


def fit(recipe: TrainRecipe, resume: bool = False, overwrite: bool = False, show: bool = False) -> Outcome:
    """Train by a recipe; checkpoints and `history.jsonl` go to `recipe.run.output`.

    best.pth, last.pth: ordinary checkpoints; state.pt: what `resume` needs. overwrite: replace an earlier run in the
    same folder. show: progress bars on stderr.

    Raises:
        SpecError, WeightsError, InputError: the recipe, its weights or its data are unusable; each names the culprit.
        TrainError: the folder holds another run, the resumed run had other settings, or the losses became no numbers.
    """
    run = Run(recipe, resume, overwrite)
    part, progress = recipe.run, run.progress
    if not resume:
        run.judge_start()
    every = max(1, round(part.eval_every * run.steps_per_epoch))
    stopped = ""
    with interrupt_flag() as flag:
        while progress.epoch < part.epochs and not stopped:
            total, bar = len(run.feed), _bar(run, show)
            for batch in bar:
                # the last batch of an epoch ends an accumulation too, so that checkpoints never fall into one
                boundary = (progress.batch + 1) % part.accumulate == 0 or progress.batch + 1 == total
                with run.learner.sharing(boundary):
                    with run.accelerator.autocast():
                        made = run.learner.objective(batch)
                    losses = run.learner.learn(made, boundary)
                run.count(losses, boundary)
                if boundary and progress.step % part.log_every == 0:
                    bar.set_postfix({"loss": f"{losses['loss']:.4f}", "best": f"{max(progress.best, 0):.4f}"})
                if boundary and progress.step % every == 0 and progress.batch < total:
                    run.judge()
                if boundary and (stopped := run.stop(flag)):
                    break
            if progress.batch == total and stopped != "interrupted":
                if progress.step % every == 0 or progress.epoch + 1 == part.epochs:
                    run.judge(save=False)
                progress.epoch, progress.batch = progress.epoch + 1, 0
                run.save_last()
                stopped = stopped or run.stop(flag)
    return run.finish(stopped or "done")


def _bar(run: Run, show: bool) -> tqdm[dict[str, Any]]:
    """What is left of the epoch, with a progress bar."""
    progress = run.progress
    return tqdm(
        run.feed.epoch(progress.epoch, progress.batch),
        desc=f"epoch {progress.epoch + 1}/{run.part.epochs}",
        total=len(run.feed),
        initial=progress.batch,
        disable=not (show and run.accelerator.is_local_main_process),
    )


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
