"""Requests and answers of `POST /ocr`, with the names of PaddleX's basic serving in both of its revisions."""

from __future__ import annotations

import base64
import binascii
import io
import re
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote_to_bytes

from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ptocr.document.results import OCRResult
from ptocr.document.writers import write_results
from ptocr.errors import InputError
from ptocr.inputs.url import is_url

LONGEST = 2000  # pixels of the pictures in an answer
# what `outputFormats` may name
Document = Literal["txt", "md", "html", "docx", "xlsx", "csv", "tex", "tsv", "hocr", "alto.xml", "json", "pdf", "png"]
_CONTROL = r"^[^\x00-\x1f\x7f\u0085\u2028\u2029]*$"  # what may not stand in a line of a log
_NO_OPTIONS = ("file", "fileType", "visualize", "logId", "inferenceParams", "outputFormats")
_BASE64 = str.maketrans("-_", "+/")  # the alphabet for addresses -> the usual one


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class InferenceParams(BaseModel):
    """The older revision's parameters. maxLongSide: pages are searched with their longer side shrunk to this."""

    model_config = ConfigDict(extra="allow")

    maxLongSide: int | None = Field(default=None, gt=0)


class Options(BaseModel):
    """All fields of a request but the file. Unknown ones are kept apart, for the warning."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    fileType: Literal[0, 1] | None = None
    useDocOrientationClassify: bool | None = None
    useDocUnwarping: bool | None = None
    useTextlineOrientation: bool | None = None
    textDetLimitSideLen: int | None = None
    textDetLimitType: str | None = None
    textDetThresh: float | None = None
    textDetBoxThresh: float | None = None
    textDetUnclipRatio: float | None = None
    textRecScoreThresh: float | None = None
    returnWordBox: bool | None = None
    visualize: bool | None = None
    logId: str | None = Field(default=None, max_length=256, pattern=_CONTROL)
    inferenceParams: InferenceParams | None = None
    outputFormats: Annotated[list[Document] | None, BeforeValidator(_split)] = None

    def options(self) -> dict[str, Any]:
        """The options of `predict` that the request gives, under their Python names."""
        other = {
            "file",
            "fileType",
            "visualize",
            "logId",
            "inferenceParams",
            "outputFormats",
            *(self.model_extra or {}),
        }
        given = {_snake(k): v for k, v in self.model_dump(exclude=other).items() if v is not None}
        longest = self.inferenceParams.maxLongSide if self.inferenceParams else None
        old = {} if longest is None else {"text_det_limit_side_len": longest, "text_det_limit_type": "max"}
        if self.outputFormats:  # documents say where words are
            old["return_word_box"] = True
        return {**old, **given}

    def warnings(self) -> list[str]:
        """A line for each field that nobody knows."""
        inner = (self.inferenceParams.model_extra or {}) if self.inferenceParams else {}
        names = [*(self.model_extra or {}), *(f"inferenceParams.{name}" for name in inner)]
        return [f"{_shown(name)}: unknown field, ignored" for name in names]


class OCRRequest(Options):
    """file: base64 of a picture or PDF, or an http(s) URL; fileType: 0 PDF, 1 picture (found by content anyway).
    outputFormats: documents to make of the pages, "md,pdf" or a list."""

    file: str

    def input(self) -> str | bytes:
        """What to read: the URL, or the file's bytes.

        Raises:
            InputError: neither.
        """
        return self.file if is_url(self.file) else from_base64(self.file)


def from_base64(text: str) -> bytes:
    """Bytes of base64 in either alphabet, wrapped or not, padded or not, or of a data URL.

    Raises:
        InputError: something else.
    """
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.lower().endswith(";base64"):
            return unquote_to_bytes(text)
    text = re.sub(r"\s+", "", text).translate(_BASE64).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"file: neither an http(s) URL nor base64 ({error})") from None


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= 64 else repr(name[:64])


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


@dataclass(frozen=True)
class Route:
    """How requests to an address are taken apart and answered. options: all fields but the file; request: all fields;
    content: pages, and whether with pictures -> what the answer holds of them."""

    options: type[Options]
    request: type[OCRRequest]
    content: Callable[[list[OCRResult], bool], dict[str, Any]]


def answer(content: dict[str, Any], log_id: str) -> dict[str, Any]:
    """The answer to a request whose pages were read."""
    return {"logId": log_id, "result": content, "errorCode": 0, "errorMsg": "Success"}


def data_info(results: list[OCRResult]) -> dict[str, Any]:
    """Sizes of pages."""
    pages = [{"width": r.page_size[0], "height": r.page_size[1]} for r in results if r.page_size]
    if len(results) == 1 and results[0].pdf is None:
        return {**pages[0], "type": "image"}
    return {"numPages": len(pages), "pages": pages, "type": "pdf" if results and results[0].pdf else "tiff"}


def ocr_pages(results: list[OCRResult], visualize: bool) -> dict[str, Any]:
    """What an answer holds of pages that were read."""
    return {"ocrResults": [_page(r, visualize) for r in results], "dataInfo": data_info(results)}


OCR = Route(Options, OCRRequest, ocr_pages)


def failure(code: int, message: str, log_id: str | None = None) -> dict[str, Any]:
    """The answer to a request that failed."""
    return {"logId": log_id or new_log_id(), "errorCode": code, "errorMsg": message}


def new_log_id() -> str:
    """A name for a request that brings none."""
    return str(uuid.uuid4())


def documents(results: list[OCRResult], formats: list[Document]) -> dict[str, str]:
    """The pages as files, base64 by format; of pictures the first page."""
    for result in results:  # nothing of them may say where the input lies
        result.page.source = None
    with tempfile.TemporaryDirectory(prefix="ptocr-") as folder:
        made = {kind: write_results(results, Path(folder) / f"page.{kind}")[0] for kind in formats}
        return {kind: base64.b64encode(path.read_bytes()).decode("ascii") for kind, path in made.items()}


def _page(result: OCRResult, visualize: bool) -> dict[str, Any]:
    """A page under the names of both revisions: `texts` and `image` are those of the older one."""
    rows = zip(result.rec_polys, result.rec_texts, result.rec_scores, strict=True)
    texts = [{"poly": poly.tolist(), "text": text, "score": float(score)} for poly, text, score in rows]
    page: dict[str, Any] = {
        "prunedResult": pruned(result.json["res"]),
        "ocrImage": None,
        "docPreprocessingImage": None,
    }
    page |= {"inputImage": None, "texts": texts, "image": None}
    if visualize and result.image is not None:
        pictures = result.img
        page["ocrImage"] = page["image"] = jpeg(pictures["ocr_res_img"])
        if "preprocessed_img" in pictures:
            page["docPreprocessingImage"] = jpeg(pictures["preprocessed_img"])
        page["inputImage"] = input_picture(result)
    return page


def input_picture(result: OCRResult) -> str | None:
    """The picture that came in."""
    source = result.image if result.doc_preprocessor_res is None else result.doc_preprocessor_res.image
    return None if source is None else jpeg(Image.fromarray(source[:, :, ::-1]))


def pruned(value: Any) -> Any:
    """Without the fields that say where the input lies on the server."""
    if isinstance(value, dict):
        return {k: pruned(v) for k, v in value.items() if k not in ("input_path", "page_index")}
    return [pruned(v) for v in value] if isinstance(value, list) else value


def jpeg(picture: Image.Image) -> str:
    """A picture, not larger than `LONGEST`, in base64."""
    picture = picture.convert("RGB")
    picture.thumbnail((LONGEST, LONGEST))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
