"""Pipeline configuration with PaddleX's keys, and the options of a `predict` call.

Override order: model spec < pipeline YAML < `create_pipeline(...)` < `predict(...)`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ptocr import paths
from ptocr.errors import InputError, SpecError
from ptocr.spec import explain, read_yaml


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Module(_Frozen):
    """One model of a pipeline: by name, or by the folder or file of its weights."""

    module_name: str | None = None
    model_name: str
    model_dir: str | None = None
    batch_size: int = Field(default=6, ge=1)


class Detection(Module):
    """Text detection; None keeps what the model's spec says."""

    batch_size: int = Field(default=1, ge=1)
    limit_side_len: int | None = None
    limit_type: Literal["min", "max", "resize_long"] | None = None
    max_side_limit: int | None = None
    thresh: float | None = None
    box_thresh: float | None = None
    unclip_ratio: float | None = None
    input_shape: tuple[int, ...] | None = None


class Recognition(Module):
    """Text recognition; lines that score less than `score_thresh` are left out. charset: a dictionary file instead of
    the weights' own."""

    charset: str | None = None
    score_thresh: float = 0.0
    return_word_box: bool = False
    input_shape: tuple[int, ...] | None = None


class DocModules(_Frozen):
    """Models of document preprocessing."""

    DocOrientationClassify: Module | None = None
    DocUnwarping: Module | None = None


class DocPreprocessor(_Frozen):
    """Page direction and unwarping before anything is read."""

    pipeline_name: str = "doc_preprocessor"
    use_doc_orientation_classify: bool = True
    use_doc_unwarping: bool = True
    batch_size: int = Field(default=1, ge=1)
    SubModules: DocModules


class OCRModules(_Frozen):
    """Models of the OCR pipeline."""

    TextDetection: Detection
    TextLineOrientation: Module | None = None
    TextRecognition: Recognition


class OCRSubPipelines(_Frozen):
    """Pipelines inside the OCR pipeline."""

    DocPreprocessor: DocPreprocessor


class PipelineSpec(_Frozen):
    """An OCR pipeline, PaddleX's `OCR.yaml`."""

    pipeline_name: Literal["OCR"]
    text_type: Literal["general", "seal"] = "general"
    use_doc_preprocessor: bool = False
    use_textline_orientation: bool = False
    batch_size: int = Field(default=1, ge=1)
    SubModules: OCRModules
    SubPipelines: OCRSubPipelines | None = None


SPECS: dict[str, type[BaseModel]] = {"OCR": PipelineSpec, "doc_preprocessor": DocPreprocessor}
_SHORT = {
    "text_detection": ("SubModules", "TextDetection"),
    "text_recognition": ("SubModules", "TextRecognition"),
    "textline_orientation": ("SubModules", "TextLineOrientation"),
    "doc_orientation_classify": ("SubPipelines", "DocPreprocessor", "SubModules", "DocOrientationClassify"),
    "doc_unwarping": ("SubPipelines", "DocPreprocessor", "SubModules", "DocUnwarping"),
}


def list_pipelines() -> list[str]:
    """Names of the pipelines that come with ptocr."""
    return sorted(p.stem for p in (paths.configs() / "pipelines").glob("*.yaml"))


def pipeline_file(name_or_path: str | Path) -> Path:
    """The YAML file of a pipeline name or path.

    Raises:
        SpecError: unknown pipeline; lists the known ones.
    """
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")):
        return Path(text)
    path = paths.configs() / "pipelines" / f"{text}.yaml"
    if not path.is_file():
        raise SpecError(f"unknown pipeline {text!r}; known: {', '.join(list_pipelines())}, or the path of a YAML file")
    return path


def load_pipeline(source: str | Path | dict[str, Any]) -> BaseModel:
    """Validate a pipeline given by name, path or as plain containers."""
    data = source if isinstance(source, dict) else read_yaml(pipeline_file(source))
    where = "config" if isinstance(source, dict) else str(source)
    name = data.get("pipeline_name") if isinstance(data, dict) else None
    if name not in SPECS:
        raise SpecError(f"{where}: pipeline_name {name!r} is not known; known: {', '.join(SPECS)}")
    return parse(SPECS[name], data, where)


T = TypeVar("T", bound=BaseModel)


def parse(kind: type[T], data: Any, where: str) -> T:
    """Validate; errors name `where`, the key and the allowed keys."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{where}: {explain(error, kind)}") from None


def override_models(spec: PipelineSpec, overrides: dict[str, Any]) -> tuple[PipelineSpec, dict[str, Any]]:
    """Apply `text_detection_model_name`, `..._model_dir`, `..._batch_size` and the like; returns what is left over."""
    data, rest = spec.model_dump(), {}
    for key, value in overrides.items():
        field = next((f for f in ("model_name", "model_dir", "batch_size", "charset") if key.endswith(f"_{f}")), "")
        stem = key.removesuffix(f"_{field}")
        if stem not in _SHORT or not field:
            rest[key] = value
        elif value is not None:
            node = data
            for part in _SHORT[stem]:
                node[part] = node.get(part) or {}
                node = node[part]
            node[field] = value
            if field == "model_dir" and f"{stem}_model_name" not in overrides:
                node["model_name"] = ""  # the weights say which model they are
    return parse(PipelineSpec, data, "create_pipeline"), rest


class OCROptions(_Frozen):
    """Options of one `predict` call; None keeps the default of the pipeline.

    Names are PaddleOCR 3.x's; below the line what ptocr adds.
    """

    use_doc_orientation_classify: bool | None = None
    use_doc_unwarping: bool | None = None
    use_textline_orientation: bool | None = None
    text_det_limit_side_len: int | None = Field(default=None, ge=1)
    text_det_limit_type: Literal["min", "max", "resize_long"] | None = None
    text_det_max_side_limit: int | None = Field(default=None, ge=32)
    text_det_thresh: float | None = Field(default=None, ge=0, le=1)
    text_det_box_thresh: float | None = Field(default=None, ge=0, le=1)
    text_det_unclip_ratio: float | None = Field(default=None, gt=0)
    text_rec_score_thresh: float | None = None
    return_word_box: bool | None = None
    # ----
    rec_padding: Literal["invariant", "paddle"] = "invariant"
    text_det_use_dilation: bool | None = None
    text_det_score_mode: Literal["fast", "slow"] | None = None
    text_det_box_type: Literal["quad", "poly"] | None = None
    text_det_max_candidates: int | None = None
    textline_orientation_thresh: float | None = Field(default=None, ge=0, le=1)
    text_rec_image_shape: tuple[int, int, int] | None = None
    textline_orientation_image_shape: tuple[int, int, int] | None = None
    keep_line_images: bool = False
    recursive: bool = False
    max_pages: int = Field(default=0, ge=0)
    page_range: str | tuple[int, ...] | None = None
    max_pixels: int | None = None
    pdf_dpi: float | None = None
    password: str | None = None
    allow_private: bool = False
    on_error: Callable[[InputError], None] | None = None

    def merged(self, overrides: dict[str, Any]) -> OCROptions:
        """These options with those of one call on top.

        Raises:
            SpecError: unknown name or impossible value; names it and what is allowed.
        """
        if not overrides:
            return self
        given = {k: v for k, v in overrides.items() if v is not None}
        current = {k: getattr(self, k) for k in type(self).model_fields}
        unknown = sorted(set(overrides) - set(current))
        if unknown:
            raise SpecError(f"unknown option {unknown[0]!r}; allowed: {', '.join(sorted(current))}")
        return parse(OCROptions, {**current, **given}, "options")
