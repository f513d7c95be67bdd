"""TrainRecipe: everything about one training run that is not a fact about the model. Unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from ptocr import paths
from ptocr.data.label_settings import AugmentPart, DataPart, LabelSource, Part, SamplerPart
from ptocr.errors import SpecError
from ptocr.spec.model import load_spec
from ptocr.spec.yaml import explain, override, read_extended


class LossPart(Part):
    """Options of the losses; those of other tasks are ignored.

    centers: .npy (classes, features) of the center loss (tools/class_centers.py), weighted with center_weight.
    l2_sp: weight of L2-SP: half the squared distance of the weights from those of `start`; added characters are free.
    """

    main: Literal["dice", "bce", "dice_focal"] = "dice"
    alpha: float = 5.0
    beta: float = 10.0
    ohem_ratio: float = 3.0
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    aux: dict[str, float] = Field(default_factory=dict)
    ctc_weight: float = 1.0
    gtc_weight: float = 1.0
    ctc_focal: bool = False
    centers: Path | None = None
    center_weight: float = 0.05
    smoothing: float = 0.0
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
    weight_decay: "adam" and "sgd" add it to the gradient (Paddle's L2 regularizer), "adamw" decays the weights apart.
    warmup: epochs; milestones: epochs at which "piecewise" multiplies the rate by `gamma`.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(default=1e-3, gt=0)
    lr_batch: int | None = Field(default=None, ge=1)
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["cosine", "piecewise", "constant"] = "cosine"
    warmup: float = 0.0
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    min_lr: float = 0.0
    clip: float | None = None
    lr_scale: dict[str, float] = Field(default_factory=dict)
    freeze_norm: bool = False
    freeze_rows: bool = False

    @model_validator(mode="after")
    def _frozen(self) -> OptimPart:
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


class TrainRecipe(Part):
    """One training run.

    model: name or YAML of the spec; start: weights to begin with (.pth, .pdparams, inference model; a model name stands
    for the official weights; None starts from random numbers). charset: dictionary file of the model to be trained
    (default: that of the start, or the spec's); start_charset: the one that a start without its own (.pdparams, ONNX)
    was trained with, where it is not the spec's. max_text_length: longest text that is trained on.
    gtc: the guide of recognisers: "auto" uses it where the start has its weights or there is no start.
    """

    model: str
    start: str | None = None
    charset: Path | None = None
    start_charset: Path | None = None
    max_text_length: int = Field(default=25, ge=3)
    gtc: Literal["auto", "on", "off"] = "auto"
    ignore_space: bool = False
    ignore_case: bool = False
    data: DataPart = DataPart()
    augment: AugmentPart = AugmentPart()
    sampler: SamplerPart = SamplerPart()
    loss: LossPart = LossPart()
    distill: DistillPart | None = None
    adapters: AdapterPart | None = None
    optim: OptimPart = OptimPart()
    run: RunPart = RunPart()

    @field_validator("gtc", mode="before")
    @classmethod
    def _on_or_off(cls, value: Any) -> Any:
        """In YAML 1.1, `on` and `off` are truth values."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _comparable(self) -> TrainRecipe:
        if self.run.interpolate and not (self.start and self.data.val):
            raise ValueError("run.interpolate mixes with the weights of `start` and needs `data.val` to choose by")
        if not self.start and (self.loss.l2_sp or self.adapters):
            raise ValueError("loss.l2_sp and adapters begin with the weights of `start`, which is missing")
        if self.run.max_base_loss is not None and not (self.start and self.data.val and self.data.base):
            raise ValueError("run.max_base_loss compares with `start` on `data.base` and needs `data.val` to choose by")
        return self

    @field_validator("model")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            load_spec(value)
        except SpecError as error:
            raise ValueError(str(error)) from None
        return value


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> TrainRecipe:
    """A recipe file (a path, or a name in `configs/train`) with `key.sub=value` overrides on top (values are YAML).

    Raises:
        SpecError: no such file, invalid YAML, unknown key, wrong value; names file and key.
    """
    path = Path(path)
    if path.suffix not in (".yaml", ".yml"):
        path = recipes_folder() / f"{path}.yaml"
    data = read_extended(_known_file(path), _recipe_file) or {}
    if not isinstance(data, dict):
        raise SpecError(f"{path}: a recipe is a mapping of settings, this is {type(data).__name__}")
    override(data, overrides or [])
    return parse_recipe(data, str(path))


def recipes_folder() -> Path:
    """Where the recipes that come with ptocr lie."""
    return paths.configs() / "train"


def _recipe_file(name: str, path: Path) -> Path:
    """The file that `extends: name` in a recipe means: one beside it, or one of ours."""
    beside = path.with_name(f"{name}.yaml")
    return _known_file(beside if beside.is_file() else recipes_folder() / beside.name)


def _known_file(path: Path) -> Path:
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in recipes_folder().glob("*.yaml")))
        raise SpecError(f"{path}: no such recipe; known by name: {known}")
    return path


def parse_recipe(data: Any, where: str) -> TrainRecipe:
    """Validate a recipe given as plain containers; `where` names it in errors."""
    try:
        return TrainRecipe.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{where}: {explain(error, TrainRecipe)}") from None
