"""Pipelines: a few predictors and a generator of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from ptocr.pipelines.options import DocOptions, OCROptions
from ptocr.pipelines.single import create_model
from ptocr.pipelines.spread import SpreadPipeline, device_list
from ptocr.runtime.runtime import RuntimeOptions

__all__ = ["DocOptions", "DocPreprocessorPipeline", "OCROptions", "OCRPipeline", "create_model", "create_pipeline"]


def create_pipeline(
    pipeline: str | Path | None = "OCR",
    config: dict[str, Any] | str | Path | None = None,
    *,
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
    """A pipeline by name ("OCR", "doc_preprocessor"), by the path of its YAML, or by `config` (path or containers).

    device: as in `RuntimeOptions`; several ("gpu:0,1", "cpu,cpu") share the pages of a call between them. overrides:
    `text_detection_model_name`, `text_detection_model_dir` and the like for the other modules
    (`text_recognition_...`, `textline_orientation_...`, `doc_orientation_classify_...`, `doc_unwarping_...`), and every
    option of `predict` as a default. Models are loaded when first used. engine_config, pp_option, use_hpip, hpi_config:
    taken so that calls written for PaddleX run; they steer Paddle's own engines and mean nothing here.

    Returns an `OCRPipeline` or a `DocPreprocessorPipeline`.

    Raises:
        SpecError: unknown pipeline, key or option. DeviceError: unknown or absent device, engine or dtype.
    """
    spec = load_pipeline((pipeline or "OCR") if config is None else config)
    devices = device_list(device or "auto")
    options = [RuntimeOptions(d, dtype, compile, engine or "torch", threads) for d in devices]  # type: ignore[arg-type]
    if isinstance(spec, DocPreprocessor):
        doc, rest = override_models(spec, overrides)
        return DocPreprocessorPipeline(doc, Models(doc_modules(doc), options[0]), DocOptions().merged(rest))
    if not isinstance(spec, PipelineSpec):
        raise SpecError(f"{pipeline}: neither an OCR nor a document preprocessing pipeline")
    ocr, rest = override_models(spec, overrides)
    defaults = OCROptions().merged(rest)
    models = [Models(ocr_modules(ocr), o) for o in options]
    return OCRPipeline(ocr, models[0], defaults) if len(models) == 1 else SpreadPipeline(ocr, models, defaults)
