"""One run: its parts, each made from what concerns it of the recipe, and the bookkeeping between the steps."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ptocr.data.samples import read_sources
from ptocr.errors import DeviceError, TrainError
from ptocr.evaluation.models import EvalOptions
from ptocr.train.adapters import add_adapters
from ptocr.train.feed import Feed, Place
from ptocr.train.jury import Jury
from ptocr.train.learner import Learner, copied
from ptocr.train.optim import at_batch
from ptocr.train.recipe import TrainRecipe
from ptocr.train.recompute import recompute_blocks
from ptocr.train.resume import Progress, Scores, flattened, seed_everything
from ptocr.train.run_folder import RunFolder
from ptocr.train.start import added_rows, freeze_rows, load_start
from ptocr.train.trainings import make_helpers, make_training

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended. before, after: scores on "val" and "base" of the start and of the best checkpoint.

    stopped: "done", "steps" (run.max_steps), "patience", or "interrupted" (Ctrl-C; `resume` goes on). score: the one
    that chooses the best; rate: the highest learning rate.
    """

    best: Path
    last: Path
    progress: Progress
    before: Scores
    after: Scores
    stopped: str
    score: str
    rate: float


class Run:
    """The parts of a run and where it stands (`progress`). Nothing else keeps state between two steps."""

    def __init__(self, recipe: TrainRecipe, resume: bool = False, overwrite: bool = False) -> None:
        part = self.part = recipe.run
        trackers = dict.fromkeys([*part.trackers, *(["tensorboard"] if part.tensorboard else [])])
        self.accelerator = make_accelerator(part.precision, list(trackers), part.output)
        self.folder = RunFolder(
            part.output, self.accelerator.is_main_process, self.accelerator.log if trackers else None
        )
        self.folder.check(recipe, resume, overwrite)
        seed_everything(part.seed)
        self.start = load_start(recipe.model, recipe.start, recipe.charset, recipe.start_charset, recipe.gtc)
        self.training = make_training(self.start, recipe.loss, recipe.augment, recipe.max_text_length)
        place = Place(self.accelerator.process_index, self.accelerator.num_processes, self.accelerator.device)
        self.feed = Feed(self.training, recipe.data, recipe.sampler, part.seed, place)
        sources = {"val": recipe.data.val, "base": recipe.data.base}
        sets = {k: read_sources(v, self.training.task, recipe.data)[0] for k, v in sources.items() if v}
        options = EvalOptions(recipe.data.val_batch_size, recipe.ignore_space, recipe.ignore_case)
        self.jury = Jury(sets, self.training, options, self.accelerator, part.max_base_loss)
        self.steps_per_epoch = -(-len(self.feed) // part.accumulate)
        self.learner = self._learner(recipe)
        self.begun = copied(self.learner.result) if part.interpolate else {}
        self.progress = Progress(broken=list(self.feed.broken))
        self.accelerator.wait_for_everyone()  # no process looks for an earlier run when this one has begun to write
        self.folder.begin(recipe, resume)
        begin_tracking(self.accelerator, recipe)
        if resume:
            self.progress = self.folder.load(self.learner.parts())
            self.feed.broken |= dict.fromkeys(self.progress.broken)
            log.info("resumed at epoch %d, step %d", self.progress.epoch, self.progress.step)
        else:  # each process drops out its own features
            torch.manual_seed(part.seed + self.accelerator.process_index)

    def _learner(self, recipe: TrainRecipe) -> Learner:
        part, processes = recipe.run, self.accelerator.num_processes
        samples = recipe.data.batch_size * part.accumulate * processes
        optim = at_batch(recipe.optim, samples)
        log.info(
            "learning rate %.3g for %d samples per step (batch size %d x %d accumulated x %d processes)%s",
            optim.lr,
            samples,
            recipe.data.batch_size,
            part.accumulate,
            processes,
            f": {recipe.optim.lr:.3g} for {recipe.optim.lr_batch}, in proportion" if recipe.optim.lr_batch else "",
        )
        if recipe.adapters is not None:
            adapted = add_adapters(self.start.network, recipe.adapters, list(added_rows(self.start)))
            log.info("%d layers have adapters of rank %d", len(adapted), recipe.adapters.rank)
        helpers = make_helpers(recipe.distill, self.start, recipe.loss.l2_sp)
        if recipe.distill is not None and recipe.distill.mode == "keep":
            self.feed.keep(recipe.distill)
        objective = self.training.objective(helpers, optim.freeze_norm)
        if optim.freeze_rows:
            freeze_rows(self.start)
        if part.recompute:
            log.info("%d blocks are computed again in the backward pass", recompute_blocks(self.start.network))
        if part.compile:
            objective.compile(backend=part.compile)
        steps, epochs = self.steps_per_epoch, part.epochs
        swa_from = None if part.swa is None else round(part.swa * min(steps * epochs, part.max_steps or math.inf))
        return Learner(objective, optim, self.accelerator, steps, epochs, part.accumulate, part.ema, swa_from)

    def count(self, losses: Mapping[str, float], boundary: bool) -> None:
        """One more batch, and at a boundary one more step.

        Raises:
            TrainError: the losses are no numbers any more.
        """
        progress = self.progress
        progress.batch += 1
        progress.step += boundary
        progress.broken = list(self.feed.broken)
        if self.learner.lost(losses):
            bad = ", ".join(f"{name} {value}" for name, value in losses.items())
            raise self._diverged(f"the losses are no numbers any more ({bad})")
        if boundary and progress.step % self.part.log_every == 0:
            self.folder.note({"step": progress.step, "lr": self.learner.rate, "losses": dict(losses)})

    def _diverged(self, what: str) -> TrainError:
        saved = self.folder.saved_step
        good = "nothing was saved yet" if saved is None else f"last good checkpoint: {self.folder.last} of step {saved}"
        return TrainError(
            f"step {self.progress.step}: {what}; {good}. Try a smaller optim.lr (it is {self.learner.rate:.3g}), a "
            "longer optim.warmup, optim.clip, or run.precision no"
        )

    def judge_start(self) -> None:
        """Score the start of a run, where it has one. What does not beat it is not kept."""
        if self.start.base is None or not self.jury.sets:
            return
        network = self.learner.result
        self.progress.before = scores = self.jury.scores(network)
        self.learner.objective.train()
        self.folder.note({"step": 0, "scores": scores})
        if "val" in scores:
            self._keep(scores, network)
        self.progress.last_scores = scores

    def judge(self, save: bool = True) -> None:
        """Score the network as it is now, unless that was done at this step; keep it when it is the best so far."""
        if self.progress.evaluated == self.progress.step or not self.jury.sets:
            return
        self._check_finite()
        self.progress.evaluated = self.progress.step
        self._weigh(self.learner.result)
        if save:
            self.save_last()

    def _weigh(self, network: nn.Module, **notes: float) -> None:
        scores, progress = self.jury.scores(network), self.progress
        self.learner.objective.train()
        if not notes:
            progress.last_scores = scores
        if "val" not in scores:
            progress.best_scores = scores
        elif self.jury.prefers(scores, progress):
            self._keep(scores, network, **notes)
        else:
            progress.waited += 1
        self.folder.note({"step": progress.step, **notes, "scores": scores})
        log.info("step %d%s: %s", progress.step, f" {notes}" if notes else "", scores)

    def _keep(self, scores: Scores, network: nn.Module, **notes: float) -> None:
        progress = self.progress
        progress.best, progress.best_step, progress.waited = scores["val"][self.training.score], progress.step, 0
        progress.best_scores = scores
        self.folder.save(self.folder.best, self._checkpoint(network, **notes))

    def _checkpoint(self, network: nn.Module, **notes: float) -> Any:
        done = {"step": self.progress.step, "epoch": self.progress.epoch, "start": self.start.name, **notes}
        return self.start.checkpoint_of(network.state_dict(), {"trained": done})

    def _check_finite(self) -> None:
        if not self.learner.finite():
            raise self._diverged("some weights are no numbers any more")

    def save_last(self) -> None:
        """last.pth, and what is needed to go on from here."""
        self._check_finite()
        self.folder.save_last(self._checkpoint(self.learner.result), self.progress, self.learner.parts())

    def stop(self, flag: threading.Event) -> str:
        """Why the run has to stop after this step; "" to go on."""
        part, progress, stop = self.part, self.progress, flag.is_set()
        if self.accelerator.num_processes > 1 and progress.step % part.log_every == 0:  # all processes stop together
            mine = torch.tensor(float(stop), device=self.accelerator.device)
            stop = bool(self.accelerator.reduce(mine) > 0)
        elif self.accelerator.num_processes > 1:
            stop = False
        if stop:
            return "interrupted"
        if part.patience is not None and progress.waited >= part.patience:
            return "patience"
        return "steps" if part.max_steps is not None and progress.step >= part.max_steps else ""

    def finish(self, stopped: str) -> Outcome:
        """The end: the last state and mixtures with the start are scored; without `val`, the last is the best."""
        if stopped != "interrupted":
            self.judge(save=False)
            if "val" not in self.jury.sets:
                self.folder.save(self.folder.best, self._checkpoint(self.learner.result))
            for share in self.part.interpolate if "val" in self.jury.sets else ():
                self._weigh(self.learner.mixture(self.begun, share, added_rows(self.start)), share=share)
        self.save_last()
        self.accelerator.end_training()
        progress, folder = self.progress, self.folder
        if progress.broken:
            log.warning("%d samples could not be used; the first: %s", len(progress.broken), progress.broken[0])
        best = folder.best if folder.best.is_file() else folder.last
        before, after = progress.before, progress.best_scores
        rate = float(max(self.learner.schedule.base_lrs))
        return Outcome(best, folder.last, progress, before, after, stopped, self.training.score, rate)


def make_accelerator(precision: str, trackers: Sequence[str] = (), output: Path = Path()) -> Any:
    """Accelerate for this process. trackers: names of experiment trackers; output: folder of what they write.

    Raises:
        DeviceError: accelerate, or the package of a tracker, is not installed.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.tracking import TensorBoardTracker, get_available_trackers
        from accelerate.utils import DistributedDataParallelKwargs
    except ImportError as error:
        raise DeviceError(f'training needs {error.name}; install it with `pip install "ptocr[train]"`') from None
    there = [str(tracker) for tracker in get_available_trackers()]
    for name in trackers:
        if name not in there:
            raise DeviceError(f"run.trackers: {name} is not installed; `pip install {name.replace('_', '-')}`")
    AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
    handlers = [DistributedDataParallelKwargs(find_unused_parameters=True)]
    # without `cpu`, accelerate overlooks the processes that torchrun starts on a machine without accelerators
    here = not torch.accelerator.is_available()
    board = {"tensorboard": TensorBoardTracker("tensorboard", str(output))}  # else it would be named as the project
    options = {"log_with": [board.get(name, name) for name in trackers], "project_dir": str(output)} if trackers else {}
    return Accelerator(cpu=here, mixed_precision=precision, kwargs_handlers=handlers, **options)


def begin_tracking(accelerator: Any, recipe: TrainRecipe) -> None:
    """Tell the trackers of a run, its settings by their names."""
    if not accelerator.log_with:
        return
    settings = {k: v if isinstance(v, int | float | str) else str(v) for k, v in flattened(recipe.model_dump()).items()}
    output = recipe.run.output
    accelerator.init_trackers("ptocr", settings, {"wandb": {"name": output.name, "dir": str(output)}})
