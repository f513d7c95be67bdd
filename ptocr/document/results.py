"""Results: PaddleX 3.x's field names, order, types and file names, with a plain mapping interface.

Field order and file names follow `paddlex/inference/pipelines/ocr/result.py` and `paddlex/inference/common/result`.
"""

from __future__ import annotations

import itertools
import json
import mimetypes
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image

from ptocr.document import draw
from ptocr.document.values import boxes_of, point_array, stacked, to_plain
from ptocr.files import Claims, write_atomic

_UNNAMED = itertools.count(1)

_CLAIMS = Claims()


@dataclass(kw_only=True, eq=False)
class Result(Mapping[str, Any]):
    """What all results share: mapping access, `json`, `img`, `print` and saving.

    input_path: as the user gave it, None for pictures from memory. page_index: 0-based, None for single pictures.
    image: the BGR picture that was read, held by reference; not part of the output.
    """

    input_path: str | None = None
    page_index: int | None = None
    image: np.ndarray | None = field(default=None, repr=False)
    timings: dict[str, float] = field(default_factory=dict, repr=False)
    _unnamed: str | None = field(default=None, init=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The fields that PaddleX has, in its order, arrays as arrays."""
        raise NotImplementedError

    # ---- mapping ----

    def __getitem__(self, key: str) -> Any:
        data = self.to_dict()
        if key in data:
            return data[key]
        if not key.startswith("_") and key in self.__dataclass_fields__:
            return getattr(self, key)
        raise KeyError(f"{key!r}; this result has {', '.join(data)}")

    def __contains__(self, key: object) -> bool:
        return key in self.to_dict()

    def __iter__(self) -> Iterator[str]:
        return iter(self.to_dict())

    def __len__(self) -> int:
        return len(self.to_dict())

    __eq__, __hash__ = object.__eq__, object.__hash__  # arrays field by field have no single answer

    # ---- output ----

    @property
    def json(self) -> dict[str, dict[str, Any]]:
        """`{"res": {...}}` of plain lists, numbers and strings."""
        return {"res": to_plain(self.to_dict())}

    @property
    def img(self) -> dict[str, Image.Image]:
        """Pictures of the result, drawn now. Needs the picture that was read."""
        raise NotImplementedError

    def print(self, format_json: bool = True, indent: int = 4, ensure_ascii: bool = False) -> None:
        """Write the result to standard output, as JSON or (`format_json=False`) as a dict with shortened arrays."""
        if format_json:
            text = json.dumps(self.json, indent=indent, ensure_ascii=ensure_ascii)
        else:
            with np.printoptions(threshold=1, edgeitems=1):
                text = str({"res": stacked(self.to_dict())})
        sys.stdout.write(text + "\n")

    def save_to_json(self, save_path: str | PurePath, indent: int | None = 4, ensure_ascii: bool = False) -> Path:
        """Write the fields to `save_path` if that ends in .json, else to `save_path/{name}_res.json`; return that."""
        content = json.dumps(self.json["res"], indent=indent, ensure_ascii=ensure_ascii)
        path = Path(save_path)
        if path.suffix.lower() != ".json":
            path = _CLAIMS.claim(path, self._stem(), "_res.json", self._identity())
        write_atomic(path, content.encode("utf-8", errors="surrogatepass" if ensure_ascii else "replace"))
        return path

    def save_to_img(self, save_path: str | PurePath) -> list[Path]:
        """Write the pictures of `img` to `save_path` if that is a picture's name, else to
        `save_path/{name}_{key}{suffix of the input}`; returns the files. With a file name and several pictures the
        first (the result itself) gets that name and the others `{stem}_{key}{suffix}` beside it.
        """
        target, written = Path(save_path), []
        for number, (key, picture) in enumerate(self.img.items()):
            if not _is_picture_name(target):
                path = _CLAIMS.claim(target, self._stem(), f"_{key}{self._picture_suffix()}", self._identity())
            else:
                path = target if number == 0 else target.with_name(f"{target.stem}_{key}{target.suffix}")
            write_atomic(path, draw.encode(picture, path.suffix))
            written.append(path)
        return written

    # ---- file names ----

    def _file_name(self) -> PurePath:
        if self.input_path is None:
            if self._unnamed is None:
                self._unnamed = f"{int(time.time())}_{next(_UNNAMED):04d}"
            return PurePath(self._unnamed)
        path = self.input_path
        if path.lower().startswith(("http://", "https://")):
            path = unquote(urlsplit(path).path).rstrip("/") or "page"
        return PurePath(PurePath(path).name)

    def _stem(self) -> str:
        stem = self._file_name().stem
        return stem if self.page_index is None else f"{stem}_{self.page_index}"

    def _picture_suffix(self) -> str:
        suffix = self._file_name().suffix
        return suffix if _is_picture_name(PurePath("x" + suffix)) else ".png"

    def _identity(self) -> str:
        where = self._stem() if self.input_path is None else str(self.input_path)
        if self.input_path is not None and "://" not in where:
            where = str(Path(where).absolute())
        return f"{where}#{self.page_index}"


def _is_picture_name(path: PurePath) -> bool:
    kind, _ = mimetypes.guess_type(path.name)
    return kind is not None and kind.startswith("image/") and draw.can_encode(path.suffix)


def _need_image(result: Result) -> np.ndarray:
    if result.image is None:
        raise ValueError(f"{type(result).__name__} of {result.input_path}: holds no picture to draw on")
    return result.image


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
        return {"res": draw.draw_boxes(_need_image(self), self.dt_polys)}


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
        return {"res": draw.draw_caption(_need_image(self), f"{self.rec_text} ({self.rec_score:.4f})")}


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
        return {"res": draw.draw_caption(_need_image(self), caption)}


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
        first = _need_image(self)
        turned = first if self.rot_img is None else self.rot_img
        flat = turned if self.output_img is None else self.output_img
        settings = self.model_settings
        captions = (
            "Original Image",
            f"Rotated Image ({settings.get('use_doc_orientation_classify', False)}, {self.angle})",
            f"Unwarping Image ({settings.get('use_doc_unwarping', False)})",
        )
        return {"preprocessed_img": draw.draw_side_by_side([first, turned, flat], captions)}


@dataclass(kw_only=True, eq=False)
class OCRResult(Result):
    """Everything read on one page.

    dt_polys: all detected regions, list of (n, 2) pixel corners in `image`. rec_*: those whose text passed
    `text_rec_score_thresh`, in reading order; rec_boxes: (n, 4) upright boxes, made from `rec_polys` when not given.
    text_word, text_word_region: words of each line and their (4, 2) regions, only with `return_word_box`.
    doc_preprocessor_res: set when document preprocessing was used; then `image` is its output.
    More than PaddleX: `image` (what the polygons lie on), `page_size` (width, height), `polys_original` (rec_polys in
    the user's own picture), `page_angle` (degrees counter-clockwise by which the page was turned to be read, because
    its lines said so; the polygons still lie on `image`, each from the top left of its text), `char_boxes`,
    `char_scores` and `alternatives` per line, `pdf` (its `PdfPage`), `line_images` (the crops as they were read),
    `timings`.
    """

    model_settings: dict[str, bool] = field(default_factory=dict)
    doc_preprocessor_res: DocPreprocessResult | None = None
    dt_polys: list[np.ndarray] = field(default_factory=list)
    text_det_params: dict[str, Any] = field(default_factory=dict)
    text_type: str = "general"
    textline_orientation_angles: list[int] = field(default_factory=list)
    text_rec_score_thresh: float = 0.0
    return_word_box: bool = False
    rec_texts: list[str] = field(default_factory=list)
    rec_scores: list[float] = field(default_factory=list)
    rec_polys: list[np.ndarray] = field(default_factory=list)
    rec_boxes: np.ndarray | None = None
    text_word: list[list[str]] | None = None
    text_word_region: list[list[Any]] | None = None
    page_size: tuple[int, int] | None = None
    polys_original: list[np.ndarray] | None = field(default=None, repr=False)
    page_angle: int = 0
    char_boxes: list[Any] | None = field(default=None, repr=False)
    char_scores: list[list[float]] | None = field(default=None, repr=False)
    alternatives: list[list[tuple[str, float]]] | None = field(default=None, repr=False)
    pdf: Any = field(default=None, repr=False)
    line_images: list[np.ndarray] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Bring points to integers and derive what was not given."""
        self.dt_polys = [point_array(poly) for poly in self.dt_polys]
        self.rec_polys = [point_array(poly) for poly in self.rec_polys]
        if self.rec_boxes is None:
            self.rec_boxes = boxes_of(self.rec_polys)
        if self.page_size is None and self.image is not None:
            self.page_size = (int(self.image.shape[1]), int(self.image.shape[0]))
        counts = {len(self.rec_texts), len(self.rec_scores), len(self.rec_polys), len(self.rec_boxes)}
        if len(counts) > 1:
            raise ValueError(f"rec_texts, rec_scores, rec_polys and rec_boxes differ in length: {sorted(counts)}")

    @property
    def text_word_boxes(self) -> list[np.ndarray] | None:
        """Upright boxes (n, 4) of the words of each line, None unless word boxes were asked for."""
        if self.text_word_region is None:
            return None
        return [boxes_of([np.asarray(region) for region in line]) for line in self.text_word_region]

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
        asked = {name: getattr(self, name) for name in ("char_boxes", "char_scores", "alternatives")}  # not in PaddleX
        return data | {name: value for name, value in asked.items() if value is not None}

    @property
    def img(self) -> dict[str, Image.Image]:
        """`ocr_res_img`: the page with its regions beside the texts; `preprocessed_img` with document preprocessing."""
        regions, texts = self.rec_polys, self.rec_texts
        if self.text_word is not None and self.text_word_region is not None:
            regions = [np.asarray(region) for line in self.text_word_region for region in line]
            texts = [word for line in self.text_word for word in line]
        pictures = {"ocr_res_img": draw.draw_ocr(_need_image(self), regions, texts)}
        if self.doc_preprocessor_res is not None:
            pictures |= self.doc_preprocessor_res.img
        return pictures
