"""The options of a `predict` call. Override order: model spec < pipeline YAML < `create_pipeline` < `predict`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ptocr.errors import InputError, SpecError
from ptocr.inputs.page import Isolate, PdfText, parse_page_range
from ptocr.spec.settings import Growth, LimitType, MergeMode, PixelLimit, Positive, Ratio, Shape, Share, SideLimit
from ptocr.spec.yaml import explain


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    def merged(self, overrides: dict[str, Any]) -> Any:
        """These options with those of one call on top; None leaves what is there.

        Raises:
            SpecError: unknown name or impossible value; names it and what is allowed.
        """
        if not overrides:
            return self
        current = {key: getattr(self, key) for key in type(self).model_fields}
        unknown = sorted(set(overrides) - set(current))
        if unknown:
            near = difflib.get_close_matches(unknown[0], current, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise SpecError(f"unknown option {unknown[0]!r}; {hint}allowed: {', '.join(sorted(current))}")
        given = {key: value for key, value in overrides.items() if value is not None}
        try:
            return type(self).model_validate({**current, **given})
        except ValidationError as error:
            raise SpecError(f"options: {explain(error, type(self))}") from None


class ReadingOptions(_Options):
    """How inputs are read; see `ptocr.inputs.read.iter_pages`. None keeps its default."""

    recursive: bool = False
    max_pages: int = Field(default=0, ge=0)
    page_range: str | tuple[int, ...] | None = None
    max_pixels: int | None = Field(default=None, ge=1)
    pdf_dpi: float | None = Field(default=None, gt=0)
    password: str | None = None
    allow_private: bool = False
    url_timeout: float | None = Field(default=None, gt=0)
    url_max_bytes: int | None = Field(default=None, ge=1)
    isolate: Isolate | None = None
    page_timeout: float | None = Field(default=None, gt=0)
    page_memory: int | None = Field(default=None, ge=1)
    on_error: Callable[[InputError], None] | None = None

    @field_validator("page_range")
    @classmethod
    def _pages(cls, value: str | tuple[int, ...] | None) -> str | tuple[int, ...] | None:
        if value is not None:
            parse_page_range(value)
        return value

    def reading(self) -> dict[str, Any]:
        """Arguments of `iter_pages`."""
        values = {key: getattr(self, key) for key in ReadingOptions.model_fields}
        return {key: value for key, value in values.items() if value is not None}


class DocOptions(ReadingOptions):
    """Options of the document preprocessing pipeline; None keeps the pipeline's."""

    use_doc_orientation_classify: bool | None = None
    use_doc_unwarping: bool | None = None


class SpottingOptions(ReadingOptions):
    """Options of the end-to-end pipeline; None keeps the model's.

    e2e_resize: what is given the length `e2e_limit_side_len`: a height that would exceed it ("totaltext"), the longer
    side ("partvgg"); e2e_thresh: least score of a pixel of a centre line; e2e_valid_set: outlines ("totaltext") or four
    corners ("partvgg"); e2e_mode: outlines of six pairs of points ("fast") or of one for each character ("slow").
    """

    e2e_resize: Literal["totaltext", "partvgg"] | None = None
    e2e_limit_side_len: Positive | None = None
    e2e_thresh: Share | None = None
    e2e_valid_set: Literal["totaltext", "partvgg"] | None = None
    e2e_mode: Literal["fast", "slow"] | None = None


class SealOptions(DocOptions):
    """Options of the seal pipeline; None keeps the pipeline's. Names are PaddleX's.

    use_layout_detection: False takes each picture as one seal. layout_*: as in `StructureOptions`; seal_det_*,
    seal_rec_score_thresh: what `text_det_*` and `text_rec_score_thresh` of `OCROptions` are for the text of seals.
    """

    use_layout_detection: bool | None = None
    layout_threshold: Share | dict[int, Share] | None = None
    layout_nms: bool | None = None
    layout_unclip_ratio: Growth | dict[int, Growth] | None = None
    layout_merge_bboxes_mode: MergeMode | dict[int, MergeMode] | None = None
    seal_det_limit_side_len: Positive | None = None
    seal_det_limit_type: LimitType | None = None
    seal_det_thresh: Share | None = None
    seal_det_box_thresh: Share | None = None
    seal_det_unclip_ratio: Ratio | None = None
    seal_rec_score_thresh: float | None = None


