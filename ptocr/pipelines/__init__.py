"""Pipelines: a few predictors and a generator of results."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from ptocr.errors import SpecError
from ptocr.pipelines.config import (
    DocPreprocessor,
    PipelineSpec,
    doc_modules,
    load_pipeline,
    ocr_modules,
    override_models,
)
from ptocr.pipelines.doc_preprocessor import DocPreprocessorPipeline
from ptocr.pipelines.modules import Models
from ptocr.pipelines.ocr import OCRPipeline
from ptocr.pipelines.predict_options import DocOptions, OCROptions
from ptocr.pipelines.single import create_model
from ptocr.pipelines.spread import SpreadPipeline
from ptocr.runtime.devices import device_list
from ptocr.runtime.options import RuntimeOptions
from ptocr.spec.languages import code_of, models_for, reads
from ptocr.spec.model import list_specs, load_spec

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ptocr.pipelines.keywords import DocSetup, OCRSetup

__all__ = ["DocOptions", "DocPreprocessorPipeline", "OCROptions", "OCRPipeline", "create_model", "create_pipeline"]


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
    device: str | None = "auto",
    compile: str = "off",
    dtype: str = "float32",
    engine: str | None = "torch",
    threads: int | None = None,
    engine_config: Any = None,
    pp_option: Any = None,
    use_hpip: Any = None,
    hpi_config: Any = None,
    **overrides: Any,
) -> Any:
    """A pipeline by name ("OCR", "doc_preprocessor", in any case), by the path of its YAML, or by `config` (path or
    containers).

    lang: what is to be read, by ISO 639 code or PaddleOCR's name, several with commas between ("ko", "korean",
    "en,fr"): chooses the recogniser and logs which; the pipeline's own stays where it reads the language. ocr_version:
    "PP-OCRv3" ... "PP-OCRv6": detector and recogniser of that version.
    device: as in `RuntimeOptions`; several ("gpu:0,1", "cpu,cpu") share the pages of a call between them. overrides:
    `text_detection_model_name`, `text_detection_model_dir` and the like for the other modules
    (`text_recognition_...`, `textline_orientation_...`, `doc_orientation_classify_...`, `doc_unwarping_...`), and every
    option of `predict` as a default. Models are loaded when first used. engine_config, pp_option, use_hpip, hpi_config:
    taken so that calls written for PaddleX run; they steer Paddle's own engines, mean nothing here, and a warning says
    so.

    Returns an `OCRPipeline` or a `DocPreprocessorPipeline`.

    Raises:
        SpecError: unknown pipeline, key, option or language. DeviceError: unknown or absent device, engine or dtype.
    """
    paddle = {"engine_config": engine_config, "pp_option": pp_option, "use_hpip": use_hpip, "hpi_config": hpi_config}
    warn_ignored(*(name for name, value in paddle.items() if value))
    spec = load_pipeline((pipeline or "OCR") if config is None else config)
    devices = device_list(device or "auto")
    options = [RuntimeOptions(d, dtype, compile, engine or "torch", threads) for d in devices]  # type: ignore[arg-type]
    if isinstance(spec, DocPreprocessor):
        doc, rest = override_models(spec, overrides)
        return DocPreprocessorPipeline(doc, Models(doc_modules(doc), options[0]), DocOptions().merged(rest))
    if not isinstance(spec, PipelineSpec):
        raise SpecError(f"{pipeline}: neither an OCR nor a document preprocessing pipeline")
    if lang is not None or ocr_version is not None:
        overrides = {**_models_of(spec, lang, ocr_version), **overrides}
    ocr, rest = override_models(spec, overrides)
    defaults = OCROptions().merged(rest)
    models = [Models(ocr_modules(ocr), o) for o in options]
    tags = tuple(code_of(name) for name in lang.split(",")) if lang else ()
    if len(models) == 1:
        return OCRPipeline(ocr, models[0], defaults, tags)
    return SpreadPipeline(ocr, models, defaults, tags)


def _models_of(spec: PipelineSpec, lang: str | None, version: str | None) -> dict[str, str]:
    """The overrides that a language and a version ask for."""
    detector, recogniser = models_for(lang, version)
    chosen = {"text_recognition_model_name": recogniser}
    if version is not None:
        chosen["text_detection_model_name"] = detector
    own = spec.SubModules.TextRecognition.model_name
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
