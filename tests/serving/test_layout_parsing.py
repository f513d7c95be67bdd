"""`POST /layout-parsing` as PaddleX's clients speak it, with the official weights."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
import pytest
from PIL import Image

import ptocr

pytest.importorskip("fastapi", reason="pip install 'ptocr[serve]'")
testclient = pytest.importorskip("fastapi.testclient", reason="pip install httpx")
from ptocr.serving.app import create_app  # noqa: E402

MODELS = ("PP-OCRv6_small_det", "PP-OCRv6_small_rec", "SLANet_plus", "picodet_lcnet_x1_0_fgd_layout_cdla")
TEXTS = (("Name", "Price"), ("Tea", "12"), ("Milk", "7"))


def picture() -> bytes:
    """A line of text above a ruled table of 3 x 2 cells, as PNG."""
    image = np.full((420, 640, 3), 255, np.uint8)
    cv2.putText(image, "the list of today", (60, 70), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (0, 0, 0), 2)
    for y in (130, 200, 270, 340):
        cv2.line(image, (60, y), (560, y), (0, 0, 0), 2)
    for x in (60, 310, 560):
        cv2.line(image, (x, 130), (x, 340), (0, 0, 0), 2)
    for row, cells in enumerate(TEXTS):
        for column, text in enumerate(cells):
            place = (90 + 250 * column, 178 + 70 * row)
            cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.1, (0, 0, 0), 2)
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.mark.weights(*MODELS)
def test_a_page_with_a_table() -> None:
    """The table is found by its lines; the answer has PaddleX's fields; documents come with it."""
    client = testclient.TestClient(create_app(ptocr.create_pipeline("structure", device="cpu")))
    request = {"file": base64.b64encode(picture()).decode(), "layoutThreshold": {"0": 0.5}, "outputFormats": "md",
               "useSealRecognition": False, "prettifyMarkdown": True}  # fmt: skip
    answer = client.post("/layout-parsing", json=request).json()
    assert answer["errorCode"] == 0 and answer["warnings"] == ["prettifyMarkdown: unknown field, ignored"]
    assert answer["result"]["dataInfo"] == {"width": 640, "height": 420, "type": "image"}
    (page,) = answer["result"]["layoutParsingResults"]
    assert list(page) == ["prunedResult", "markdown", "outputImages", "inputImage"]
    assert "input_path" not in page["prunedResult"]
    tables = [block for block in page["prunedResult"]["parsing_res_list"] if block["block_label"] == "table"]
    cells = "".join(f"<tr><td>{a}</td><td>{b}</td></tr>" for a, b in TEXTS)
    assert [block["block_content"] for block in tables] == [f"<table><tbody>{cells}</tbody></table>"]
    rows = "\n".join(f"| {a} | {b} |" for a, b in TEXTS[1:])
    assert f"| Name | Price |\n| --- | --- |\n{rows}" in page["markdown"]["text"]
    assert page["markdown"]["isStart"] is False and page["markdown"]["isEnd"] is True  # begins with a small letter
    for name in ("layout_det_res", "ocr_res_img"):
        Image.open(io.BytesIO(base64.b64decode(page["outputImages"][name]))).verify()
    assert base64.b64decode(answer["result"]["documents"]["md"]).decode() == page["markdown"]["text"]
    schema = client.get("/openapi.json").json()
    assert {"/ocr", "/layout-parsing"} <= set(schema["paths"])
    assert "layoutNms" in schema["components"]["schemas"]["LayoutRequest"]["properties"]
    plain = client.post("/layout-parsing", json={**request, "visualize": False, "useTableRecognition": False}).json()
    (page,) = plain["result"]["layoutParsingResults"]
    assert page["outputImages"] is None and page["prunedResult"]["table_res_list"] == []
    refused = client.post("/layout-parsing", json={**request, "useFormulaRecognition": True})
    assert refused.status_code == 422 and "use_formula_recognition=False" in refused.json()["errorMsg"]
    wrong = client.post("/layout-parsing", json={**request, "layoutMergeBboxesMode": "huge"})
    assert wrong.status_code == 422 and "layoutMergeBboxesMode" in wrong.json()["errorMsg"]


def test_without_layout_there_is_no_such_address() -> None:
    client = testclient.TestClient(create_app(ptocr.create_pipeline("OCR", device="cpu")))
    assert client.post("/layout-parsing", json={"file": ""}).status_code == 404
