"""Parts of a recipe: settings of losses, distillation, adapters, optimiser and run; those of data stand in
`ptocr.data.label_settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ptocr.data.label_settings import LabelSource, Part


class LossPart(Part):
    """Settings that every loss has; each has a class of its own with more (`Objective.settings`).

    name: of the loss, a key of `OBJECTIVES`; without it, the one that the network's head is for. l2_sp: weight of
    L2-SP: half the squared distance of the weights from those of `start`; added characters are free.
    """

    name: str
    l2_sp: float = Field(default=0.0, ge=0)


class DistillPart(Part):
    """Keeping what the start knew, or learning from a teacher.

    mode "keep": the frozen start answers for unlabelled crops in `data` (of the base domain), the student learns to go
    on answering so; "teacher": a frozen, better model of the same task and charset; "mutual": two students learn
    from each other (DML), and from `teacher` when it is given (CML, detectors). features: module -> weight of feature
    distillation beside it ("keep", "teacher"): {backbone: 1, head.ctc_encoder: 1}.
    """

    mode: Literal["keep", "teacher", "mutual"] = "keep"
    weight: float = 1.0
    temperature: float = 1.0
    teacher: str | None = None
    data: tuple[LabelSource, ...] = ()
    batch_size: int = Field(default=8, ge=1)
    features: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> DistillPart:
        if self.mode == "mutual" and self.features:
            raise ValueError("features are matched with a frozen network: mode 'keep' or 'teacher'")
        if self.mode == "teacher" and self.teacher is None:
            raise ValueError("mode 'teacher' needs `teacher`: a model name or a .pth")
        if self.mode == "keep" and not self.data:
            raise ValueError("mode 'keep' needs `data`: pictures of the kind that must not get worse (format: folder)")
        return self


class AdapterPart(Part):
    """Low-rank adapters (LoRA) on a frozen body.

    modules: prefixes of the layers that get one; also: prefixes of what learns in full beside them (the last layer, for
    added characters). rank, alpha: of the added weights, alpha / rank * B A.
    """

    modules: tuple[str, ...] = Field(min_length=1)
    also: tuple[str, ...] = ()
    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0)


class OptimPart(Part):
    """Optimiser, schedule, and which layers learn how fast.

    lr, lr_batch: the learning rate, and the samples per step (batch size x accumulated batches x processes) that it is
    for: another number of samples changes the rate in proportion. Without lr_batch the rate is taken as it stands.
    lr_scale: prefix of parameter names -> factor of the learning rate; the longest matching prefix counts, 0 freezes.
    freeze_norm: batch norms keep their running statistics, which is wise for small batches and little data.
    freeze_rows: characters that the start knew keep their rows in the last layer; those of added ones learn.
    weight_decay: "adam", "adadelta" and "sgd" add it to the gradient (Paddle's L2 regularizer), "adamw" decays the
    weights apart; no_decay: words in the names of parameters that are left alone by it; decay_vectors: whether biases
    and norms are not.
    warmup: epochs; milestones: epochs at which "piecewise" multiplies the rate by `gamma` (one number, or one each);
    "cosine" falls over the first of them and begins anew behind it, as if it had fallen over all epochs (upstream
    TwoStepCosine); "onecycle" rises to `lr` over three tenths of the run (arXiv 1708.07120); "poly" falls as
    the share of the run that is left, to the power `power`.
    clip: of the norm of all gradients, clip_each: of each parameter's.
    """

    name: Literal["adam", "adamw", "adadelta", "sgd"] = "adam"
    lr: float = Field(default=1e-3, gt=0)
    lr_batch: int | None = Field(default=None, ge=1)
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    weight_decay: float = 0.0
    no_decay: tuple[str, ...] = ()
    decay_vectors: bool = True
    schedule: Literal["cosine", "piecewise", "poly", "constant", "onecycle"] = "cosine"
    warmup: float = 0.0
    milestones: tuple[float, ...] = ()
    gamma: float | tuple[float, ...] = 0.1
    power: float = Field(default=0.9, gt=0)
    min_lr: float = 0.0
    clip: float | None = None
    clip_each: float | None = None
    lr_scale: dict[str, float] = Field(default_factory=dict)
    freeze_norm: bool = False
    freeze_rows: bool = False

    @property
    def gammas(self) -> tuple[float, ...]:
        """What the rate is multiplied by at each milestone."""
        return self.gamma if isinstance(self.gamma, tuple) else (self.gamma,) * len(self.milestones)

    @model_validator(mode="after")
    def _frozen(self) -> OptimPart:
        if len(self.gammas) != len(self.milestones):
            raise ValueError(f"optim.gamma has {len(self.gammas)} numbers, optim.milestones {len(self.milestones)}")
        if self.freeze_rows and self.weight_decay:
            raise ValueError("optim.weight_decay would shrink the rows that freeze_rows keeps; set one of them only")
        return self


class RunPart(Part):
    """Length, seed, precision, checkpoints.

    eval_every: epochs between evaluations (the last epoch is always evaluated); patience: stop after so many
    evaluations without a better score (None: never); max_steps: stop early, for tests.
    max_base_loss: a state that loses more than this of the start's score on `data.base` is not kept (0.01: one point).
    interpolate: shares of what was learnt, between 0 and 1; at the end the weights start + share * (end - start) are
    evaluated too, and kept where they are the best (WiSE-FT, arXiv 2109.01903); added characters stay as learnt.
    ema: decay of the exponential moving average of the weights; swa: stochastic weight averaging (arXiv 1803.05407),
    the mean of the weights of all steps after this share of the run. Either is what is evaluated and saved.
    compile: backend of torch.compile ("inductor"), None for none. recompute: gradient checkpointing, about a third more
    time for much less memory.
    trackers: where losses and scores go besides history.jsonl, by accelerate ("tensorboard", "wandb", ...).
    """

    epochs: int = Field(default=10, ge=1)
    max_steps: int | None = None
    seed: int = 0
    precision: Literal["no", "fp16", "bf16"] = "no"
    accumulate: int = Field(default=1, ge=1)
    ema: float | None = Field(default=None, gt=0, lt=1)
    swa: float | None = Field(default=None, ge=0, lt=1)
    compile: str | None = None
    recompute: bool = False
    eval_every: float = Field(default=1, gt=0)
    patience: int | None = None
    max_base_loss: float | None = Field(default=None, ge=0)
    interpolate: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    log_every: int = Field(default=10, ge=1)
    tensorboard: bool = False
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow", "comet_ml", "aim", "clearml", "dvclive"], ...] = ()
    output: Path = Path("output/train")

    @field_validator("precision", mode="before")
    @classmethod
    def _no(cls, value: Any) -> Any:
        """In YAML 1.1, `no` is a truth value."""
        return "no" if value is False else value

    @model_validator(mode="after")
    def _one_average(self) -> RunPart:
        if self.ema is not None and self.swa is not None:
            raise ValueError("run.ema and run.swa are two averages of the weights; set one of them")
        return self
