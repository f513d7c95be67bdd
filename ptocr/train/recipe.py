"""TrainRecipe: everything about one training run that is not a fact about the model. Unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union

from pydantic import Field, ValidationError, field_validator, model_validator

from ptocr import paths
from ptocr.data.label_settings import AugmentPart, DataPart, Part, SamplerPart
from ptocr.errors import SpecError
from ptocr.spec.model import load_spec
from ptocr.spec.yaml import explain, override, read_extended
from ptocr.train.losses import OBJECTIVES, loss_name
from ptocr.train.parts import AdapterPart, DistillPart, LossPart, OptimPart, RunPart

# As types go, what the settings of all losses have in common; told apart by their name.
if TYPE_CHECKING:
    Loss: TypeAlias = LossPart
else:
    Loss = Annotated[Union[tuple(k.settings for k in OBJECTIVES.values())], Field(discriminator="name")]  # noqa: UP007


class TrainRecipe(Part):
    """One training run.

    model: name or YAML of the spec; start: weights to begin with (.pth, .pdparams, inference model; a model name stands
    for the official weights; None starts from random numbers). charset: dictionary file of the model to be trained
    (default: that of the start, or the spec's); start_charset: the one that a start without its own (.pdparams, ONNX)
    was trained with, where it is not the spec's. max_text_length: longest text that is trained on.
    gtc: the guide of recognisers: "auto" uses it where the start has its weights or there is no start. loss: settings
    of the loss that the model's head is for, or of the one that `loss.name` says.
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
    loss: Loss
    distill: DistillPart | None = None
    adapters: AdapterPart | None = None
    optim: OptimPart = OptimPart()
    run: RunPart = RunPart()

    @model_validator(mode="before")
    @classmethod
    def _named_loss(cls, data: Any) -> Any:
        """The settings of the loss with its name, which says what they may be."""
        if not isinstance(data, dict) or not isinstance(data.get("model"), str):
            return data
        loss = data.get("loss") or {}
        if not isinstance(loss, dict):
            return data
        try:
            spec = load_spec(data["model"])
            name = loss_name(spec.architecture, loss.get("name"))
        except SpecError as error:
            raise ValueError(f"model {data['model']}: {error}") from None
        return {**data, "loss": {**loss, "name": name}}

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
