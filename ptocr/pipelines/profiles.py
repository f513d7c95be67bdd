"""Profiles: how much accuracy is given for speed, as settings that `create_pipeline` could be told one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ptocr.errors import SpecError
from ptocr.pipelines.config import PipelineConfig, PipelineSpec

Profile = Literal["best", "balanced", "fast"]

# docs/benchmarks.md has speed and accuracy of each.
PROFILES: dict[str, Mapping[str, Any]] = {
    "best": {
        "text_detection_model_name": "PP-OCRv6_medium_det",
        "text_recognition_model_name": "PP-OCRv6_medium_rec",
        "text_rec_second_reading": True,
    },
    "balanced": {},
    "fast": {
        "text_detection_model_name": "PP-OCRv6_tiny_det",
        "text_recognition_draft_model_name": "PP-OCRv6_tiny_rec",
        "text_det_max_side_limit": 960,
        "text_det_tile": 0,
    },
}


def profile_settings(spec: PipelineConfig, profile: str | None) -> Mapping[str, Any]:
    """The settings of a profile, or of the one that a pipeline's YAML names.

    Raises:
        SpecError: unknown profile, or a pipeline that has none.
    """
    if not isinstance(spec, PipelineSpec):
        if profile is None:
            return {}
        raise SpecError(f"{spec.pipeline_name} has no profiles; OCR and structure have")
    name = profile or spec.profile
    if name not in PROFILES:
        raise SpecError(f"unknown profile {name!r}; known: {', '.join(PROFILES)}")
    return PROFILES[name]
