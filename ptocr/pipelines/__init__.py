"""Pipelines: a few predictors and a generator of results."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from ptocr.errors import SpecError
from ptocr.pipelines.config import PipelineConfig, load_pipeline, override_models
from ptocr.pipelines.doc_preprocessor import DocPreprocessorPipeline
from ptocr.pipelines.modules import Models
from ptocr.pipelines.ocr import OCRPipeline
from ptocr.pipelines.predict_options import (
    DocOptions,
    OCROptions,
    ReadingOptions,
    SealOptions,
    SpottingOptions,
    StructureOptions,
)
from ptocr.pipelines.profiles import PROFILES, Profile, profile_settings
from ptocr.pipelines.seal_pipeline import SealPipeline
from ptocr.pipelines.single import create_model
from ptocr.pipelines.spotting_pipeline import SpottingPipeline
from ptocr.pipelines.spread import SpreadPipeline
from ptocr.pipelines.structure import StructurePipeline
from ptocr.runtime.devices import device_list
from ptocr.runtime.options import RuntimeOptions
from ptocr.spec.languages import code_of, models_for, reads
from ptocr.spec.model import list_specs, load_spec

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ptocr.pipelines.keywords import DocSetup, OCRSetup

__all__ = [
    "PROFILES",
    "DocOptions",
    "DocPreprocessorPipeline",
    "OCROptions",
    "OCRPipeline",
    "create_model",
    "create_pipeline",
]


@dataclass(frozen=True)
class PipelineRow:
    """A kind of pipelines. pipeline: its class; options: what a call of `predict` may ask; spread: its class over
    several devices, None where there is none."""

    pipeline: Callable[..., Any]
    options: type[ReadingOptions]
    spread: Callable[..., Any] | None = None


# Keyed as `config.SPECS`.
PIPELINES: dict[str, PipelineRow] = {
    "OCR": PipelineRow(OCRPipeline, OCROptions, SpreadPipeline),
    "doc_preprocessor": PipelineRow(DocPreprocessorPipeline, DocOptions),
    "structure": PipelineRow(StructurePipeline, StructureOptions),
    "PGNet": PipelineRow(SpottingPipeline, SpottingOptions),
    "seal_recognition": PipelineRow(SealPipeline, SealOptions),
}
# Taken so that calls written for PaddleX run.
IGNORED = ("engine_config", "pp_option", "use_hpip", "hpi_config")


@overload
def create_pipeline(
    pipeline: Literal["OCR", "PP-OCRv4_mobile"] | None = "OCR", config: None = None, **options: Unpack[OCRSetup]
) -> OCRPipeline: ...


@overload
def create_pipeline(
    pipeline: Literal["doc_preprocessor"], config: None = None, **options: Unpack[DocSetup]
) -> DocPreprocessorPipeline: ...


@overload
def create_pipeline(
    pipeline: str | Path | None = "OCR", config: dict[str, Any] | str | Path | None = None, **options: Any
) -> Any: ...


def create_pipeline(
    pipeline: str | Path | None = "OCR",
    config: dict[str, Any] | str | Path | None = None,
    *,
    lang: str | None = None,
    ocr_version: str | None = None,
    profile: Profile | None = None,
    device: str | None = "auto",
    compile: str = "off",
    dtype: str = "float32",
    engine: str | None = "auto",
    threads: int | None = None,
    **overrides: Any,
) -> Any:
    """A pipeline by name (a key of `PIPELINES`, in any case), by the path of its YAML, or by `config` (path or
    containers).

    lang: what is to be read, by ISO 639 code or PaddleOCR's name, several with commas between ("ko", "korean",
    "en,fr"): chooses the recogniser and logs which; the pipeline's own stays where it reads the language. ocr_version:
    "PP-OCRv3" ... "PP-OCRv6": detector and recogniser of that version. profile: a key of `PROFILES`: what accuracy is
    given for speed; not given: what the YAML says. device: as in `RuntimeOptions`; several ("gpu:0,1", "cpu,cpu") share
    the pages of a call between them. overrides: `text_detection_model_name`,
    `text_detection_model_dir` and the like of every module (`text_recognition_...`, `textline_orientation_...`,
    `doc_orientation_classify_...`, `doc_unwarping_...`, `text_spotting_...`), and every option of `predict` as a
    default; of Paddle's own engines' (`IGNORED`), a warning says that they mean nothing here. Models are loaded when
    first used.

    Raises:
        SpecError: unknown pipeline, key, option or language. DeviceError: unknown or absent device, engine or dtype.
    """
    spec = load_pipeline((pipeline or "OCR") if config is None else config)
    options = [
        RuntimeOptions(name, dtype, compile, engine or "auto", threads)  # type: ignore[arg-type]
        for name in device_list(device or "auto")
    ]
    if lang is not None or ocr_version is not None:
        overrides = {**_models_of(spec, lang, ocr_version), **overrides}
    overrides = {**profile_settings(spec, profile), **overrides}
    return _opened(spec, options, overrides, tuple(code_of(name) for name in lang.split(",")) if lang else ())


def _opened(
    spec: PipelineConfig, options: list[RuntimeOptions], overrides: dict[str, Any], tags: tuple[str, ...]
) -> Any:
    """The pipeline of a configuration, on one device or several; tags: the languages that the user named."""
    row = PIPELINES[spec.pipeline_name]
    warn_ignored(*(name for name in IGNORED if overrides.get(name)))
    given = {name: value for name, value in overrides.items() if name not in IGNORED}
    spec, rest = override_models(spec, given)
    defaults = row.options().merged(rest)
    models = [Models(spec.modules(), option) for option in options]
    named = {"languages": tags} if tags else {}
    if len(models) == 1:
        return row.pipeline(spec, models[0], defaults, **named)
    if row.spread is None:
        raise SpecError(f"{spec.pipeline_name} runs on one device, not on {len(models)}")
    return row.spread(spec, models, defaults, **named)


def _models_of(spec: PipelineConfig, lang: str | None, version: str | None) -> dict[str, str]:
    """The overrides that a language and a version ask for."""
    if "TextRecognition" not in spec.modules():
        raise SpecError(f"{spec.pipeline_name} reads no text; lang and ocr_version choose who reads")
    detector, recogniser = models_for(lang, version)
    chosen = {"text_recognition_model_name": recogniser}
    if version is not None:
        chosen["text_detection_model_name"] = detector
    own = spec.modules()["TextRecognition"].model_name
    if version is None and lang is not None and own in list_specs():
        known = load_spec(own).languages
        if all(reads(known, name) for name in lang.split(",")):
            recogniser, chosen = own, {}
    log.info("%s is read by %s", ", ".join(filter(None, (lang, version))), recogniser)
    return chosen


def warn_ignored(*names: str) -> None:
    """Say once per option that it is taken and has no effect."""
    for name in names:
        _warn_once(name)


@functools.cache
def _warn_once(name: str) -> None:
    log.warning("%s steers Paddle's own engines and has no effect here", name)
