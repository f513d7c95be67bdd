"""Requests and answers of `POST /ocr`, with the names of PaddleX's basic serving."""

from __future__ import annotations

import base64
import binascii
import io
import uuid
from typing import Any, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict

from ptocr.document.results import OCRResult
from ptocr.errors import InputError
from ptocr.inputs.url import is_url

LONGEST = 2000  # pixels of the pictures in an answer


class OCRRequest(BaseModel):
    """file: base64 of a picture or PDF, or an http(s) URL; fileType: 0 PDF, 1 picture (found by content anyway)."""

    model_config = ConfigDict(extra="forbid")

    file: str
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
    logId: str | None = None

    def options(self) -> dict[str, Any]:
        """The options of `predict` that the request gives, under their Python names."""
        other = {"file", "fileType", "visualize", "logId"}
        return {_snake(k): v for k, v in self.model_dump(exclude=other).items() if v is not None}

    def input(self) -> str | bytes:
        """What to read: the URL, or the file's bytes.

        Raises:
            InputError: neither.
        """
        if is_url(self.file):
            return self.file
        try:
            return base64.b64decode(
                self.file.partition(",")[2] if self.file.startswith("data:") else self.file, validate=True
            )
        except binascii.Error as error:
            raise InputError(f"file: neither an http(s) URL nor base64 ({error})") from None


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def answer(results: list[OCRResult], visualize: bool, log_id: str) -> dict[str, Any]:
    """The answer to a request whose pages were read."""
    pages = [{"width": r.page_size[0], "height": r.page_size[1]} for r in results if r.page_size]
    if len(results) == 1 and results[0].pdf is None:
        info: dict[str, Any] = {**pages[0], "type": "image"}
    else:
        info = {"numPages": len(pages), "pages": pages, "type": "pdf" if results and results[0].pdf else "tiff"}
    content = {"ocrResults": [_page(r, visualize) for r in results], "dataInfo": info}
    return {"logId": log_id, "result": content, "errorCode": 0, "errorMsg": "Success"}


def failure(code: int, message: str, log_id: str | None = None) -> dict[str, Any]:
    """The answer to a request that failed."""
    return {"logId": log_id or new_log_id(), "errorCode": code, "errorMsg": message}


def new_log_id() -> str:
    """A name for a request that brings none."""
    return str(uuid.uuid4())


def _page(result: OCRResult, visualize: bool) -> dict[str, Any]:
    page = {"prunedResult": _pruned(result.json["res"]), "ocrImage": None, "docPreprocessingImage": None}
    page["inputImage"] = None
    if visualize and result.image is not None:
        pictures = result.img
        page["ocrImage"] = _jpeg(pictures["ocr_res_img"])
        if "preprocessed_img" in pictures:
            page["docPreprocessingImage"] = _jpeg(pictures["preprocessed_img"])
        source = result.image if result.doc_preprocessor_res is None else result.doc_preprocessor_res.image
        if source is not None:
            page["inputImage"] = _jpeg(Image.fromarray(source[:, :, ::-1]))
    return page


def _pruned(value: Any) -> Any:
    """Without the fields that say where the input lies on the server."""
    if isinstance(value, dict):
        return {k: _pruned(v) for k, v in value.items() if k not in ("input_path", "page_index")}
    return [_pruned(v) for v in value] if isinstance(value, list) else value


def _jpeg(picture: Image.Image) -> str:
    picture = picture.convert("RGB")
    picture.thumbnail((LONGEST, LONGEST))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
