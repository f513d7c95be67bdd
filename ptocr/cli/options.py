"""Flags of `ptocr ocr` that are options of `predict`: their groups, kinds of values and lines of help.

A table of its own, so that `--help` need not import the pipelines; a test holds it against `OCROptions`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ptocr.cli.arguments import Number, OneOf, flag, shape


class Option(NamedTuple):
    """One option of `predict`. default: in words; most keep what the pipeline says."""

    name: str
    kind: Any
    help: str
    default: str = "the pipeline's"


_SHARE = Number(float, 0, 1)
_COUNT = Number(int, 1)
_COUNT_OR_0 = Number(int, 0)

COMMON = (
    Option("page_range", str, "pages of each PDF or multi-frame picture, such as 1-3,7,10-", "all"),
    Option("recursive", flag, "enter the folders of a folder", "false"),
)
GROUPS: dict[str, tuple[Option, ...]] = {
    "reading files": (
        Option("max_pages", _COUNT_OR_0, "read at most so many pages of each file, 0 = all", "0"),
        Option("max_pixels", _COUNT, "refuse larger pictures, render larger PDF pages coarser", "178956970"),
        Option("pdf_dpi", Number(float, 1), "resolution at which PDF pages are rendered", "144"),
        Option(
            "pdf_text",
            OneOf("auto", "always", "never"),
            "pages of PDFs from their own text: visible text, and pictures by OCR; any text; never",
            "never; auto in ptocr structure",
        ),
        Option("password", str, "password of encrypted PDFs", "none"),
        Option("allow_private", flag, "let addresses lead to private and loopback hosts", "false"),
        Option("url_timeout", Number(float, 0.001), "seconds that one download may take", "30"),
        Option("url_max_bytes", _COUNT, "bytes that one download may have", "67108864"),
        Option(
            "isolate",
            OneOf("auto", "always", "never"),
            "decode in processes of their own: auto PDFs and what addresses lead to, always every file, never none",
            "auto",
        ),
        Option("page_timeout", Number(float, 0.1), "seconds that decoding a page may take, where isolated", "60"),
        Option("page_memory", _COUNT, "bytes that decoding a page may take", "1610612736"),
    ),
    "which way up (PaddleOCR 3.x names, as in the groups below)": (
        Option("use_doc_orientation_classify", flag, "turn pages by a classifier"),
        Option("use_doc_unwarping", flag, "straighten photographed pages"),
        Option("use_textline_orientation", flag, "turn upside-down lines"),
        Option(
            "textline_orientation",
            OneOf("evidence", "lines", "paddle"),
            "evidence: read doubtful lines both ways and turn pages; lines: turn lines only; paddle: upstream's rule",
            "evidence",
        ),
        Option("textline_orientation_thresh", _SHARE, "with paddle: a line is turned when the classifier is surer"),
        Option("textline_orientation_image_shape", shape, "input of the line classifier", "the model's"),
    ),
    "finding lines": (
        Option("text_det_limit_side_len", _COUNT, "limit of a page's sides in pixels"),
        Option(
            "text_det_limit_type", OneOf("min", "max", "resize_long", "resize_short"), "which side the limit is for"
        ),
        Option("text_det_max_side_limit", Number(int, 32), "longest side at which a page is searched"),
        Option("text_det_thresh", _SHARE, "a pixel is text above this"),
        Option("text_det_box_thresh", _SHARE, "a region is kept above this"),
        Option("text_det_unclip_ratio", Number(float, 0.01), "how far regions grow around their core"),
        Option("text_det_use_dilation", flag, "join neighbouring text pixels", "the model's"),
        Option(
            "text_det_score_mode",
            OneOf("fast", "slow"),
            "score of a region by its box or by its outline",
            "the model's",
        ),
        Option("text_det_box_type", OneOf("quad", "poly"), "regions as quadrilaterals or as outlines", "the model's"),
        Option("text_det_max_candidates", _COUNT, "look at so many regions of a page", "the model's"),
        Option(
            "text_det_max_pixels",
            _COUNT_OR_0,
            "largest area a page is searched at, 0 = any; bounds memory",
            "the model's",
        ),
        Option(
            "text_det_second_look",
            flag,
            "keep regions that score less if they read well",
            "true, but not with rec_padding paddle or text_det_box_thresh",
        ),
        Option(
            "text_det_tile",
            _COUNT_OR_0,
            "search longer pages in tiles of so many pixels, 0 = never",
            "pages that the limit would shrink to less than half",
        ),
    ),
    "reading lines": (
        Option("text_rec_score_thresh", Number(float, 0, 1), "leave lines that score less out of every output", "0"),
        Option("return_word_box", flag, "places of words, in JSON", "true for outputs that say where words are"),
        Option("return_char_box", flag, "places and scores of characters, in JSON", "false"),
        Option("return_confidence", flag, "calibrated confidence, and whether the script is known, in JSON", "false"),
        Option("text_rec_allow", str, "characters that alone may be read", "the model's"),
        Option("text_rec_deny", str, "characters that may not be read", "none"),
        Option(
            "text_rec_lexicon", str, "regular expression; the best reading of a line that matches it is taken", "none"
        ),
        Option("text_rec_alternatives", Number(int, 0, 50), "so many readings of each line, in JSON", "0"),
        Option(
            "text_rec_gap_spaces", flag, "spaces where the picture has gaps", "true, but not with rec_padding paddle"
        ),
        Option(
            "text_rec_second_reading",
            flag,
            "read lines of middling score again, blurred and bolder too",
            "false, true with profile best",
        ),
        Option("text_rec_image_shape", shape, "input of the recogniser", "the model's"),
        Option(
            "rec_padding",
            OneOf("invariant", "paddle"),
            "invariant: a line reads the same whatever shares its batch; paddle: PaddleOCR 2.x's batches",
            "invariant",
        ),
    ),
}
OPTIONS = (*COMMON, *(option for group in GROUPS.values() for option in group))
# Options of `ptocr structure` alone.
STRUCTURE = (
    Option("use_layout_detection", flag, "find the kinds of a page's regions; false: the picture is one table"),
    Option("use_table_recognition", flag, "tables as tables; false: as text"),
    Option("layout_threshold", _SHARE, "regions are kept above this"),
    Option("layout_nms", flag, "drop regions that overlap likelier ones of any class"),
    Option("layout_unclip_ratio", Number(float, 0.01), "how far regions grow, 1 = not at all"),
    Option("layout_merge_bboxes_mode", OneOf("union", "large", "small"), "of nested regions: both, outer, inner"),
)