class OCROptions(DocOptions):
    """Options of the OCR pipeline; None keeps the pipeline's.

    Names are PaddleOCR 3.x's; below the line what ptocr adds:

    rec_padding: "invariant": a line reads the same whatever shares its batch; "paddle": PaddleOCR 2.x's batches.
    textline_orientation: how lines get upright where `use_textline_orientation` is on: "evidence": a line that the
        classifier calls upside-down is read both ways, the lines of a page inform each other, and pages that lie on a
        side or on their head are turned; "lines": the same without turning pages; "paddle": the classifier's word.
    text_rec_allow, text_rec_deny: characters that alone may, or may not, be read; text_rec_lexicon: a regular
        expression; of the likely readings of a line the best one that matches as a whole is taken, else the best.
    text_rec_alternatives: so many readings of each line with their probabilities.
    text_rec_gap_spaces: spaces where the picture has gaps between words that the recogniser ran together; not given:
        yes, but not with `rec_padding` "paddle".
    text_rec_second_reading: lines that score 0.8 to 0.98 are read again, from the mean of the probabilities of the
        picture as it is, blurred, and with bolder strokes; on in the profile "best".
    return_char_box: boxes and scores of single characters.
    return_confidence: calibrated probability that each text is right, and whether its script is one that the recogniser
        knows.
    text_det_max_pixels: largest area a page is detected at, which bounds memory; 0 lifts the bound.
    text_det_second_look: regions that score less than `text_det_box_thresh` are kept too if they read well; not given:
        yes, but not with `rec_padding` "paddle" nor where `text_det_box_thresh` is said.
    pdf_text: whether pages of PDFs are read from their own text: "auto" where it is visible and its encoding is whole,
        and pictures beside it by OCR; "always" also an earlier OCR's, and nothing by OCR where there is any; "never".
        Pages that are turned or flattened first are read by OCR.
    text_det_tile: longer pages are detected in overlapping tiles of this many pixels; 0 never; not given: pages that
        `max_side_limit` would shrink to less than half.
    """

    use_textline_orientation: bool | None = None
    text_det_limit_side_len: Positive | None = None
    text_det_limit_type: LimitType | None = None
    text_det_max_side_limit: SideLimit | None = None
    text_det_thresh: Share | None = None
    text_det_box_thresh: Share | None = None
    text_det_unclip_ratio: Ratio | None = None
    text_rec_score_thresh: float | None = None
    return_word_box: bool | None = None
    # ----
    rec_padding: Literal["invariant", "paddle"] = "invariant"
    textline_orientation: Literal["evidence", "lines", "paddle"] = "evidence"
    textline_orientation_thresh: Share | None = None
    textline_orientation_image_shape: Shape | None = None
    text_det_use_dilation: bool | None = None
    text_det_score_mode: Literal["fast", "slow"] | None = None
    text_det_box_type: Literal["quad", "poly"] | None = None
    text_det_max_candidates: Positive | None = None
    text_det_max_pixels: PixelLimit | None = None
    text_det_tile: int | None = Field(default=None, ge=0)
    text_det_second_look: bool | None = None
    text_rec_image_shape: Shape | None = None
    text_rec_allow: str | None = None
    text_rec_deny: str | None = None
    text_rec_lexicon: str | None = None
    text_rec_alternatives: int = Field(default=0, ge=0, le=50)
    text_rec_gap_spaces: bool | None = None
    text_rec_second_reading: bool = False
    return_char_box: bool = False
    return_confidence: bool = False
    keep_line_images: bool = False
    pdf_text: PdfText = "never"

    def reading(self) -> dict[str, Any]:
        """Arguments of `iter_pages`."""
        return {**super().reading(), "pdf_text": self.pdf_text}

    @property
    def second_look(self) -> bool:
        """Whether doubtful regions are read."""
        asked, usual = self.text_det_second_look, self.text_det_box_thresh is None
        return usual and self.rec_padding == "invariant" if asked is None else asked

    @property
    def gap_spaces(self) -> bool:
        """Whether gaps in the picture become spaces."""
        asked = self.text_rec_gap_spaces
        return self.rec_padding == "invariant" if asked is None else asked

    @field_validator("text_rec_lexicon")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value


class StructureOptions(OCROptions):
    """Options of the structure pipeline; None keeps the pipeline's. Names are PaddleX's.

    pdf_text is "auto". use_layout_detection (ptocr's): False takes the whole picture as one table.
    use_table_recognition: False leaves tables as text. layout_threshold, layout_unclip_ratio, layout_merge_bboxes_mode
    may be given for classes by their index; see `LayoutMerging`. The four that follow have no models here: True is an
    error.
    """

    pdf_text: PdfText = "auto"
    use_layout_detection: bool | None = None
    use_table_recognition: bool | None = None
    layout_threshold: Share | dict[int, Share] | None = None
    layout_nms: bool | None = None
    layout_unclip_ratio: Growth | dict[int, Growth] | None = None
    layout_merge_bboxes_mode: MergeMode | dict[int, MergeMode] | None = None
    use_formula_recognition: bool | None = None
    use_seal_recognition: bool | None = None
    use_chart_recognition: bool | None = None
    use_region_detection: bool | None = None
