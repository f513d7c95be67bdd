"""Requests and answers of `POST /layout-parsing`, with the names of PaddleX's serving of PP-StructureV3."""

from __future__ import annotations

import re
from typing import Any, cast

from ptocr.document.results import OCRResult
from ptocr.document.structure_results import LayoutResult, StructureResult
from ptocr.document.tree import MIN_SCORE, Block
from ptocr.document.writers.text import to_markdown
from ptocr.serving.schemas import OCRRequest, Options, Route, data_info, input_picture, jpeg, pruned
from ptocr.spec.settings import Growth, MergeMode, Share

_BEGINS_LOWER = re.compile(r"[a-z]")
_ENDS = re.compile(r"[.!?:;。！？：；…][\"'”’)）」』]*$")


class LayoutOptions(Options):
    """All fields of a request but the file."""

    useLayoutDetection: bool | None = None
    useTableRecognition: bool | None = None
    useFormulaRecognition: bool | None = None
    useSealRecognition: bool | None = None
    useChartRecognition: bool | None = None
    useRegionDetection: bool | None = None
    layoutThreshold: Share | dict[int, Share] | None = None
    layoutNms: bool | None = None
    layoutUnclipRatio: Growth | dict[int, Growth] | None = None
    layoutMergeBboxesMode: MergeMode | dict[int, MergeMode] | None = None


class LayoutRequest(LayoutOptions, OCRRequest):
    """file: base64 of a picture or PDF, or an http(s) URL."""


def layout_pages(results: list[OCRResult], visualize: bool) -> dict[str, Any]:
    """What an answer holds of pages that were read."""
    pages = [_page(cast(StructureResult, result), visualize) for result in results]
    return {"layoutParsingResults": pages, "dataInfo": data_info(results)}


def _page(result: StructureResult, visualize: bool) -> dict[str, Any]:
    read = result.page.above(MIN_SCORE)
    markdown: dict[str, Any] = {"text": to_markdown([read]), "images": {}}
    first, last = (read.blocks[0], read.blocks[-1]) if read.blocks else (None, None)
    markdown |= {"isStart": not _goes_on(first), "isEnd": _is_complete(last)}
    page: dict[str, Any] = {"prunedResult": pruned(result.json["res"]), "markdown": markdown}
    page |= {"outputImages": None, "inputImage": None}
    if visualize and result.image is not None:
        layout = LayoutResult(image=result.image, regions=result.regions)
        pictures = {"layout_det_res": layout.img["res"], **result.img}
        page["outputImages"] = {name: jpeg(picture) for name, picture in pictures.items()}
        page["inputImage"] = input_picture(result)
    return page


def _goes_on(block: Block | None) -> bool:
    """Whether a page begins in the middle of a sentence."""
    return block is not None and bool(block.rows) and bool(_BEGINS_LOWER.match(block.lines[0].text.strip()))


def _is_complete(block: Block | None) -> bool:
    """Whether a page ends with the end of a sentence, or with what is no running text."""
    return block is None or not block.rows or bool(_ENDS.search(block.lines[-1].text.strip()))


LAYOUT_PARSING = Route(LayoutOptions, LayoutRequest, layout_pages)
