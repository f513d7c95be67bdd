"""Pipelines: a few predictors and a generator of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptocr.errors import SpecError
from ptocr.pipelines.config import OCROptions, PipelineSpec, load_pipeline, override_models
from ptocr.pipelines.models import Models
from ptocr.pipelines.ocr import OCRPipeline
from ptocr.runtime import RuntimeOptions

__all__ = ["OCROptions", "OCRPipeline", "create_pipeline"]


def create_pipeline(
    pipeline: str | Path = "OCR",
    config: dict[str, Any] | str | Path | None = None,
    *,
    device: str = "auto",
    compile: str = "off",
    dtype: str = "float32",
    engine: str = "torch",
    threads: int | None = None,
    **overrides: Any,
) -> OCRPipeline:
    """A pipeline by name ("OCR"), by the path of its YAML, or by `config` (path or plain containers).

    overrides: `text_detection_model_name`, `text_detection_model_dir` and the like for the other modules
    (`text_recognition_...`, `textline_orientation_...`, `doc_orientation_classify_...`, `doc_unwarping_...`), and every
    option of `predict` as a default. Models are loaded when first used.

    Raises:
        SpecError: unknown pipeline, key or option. DeviceError: unknown or absent device, engine or dtype.
    """
    spec = load_pipeline(pipeline if config is None else config)
    if not isinstance(spec, PipelineSpec):
        raise SpecError(f"{pipeline}: not an OCR pipeline")
    spec, rest = override_models(spec, overrides)
    options = RuntimeOptions(device, dtype, compile, engine, threads)  # type: ignore[arg-type]
    return OCRPipeline(spec, Models(spec, options), OCROptions().merged(rest))
