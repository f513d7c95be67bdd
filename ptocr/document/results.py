"""Results: PaddleX 3.x's field names, order and types.

Field order follows `paddlex/inference/pipelines/ocr/result.py` and `paddlex/inference/models/*/result.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ptocr.document import draw
from ptocr.document.base_result import Result, need_image, point_array
from ptocr.document.lists import OPTIONAL, ListViews, regions_of
from ptocr.document.tree import MIN_SCORE, Line, Page
from ptocr.inputs.page import Original, PdfPage

if TYPE_CHECKING:
    import pandas
    from typing_extensions import Unpack

    from ptocr.document.lists import Lists


@dataclass(kw_only=True, eq=False)
class DetResult(Result):
    """Text regions of one picture. dt_polys: list of (n, 2) pixel corners, clockwise; dt_scores: one per region."""

    dt_polys: list[np.ndarray] = field(default_factory=list)
    dt_scores: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's TextDetResult."""
        return {
            "input_path": self.input_path,
            "page_index": self.page_index,
            "dt_polys": [point_array(poly) for poly in self.dt_polys],
            "dt_scores": [float(score) for score in self.dt_scores],
        }

    @property
    def img(self) -> dict[str, Image.Image]:
        """`res`: the picture with the regions outlined."""
        return {"res": draw.draw_boxes(need_image(self), self.dt_polys)}


@dataclass(kw_only=True, eq=False)
class RecResult(Result):
    """Text of one line picture. char_boxes: x ranges of the characters in the line, when asked for."""

    rec_text: str = ""
    rec_score: float = 0.0
    char_boxes: list[Any] | None = field(default=None, repr=False)
    alternatives: list[tuple[str, float]] | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's TextRecResult."""
        return {
            "input_path": self.input_path,
            "page_index": self.page_index,
            "rec_text": self.rec_text,
            "rec_score": float(self.rec_score),
        }

    @property
    def img(self) -> dict[str, Image.Image]:
        """`res`: the line with its text below."""
        return {"res": draw.draw_caption(need_image(self), f"{self.rec_text} ({self.rec_score:.4f})")}


@dataclass(kw_only=True, eq=False)
class ClsResult(Result):
    """Class of one picture: ids, scores and names, best first."""

    class_ids: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    label_names: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's TopkResult."""
        return {
            "input_path": self.input_path,
            "page_index": self.page_index,
            "class_ids": [int(i) for i in self.class_ids],
            "scores": [float(score) for score in self.scores],
            "label_names": [str(name) for name in self.label_names],
        }

    @property
    def img(self) -> dict[str, Image.Image]:
        """`res`: the picture with its best label below."""
        labels = self.label_names or [str(i) for i in self.class_ids]
        caption = f"{labels[0]} {self.scores[0]:.2f}" if labels and self.scores else ""
        return {"res": draw.draw_caption(need_image(self), caption)}


@dataclass(kw_only=True, eq=False)
class UnwarpResult(Result):
    """A flattened page. doctr_img: (H, W, 3) uint8 BGR."""

    doctr_img: np.ndarray = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's DocTrResult; its JSON names the picture as '...'."""
        return {"input_path": self.input_path, "page_index": self.page_index, "doctr_img": "..."}

    @property
    def img(self) -> dict[str, Image.Image]:
        """`res`: the flattened page."""
        return {"res": draw.to_picture(self.doctr_img)}


@dataclass(kw_only=True, eq=False)
class SRResult(Result):
    """A line made larger. sr_img: (H, W, 3) uint8 BGR."""

    sr_img: np.ndarray = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {"input_path": self.input_path, "page_index": self.page_index, "sr_img": "..."}

    @property
    def img(self) -> dict[str, Image.Image]:
        """`res`: the larger line."""
        return {"res": draw.to_picture(self.sr_img)}


