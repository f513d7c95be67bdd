"""The seal pipeline, with PaddleX's file and on a drawn seal with the official weights."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ptocr import SpecError, WeightsError, create_pipeline
from ptocr.checkpoint import save_checkpoint
from ptocr.pipelines import modules
from ptocr.pipelines.config import load_pipeline
from ptocr.pipelines.seal_pipeline import SealPipeline
from ptocr.predictors.layout_detection import LayoutDetector
from ptocr.processing.layout import Region
from tests.random_models import random_checkpoint

WORDS = "SEAL OF THE OFFICE"


def module(name: str, **more: Any) -> dict[str, Any]:
    return {"module_name": "x", "model_name": name, "model_dir": None, **more}


# the keys of PaddleX 3.7.2's seal_recognition.yaml
FILE: dict[str, Any] = {
    "pipeline_name": "seal_recognition", "use_doc_preprocessor": True, "use_layout_detection": True,
    "SubModules": {"LayoutDetection": module("RT-DETR-H_layout_3cls")},
    "SubPipelines": {
        "DocPreprocessor": {
            "pipeline_name": "doc_preprocessor", "use_doc_orientation_classify": True, "use_doc_unwarping": True,
            "SubModules": {"DocOrientationClassify": module("PP-LCNet_x1_0_doc_ori"), "DocUnwarping": module("UVDoc")},
        },
        "SealOCR": {
            "pipeline_name": "OCR", "text_type": "seal", "use_doc_preprocessor": False,
            "use_textline_orientation": False,
            "SubModules": {
                "TextDetection": module("PP-OCRv4_server_seal_det", limit_side_len=736, limit_type="min", thresh=0.2,
                                        box_thresh=0.6, unclip_ratio=0.5),
                "TextRecognition": module("PP-OCRv4_server_rec", batch_size=1, score_thresh=0),
            },
        },
    },
}  # fmt: skip


def seal(words: str = WORDS, size: int = 420) -> np.ndarray:
    """Letters around a centre within a ring."""
    page = np.full((size, size, 3), 255, np.uint8)
    middle, red = size // 2, (40, 30, 210)
    cv2.circle(page, (middle, middle), 200, red, 6, cv2.LINE_AA)
    for letter, angle in zip(words, np.radians(np.linspace(-215, 35, len(words))), strict=True):
        tile = np.full((60, 60, 3), 255, np.uint8)
        (width, height), _ = cv2.getTextSize(letter, cv2.FONT_HERSHEY_DUPLEX, 1.3, 3)
        cv2.putText(
            tile, letter, (30 - width // 2, 30 + height // 2), cv2.FONT_HERSHEY_DUPLEX, 1.3, red, 3, cv2.LINE_AA
        )
        turn = cv2.getRotationMatrix2D((30, 30), -np.degrees(angle) - 90, 1)
        tile = cv2.warpAffine(tile, turn, (60, 60), borderValue=(255,) * 3)
        x, y = round(middle + 160 * np.cos(angle)) - 30, round(middle + 160 * np.sin(angle)) - 30
        page[y : y + 60, x : x + 60] = np.minimum(page[y : y + 60, x : x + 60], tile)
    return page


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained layout model that knows seals."""
    path = tmp_path_factory.mktemp("layout") / "PicoDet-S_layout_3cls.pth"
    save_checkpoint(path, random_checkpoint("PicoDet-S_layout_3cls"))
    return str(path)


@pytest.mark.weights("PP-OCRv4_mobile_seal_det", "PP-OCRv6_small_rec")
def test_the_text_around_a_seal(tmp_path: Path) -> None:
    pipeline = create_pipeline("seal_recognition", device="cpu")
    assert isinstance(pipeline, SealPipeline) and "PP-OCRv4_mobile_seal_det" in repr(pipeline)
    result = next(pipeline.predict(seal()))
    assert [*result] == ["input_path", "page_index", "model_settings", "seal_res_list"]
    (read,) = result["seal_res_list"]
    assert read["rec_texts"] == [WORDS] and read["text_type"] == "seal" and read["seal_region_id"] == 1
    assert next(pipeline.predict(seal(), seal_rec_score_thresh=1.0))["seal_res_list"][0]["rec_texts"] == []
    assert json.loads(result.save_to_json(tmp_path).read_text("utf-8"))["seal_res_list"][0]["rec_texts"] == [WORDS]
    assert [path.name.endswith("_seal_res_region1.png") for path in result.save_to_img(tmp_path)] == [True]


@pytest.mark.weights("PP-OCRv4_mobile_seal_det", "PP-OCRv6_small_rec")
def test_seals_that_a_layout_model_finds(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def find(detector: LayoutDetector, image: np.ndarray, options: Any) -> list[Region]:
        asked.append(options)
        boxes = {"table": (0, 0, 90, 90), "seal": (100, 50, 520, 470)}
        return [Region(i, label, 0.9, np.array(box, np.float64)) for i, (label, box) in enumerate(boxes.items())]

    monkeypatch.setattr(LayoutDetector, "__call__", find)
    page = np.full((500, 700, 3), 255, np.uint8)
    page[50:470, 100:520] = seal()
    pipeline = create_pipeline(
        "seal_recognition", device="cpu", use_layout_detection=True, layout_detection_model_dir=layout
    )
    result = next(pipeline.predict(page, layout_threshold={2: 0.4}, layout_nms=True))
    assert asked[0].threshold == {2: 0.4} and asked[0].layout_nms is True
    assert [box["label"] for box in result["layout_det_res"]["boxes"]] == ["table", "seal"]
    assert [read.rec_texts for read in result.seals] == [[WORDS]] and result.seals[0].page_size == (420, 420)
    assert [*result.img] == ["layout_det_res", "seal_res_region1"]


def test_paddlex_s_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken as it is; a model that cannot be had is an error that says which switch goes on without."""
    spec = load_pipeline(copy.deepcopy(FILE))
    assert {"LayoutDetection", "TextDetection", "TextRecognition", "DocUnwarping"} <= set(spec.used())

    def absent(*_: object) -> None:
        raise WeightsError("no weights")

    monkeypatch.setattr(modules, "make_runtime", absent)
    pipeline = create_pipeline(config=copy.deepcopy(FILE), device="cpu")
    with pytest.raises(WeightsError, match="use_doc_orientation_classify=False"):
        next(pipeline.predict(seal()))
    without = {"use_doc_orientation_classify": False, "use_doc_unwarping": False}
    with pytest.raises(WeightsError, match="use_layout_detection=False"):
        next(pipeline.predict(seal(), **without))
    with pytest.raises(WeightsError, match=r"no weights$"):
        next(pipeline.predict(seal(), use_layout_detection=False, **without))


@pytest.mark.weights("picodet_lcnet_x1_0_fgd_layout_cdla")
def test_a_layout_model_without_seals_is_an_error() -> None:
    name = "picodet_lcnet_x1_0_fgd_layout_cdla"
    pipeline = create_pipeline("seal_recognition", device="cpu", layout_detection_model_name=name)
    with pytest.raises(SpecError, match=r"knows no seals.*use_layout_detection=False"):
        next(pipeline.predict(seal(), use_layout_detection=True))
