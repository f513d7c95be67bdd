"""Keyword arguments of `create_pipeline` and `predict` as types, so that editors and type checkers know them.

The values are validated by `pipelines.predict_options` and `pipelines.config`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, TypedDict

import numpy as np
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.page import Isolate
from ptocr.spec.settings import MergeMode

Input: TypeAlias = (
    str | PathLike[str] | np.ndarray | bytes | IO[bytes] | Image.Image | Mapping[str, object] | Iterable[object]
)
"""Path, folder, glob, URL, PDF, picture in memory, `{"img": ...}`, or any number of those."""


class ReadingKeywords(TypedDict, total=False):
    """How inputs are read; see `ReadingOptions`."""

    recursive: bool | None
    max_pages: int | None
    page_range: str | tuple[int, ...] | None
    max_pixels: int | None
    pdf_dpi: float | None
    password: str | None
    allow_private: bool | None
    url_timeout: float | None
    url_max_bytes: int | None
    isolate: Isolate | None
    page_timeout: float | None
    page_memory: int | None
    on_error: Callable[[InputError], None] | None


class DocKeywords(ReadingKeywords, total=False):
    """Options of document preprocessing; see `DocOptions`."""

    use_doc_orientation_classify: bool | None
    use_doc_unwarping: bool | None


class SpottingKeywords(ReadingKeywords, total=False):
    """Options of `SpottingPipeline.predict`; see `SpottingOptions`."""

    e2e_resize: Literal["totaltext", "partvgg"] | None
    e2e_limit_side_len: int | None
    e2e_thresh: float | None
    e2e_valid_set: Literal["totaltext", "partvgg"] | None
    e2e_mode: Literal["fast", "slow"] | None


class SealKeywords(DocKeywords, total=False):
    """Options of `SealPipeline.predict`; see `SealOptions`."""

    use_layout_detection: bool | None
    layout_threshold: float | dict[int, float] | None
    layout_nms: bool | None
    layout_unclip_ratio: float | tuple[float, float] | dict[int, float | tuple[float, float]] | None
    layout_merge_bboxes_mode: MergeMode | dict[int, MergeMode] | None
    seal_det_limit_side_len: int | None
    seal_det_limit_type: Literal["min", "max", "resize_long", "resize_short"] | None
    seal_det_thresh: float | None
    seal_det_box_thresh: float | None
    seal_det_unclip_ratio: float | None
    seal_rec_score_thresh: float | None


class OCRKeywords(DocKeywords, total=False):
    """Options of `OCRPipeline.predict`; see `OCROptions`."""

    use_textline_orientation: bool | None
    text_det_limit_side_len: int | None
    text_det_limit_type: Literal["min", "max", "resize_long", "resize_short"] | None
    text_det_max_side_limit: int | None
    text_det_thresh: float | None
    text_det_box_thresh: float | None
    text_det_unclip_ratio: float | None
    text_rec_score_thresh: float | None
    return_word_box: bool | None
    rec_padding: Literal["invariant", "paddle"] | None
    textline_orientation: Literal["evidence", "lines", "paddle"] | None
    textline_orientation_thresh: float | None
    textline_orientation_image_shape: tuple[int, int, int] | None
    text_det_use_dilation: bool | None
    text_det_score_mode: Literal["fast", "slow"] | None
    text_det_box_type: Literal["quad", "poly"] | None
    text_det_max_candidates: int | None
    text_det_max_pixels: int | None
    text_det_tile: int | None
    text_det_second_look: bool | None
    text_rec_image_shape: tuple[int, int, int] | None
    text_rec_allow: str | None
    text_rec_deny: str | None
    text_rec_lexicon: str | None
    text_rec_alternatives: int | None
    text_rec_gap_spaces: bool | None
    text_rec_second_reading: bool | None
    return_char_box: bool | None
    return_confidence: bool | None
    keep_line_images: bool | None
    pdf_text: Literal["auto", "always", "never"] | None


class StructureKeywords(OCRKeywords, total=False):
    """Options of `StructurePipeline.predict`; see `StructureOptions`."""

    use_layout_detection: bool | None
    use_table_recognition: bool | None
    layout_threshold: float | dict[int, float] | None
    layout_nms: bool | None
    layout_unclip_ratio: float | tuple[float, float] | dict[int, float | tuple[float, float]] | None
    layout_merge_bboxes_mode: MergeMode | dict[int, MergeMode] | None
    use_formula_recognition: bool | None
    use_seal_recognition: bool | None
    use_chart_recognition: bool | None
    use_region_detection: bool | None


class RunningKeywords(TypedDict, total=False):
    """What is to be read, and where and how the networks run; see `create_pipeline`."""

    lang: str | None
    ocr_version: str | None
    profile: Literal["best", "balanced", "fast"] | None
    device: str | None
    compile: str
    dtype: str
    engine: str | None
    threads: int | None
    engine_config: Any
    pp_option: Any
    use_hpip: Any
    hpi_config: Any


class DocModelKeywords(TypedDict, total=False):
    """Other models of document preprocessing than the pipeline's."""

    doc_orientation_classify_model_name: str | None
    doc_orientation_classify_model_dir: str | Path | None
    doc_orientation_classify_batch_size: int | None
    doc_unwarping_model_name: str | None
    doc_unwarping_model_dir: str | Path | None
    doc_unwarping_batch_size: int | None


class OCRModelKeywords(DocModelKeywords, total=False):
    """Other models of the OCR pipeline than its own."""

    text_detection_model_name: str | None
    text_detection_model_dir: str | Path | None
    text_detection_batch_size: int | None
    textline_orientation_model_name: str | None
    textline_orientation_model_dir: str | Path | None
    textline_orientation_batch_size: int | None
    text_recognition_model_name: str | None
    text_recognition_model_dir: str | Path | None
    text_recognition_batch_size: int | None
    text_recognition_charset: str | Path | None
    text_recognition_draft_model_name: str | None
    text_recognition_draft_model_dir: str | Path | None


class DocSetup(DocKeywords, DocModelKeywords, RunningKeywords, total=False):
    """Keywords of `create_pipeline("doc_preprocessor")`."""


class OCRSetup(OCRKeywords, OCRModelKeywords, RunningKeywords, total=False):
    """Keywords of `create_pipeline("OCR")`."""