@dataclass(kw_only=True, eq=False)
class DocPreprocessResult(Result):
    """A page made upright and flat. angle: degrees that were undone, -1 when not asked. Pictures are BGR uint8.

    `image` is the page as read, `rot_img` after turning, `output_img` after unwarping.
    """

    model_settings: dict[str, bool] = field(default_factory=dict)
    angle: int = -1
    rot_img: np.ndarray | None = field(default=None, repr=False)
    output_img: np.ndarray | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's DocPreprocessorResult."""
        return {
            "input_path": self.input_path,
            "page_index": self.page_index,
            "model_settings": dict(self.model_settings),
            "angle": int(self.angle),
        }

    @property
    def img(self) -> dict[str, Image.Image]:
        """`preprocessed_img`: the page as read, turned and flattened, side by side."""
        first = need_image(self)
        turned = first if self.rot_img is None else self.rot_img
        flat = turned if self.output_img is None else self.output_img
        settings = self.model_settings
        captions = (
            "Original Image",
            f"Rotated Image ({settings.get('use_doc_orientation_classify', False)}, {self.angle})",
            f"Unwarping Image ({settings.get('use_doc_unwarping', False)})",
        )
        return {"preprocessed_img": draw.draw_side_by_side([first, turned, flat], captions)}


class OCRResult(ListViews, Result):
    """Everything read on one page: a `Page` (the document tree) under PaddleX's names.

    dt_polys: all detected regions, list of (n, 2) pixel corners in `image`. rec_*: those whose text passed
    `text_rec_score_thresh`, in the detector's order; rec_boxes: (n, 4) upright boxes. text_word, text_word_region:
    words of each line and their (4, 2) regions, only with `return_word_box`. doc_preprocessor_res: set when document
    preprocessing was used; then `image` is its output.
    More than PaddleX: `page` and what is in it (`text`, `lines`, `image`, what the polygons lie on; `page_size`; `pdf`;
    `page_angle`, degrees counter-clockwise by which the page was turned to be read, because its lines said so: the
    polygons still lie on `image`, each from the top left of its text), `polys_original` (rec_polys in the user's own
    picture), `char_boxes`, `char_scores`, `alternatives`, `confidences` and `known_script` per line, `line_images` (the
    crops as they were read), `timings`.
    """

    _more = (
        "image", "timings", "page", "text_word_region", "page_size", "page_angle", "pdf", "polys_original",
        "char_boxes", "char_scores", "alternatives", "confidences", "known_script", "line_images",
    )  # fmt: skip

    def __init__(
        self,
        *,
        page: Page | None = None,
        asked: frozenset[str] = frozenset(),
        input_path: str | None = None,
        page_index: int | None = None,
        image: np.ndarray | None = None,
        timings: dict[str, float] | None = None,
        model_settings: dict[str, bool] | None = None,
        doc_preprocessor_res: DocPreprocessResult | None = None,
        text_det_params: dict[str, Any] | None = None,
        text_type: str = "general",
        text_rec_score_thresh: float = 0.0,
        return_word_box: bool = False,
        page_size: tuple[int, int] | None = None,
        page_angle: int = 0,
        pdf: PdfPage | None = None,
        original: Original | None = None,
        **lists: Unpack[Lists],
    ) -> None:
        """Of a page (`asked`: which of the lists that a call has to ask for it has), or of PaddleX's parallel lists.

        Raises:
            ValueError: lists of the same lines differ in length.
        """
        if page is None:
            page = Page(regions_of(lists), image, input_path, page_index, page_angle, page_size, pdf, original)
            asked = frozenset(name for name in OPTIONAL if lists.get(name) is not None)
        self.page, self.asked, self._unnamed = page, asked, None
        self.timings = timings or {}
        self.model_settings = model_settings or {}
        self.doc_preprocessor_res = doc_preprocessor_res
        self.text_det_params = text_det_params or {}
        self.text_type = text_type
        self.text_rec_score_thresh = text_rec_score_thresh
        self.return_word_box = return_word_box

    def __repr__(self) -> str:
        """Name, number of lines and the first words."""
        kept = [line.text.strip() for line in self.kept if line.text.strip()]
        number = "" if self.page_index is None else f" page {self.page_index + 1}"
        start = (kept[0][:40] + "..." if len(kept[0]) > 40 or len(kept) > 1 else kept[0]) if kept else ""
        count = f"{len(kept)} line{'' if len(kept) == 1 else 's'}"
        return f"<OCRResult {self.input_path or 'from memory'}{number}: {count}{f', {start!r}' if start else ''}>"

    # ---- the page, for people ----

    @property
    def lines(self) -> list[Line]:
        """All lines in reading order, each with `text`, `score`, `poly`, `words` ..."""
        return self.page.lines

    @property
    def text(self) -> str:
        """The text in reading order, a row per line; every line, however unsure (`save("page.txt")` is choosier)."""
        from ptocr.document.writers.text import to_txt

        return to_txt([self.page]).removesuffix("\n")

    def to_markdown(self, min_score: float = MIN_SCORE) -> str:
        """Markdown of the page: headings, paragraphs, tables; without lines that score less than `min_score`."""
        from ptocr.document.writers.text import to_markdown

        return to_markdown([self.page.above(min_score)]).removesuffix("\n")

    def save(self, path: str | PurePath, min_score: float = MIN_SCORE) -> list[Path]:
        """Write the page into one file of the kind that the suffix names; see `ptocr.document.writers.write_results`.

        Raises:
            ValueError: unknown suffix.
        """
        from ptocr.document.writers import write_results

        return write_results([self], Path(path), min_score=min_score)

    def to_pandas(self) -> pandas.DataFrame:
        """A row per line in reading order: block, text, score, left, top, right, bottom, poly.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from None
        rows = [
            (number, line.text, line.score, *line.box, line.poly.tolist())
            for number, block in enumerate(self.page.blocks, 1)
            for line in block.lines
        ]
        return pandas.DataFrame(rows, columns=["block", "text", "score", "left", "top", "right", "bottom", "poly"])

    # ---- what the page knows ----

    input_path: str | None = property(lambda self: self.page.source)  # type: ignore[assignment]
    page_index: int | None = property(lambda self: self.page.index)  # type: ignore[assignment]
    image: np.ndarray | None = property(lambda self: self.page.image)  # type: ignore[assignment]

    @property
    def page_size(self) -> tuple[int, int] | None:
        """(width, height) in pixels."""
        return self.page.size

    @property
    def page_angle(self) -> int:
        """Degrees counter-clockwise by which the page was turned to be read."""
        return self.page.angle

    @property
    def pdf(self) -> PdfPage | None:
        """Where a page of a PDF comes from."""
        return self.page.pdf

    @property
    def polys_points(self) -> list[np.ndarray] | None:
        """`polys_original` in points (1/72 inch) from the top left of the PDF page; None for pictures."""
        if self.pdf is None or self.polys_original is None:
            return None
        return [np.asarray(poly, np.float64) / self.pdf.scale for poly in self.polys_original]

    def to_dict(self) -> dict[str, Any]:
        """Fields of PaddleX's OCRResult, in the order of its JSON."""
        data: dict[str, Any] = {
            "input_path": self.input_path,
            "page_index": self.page_index,
            "model_settings": dict(self.model_settings),
        }
        if self.doc_preprocessor_res is not None:
            data["doc_preprocessor_res"] = self.doc_preprocessor_res.to_dict()
        data |= {
            "dt_polys": self.dt_polys,
            "text_det_params": dict(self.text_det_params),
            "text_type": self.text_type,
            "textline_orientation_angles": [int(angle) for angle in self.textline_orientation_angles],
            "text_rec_score_thresh": self.text_rec_score_thresh,
            "return_word_box": self.return_word_box,
            "rec_texts": self.rec_texts,
            "rec_scores": [float(score) for score in self.rec_scores],
            "rec_polys": self.rec_polys,
            "rec_boxes": self.rec_boxes,
        }
        if self.text_word is not None:
            data |= {"text_word_boxes": self.text_word_boxes, "text_word": self.text_word}
        more = ("char_boxes", "char_scores", "alternatives", "confidences", "known_script")  # not in PaddleX
        asked = {name: getattr(self, name) for name in more}
        return data | {name: value for name, value in asked.items() if value is not None}

    @property
    def img(self) -> dict[str, Image.Image]:
        """`ocr_res_img`: the page with its regions beside the texts; `preprocessed_img` with document preprocessing."""
        regions, texts = self.rec_polys, self.rec_texts
        if self.text_word is not None and self.text_word_region is not None:
            regions = [np.asarray(region) for line in self.text_word_region for region in line]
            texts = [word for line in self.text_word for word in line]
        pictures = {"ocr_res_img": draw.draw_ocr(need_image(self), regions, texts)}
        if self.doc_preprocessor_res is not None:
            pictures |= self.doc_preprocessor_res.img
        return pictures
