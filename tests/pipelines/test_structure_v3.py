"""PaddleX's PP-StructureV3.yaml, with its own keys, and what is said where models are missing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from ptocr import SpecError, WeightsError, create_pipeline
from ptocr.pipelines import modules
from ptocr.pipelines.config import load_pipeline, override_models


def module(name: str, **more: Any) -> dict[str, Any]:
    return {"module_name": "x", "model_name": name, "model_dir": None, **more}


LINES = {
    "TextDetection": module("PP-OCRv5_server_det", limit_side_len=736, limit_type="min", max_side_limit=4000,
                            thresh=0.3, box_thresh=0.6, unclip_ratio=1.5),
    "TextLineOrientation": module("PP-LCNet_x1_0_textline_ori", batch_size=8),
    "TextRecognition": module("PP-OCRv5_server_rec", batch_size=8, score_thresh=0.0),
}  # fmt: skip
# the keys of PaddleX 3.7.2's file
FILE: dict[str, Any] = {
    "pipeline_name": "PP-StructureV3", "batch_size": 8, "use_doc_preprocessor": False, "use_seal_recognition": False,
    "use_table_recognition": True, "use_formula_recognition": True, "use_chart_recognition": False,
    "use_region_detection": True, "format_block_content": False, "markdown_ignore_labels": ["number", "header"],
    "SubModules": {
        "LayoutDetection": module("PP-DocLayout_plus-L", batch_size=8, threshold={0: 0.3, 2: 0.4}, layout_nms=True,
                                  layout_unclip_ratio=[1.0, 1.0], layout_merge_bboxes_mode={0: "large", 2: "union"}),
        "ChartRecognition": module("PP-Chart2Table", batch_size=1),
        "RegionDetection": module("PP-DocBlockLayout", layout_nms=True, layout_merge_bboxes_mode="small"),
    },
    "SubPipelines": {
        "DocPreprocessor": {
            "pipeline_name": "doc_preprocessor", "batch_size": 8, "use_doc_orientation_classify": True,
            "use_doc_unwarping": True,
            "SubModules": {"DocOrientationClassify": module("PP-LCNet_x1_0_doc_ori", batch_size=8),
                           "DocUnwarping": module("UVDoc")},
        },
        "GeneralOCR": {"pipeline_name": "OCR", "batch_size": 8, "text_type": "general", "use_doc_preprocessor": False,
                       "use_textline_orientation": True, "SubModules": LINES},
        "TableRecognition": {
            "pipeline_name": "table_recognition_v2", "use_layout_detection": False, "use_doc_preprocessor": False,
            "use_ocr_model": False,
            "SubModules": {"TableClassification": module("PP-LCNet_x1_0_table_cls"),
                           "WiredTableStructureRecognition": module("SLANeXt_wired"),
                           "WirelessTableStructureRecognition": module("SLANet_plus"),
                           "WiredTableCellsDetection": module("RT-DETR-L_wired_table_cell_det")},
            "SubPipelines": {"GeneralOCR": {"pipeline_name": "OCR", "SubModules": LINES}},
        },
        "SealRecognition": {"pipeline_name": "seal_recognition"},
        "FormulaRecognition": {"pipeline_name": "formula_recognition"},
    },
}  # fmt: skip
OURS = {
    "layout_detection_model_name": "picodet_lcnet_x1_0_fgd_layout_cdla",
    "text_detection_model_name": "PP-OCRv6_small_det",
    "text_recognition_model_name": "PP-OCRv6_small_rec",
    "use_textline_orientation": False,
}
OFF = {"use_formula_recognition": False, "use_region_detection": False}
PICTURE = np.full((64, 200, 3), 255, np.uint8)


def test_the_file_is_read_as_it_is() -> None:
    spec = load_pipeline(copy.deepcopy(FILE))
    models = {name: module.model_name for name, module in spec.modules().items()}
    assert models == {
        "TextDetection": "PP-OCRv5_server_det", "TextLineOrientation": "PP-LCNet_x1_0_textline_ori",
        "TextRecognition": "PP-OCRv5_server_rec", "LayoutDetection": "PP-DocLayout_plus-L",
        "TableStructureRecognition": "SLANet_plus", "DocOrientationClassify": "PP-LCNet_x1_0_doc_ori",
        "DocUnwarping": "UVDoc",
    }  # fmt: skip
    layout: Any = spec.modules()["LayoutDetection"]
    assert layout.threshold == {0: 0.3, 2: 0.4} and layout.layout_merge_bboxes_mode == {0: "large", 2: "union"}
    assert "DocUnwarping" not in spec.used() and "TextLineOrientation" in spec.used()


def test_settings_by_class_belong_to_the_model_of_the_file() -> None:
    spec, _ = override_models(load_pipeline(copy.deepcopy(FILE)), {"layout_detection_model_name": "another"})
    layout: Any = spec.modules()["LayoutDetection"]
    assert layout.model_name == "another" and layout.threshold is None and layout.layout_nms is True


@pytest.mark.parametrize("switch", ["use_formula_recognition", "use_region_detection", "use_seal_recognition"])
def test_what_has_no_models_is_an_error_that_names_the_switch(switch: str) -> None:
    pipeline = create_pipeline(config=copy.deepcopy(FILE), **OURS, **OFF)
    with pytest.raises(SpecError, match=f"go on without: {switch}=False"):
        next(pipeline.predict(PICTURE, **{switch: True}))
    with pytest.raises(SpecError, match=f"go on without: {switch}=False"):
        pipeline.warm_up(**{switch: True})
    with pytest.raises(SpecError, match="use_formula_recognition=False"):  # as the file has it
        next(create_pipeline(config=copy.deepcopy(FILE), **OURS).predict(PICTURE, use_region_detection=False))


def test_a_layout_model_that_is_not_there_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any) -> None:
        raise WeightsError("no weights for PP-DocLayout_plus-L")

    monkeypatch.setattr(modules, "make_runtime", absent)
    others = {name: value for name, value in OURS.items() if not name.startswith("layout")}
    pipeline = create_pipeline(config=copy.deepcopy(FILE), **others, **OFF)
    with pytest.raises(WeightsError, match=r"PP-DocLayout_plus-L[\s\S]*layout_detection_model_name='picodet"):
        pipeline.models.get("LayoutDetection", object)


def test_keys_that_paddlex_does_not_have_are_errors() -> None:
    for path, wrong in ((("SubModules",), "LayoutDetections"), ((), "use_tables"), (("SubPipelines",), "OCR")):
        data = copy.deepcopy(FILE)
        node: Any = data
        for part in path:
            node = node[part]
        node[wrong] = {}
        with pytest.raises(SpecError, match=f"unknown key '{wrong}'"):
            load_pipeline(data)
    data = copy.deepcopy(FILE)
    del data["SubPipelines"]["GeneralOCR"]
    with pytest.raises(SpecError, match="GeneralOCR"):
        load_pipeline(data)


@pytest.mark.weights("PP-OCRv6_small_det", "PP-OCRv6_small_rec", "SLANet_plus", "picodet_lcnet_x1_0_fgd_layout_cdla")
def test_a_page_is_read_with_the_file_and_with_ours() -> None:
    for pipeline in (create_pipeline(config=copy.deepcopy(FILE), **OURS, **OFF), create_pipeline("PP-StructureV3")):
        result = next(pipeline.predict(PICTURE, layout_threshold={0: 0.4}, layout_merge_bboxes_mode="large"))
        assert result["parsing_res_list"] == [] and result["layout_det_res"]["boxes"] == []


def test_what_has_no_effect_is_said(caplog: pytest.LogCaptureFixture) -> None:
    load_pipeline(copy.deepcopy(FILE))
    assert "no effect" not in caplog.text
    load_pipeline({**copy.deepcopy(FILE), "format_block_content": True})
    assert "format_block_content has no effect" in caplog.text
