"""`POST /ocr` as PaddleX's clients speak it, on random weights."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import pytest

import ptocr
from ptocr.serving.app import handle
from ptocr.serving.schemas import OCRRequest
from tests.pipelines.conftest import found_lines, offline, page, random_home

__all__ = ["found_lines", "offline", "page", "random_home"]


@pytest.fixture
def pipeline(offline: object, found_lines: object) -> ptocr.pipelines.OCRPipeline:
    return ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu")


@pytest.fixture
def encoded(page: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", page)[1].tobytes()).decode()


def ask(pipeline: Any, **request: Any) -> tuple[int, dict[str, Any]]:
    return handle(pipeline, OCRRequest(**request), visualize=True, max_pages=10, allow_private=False)


def test_a_picture(pipeline: Any, encoded: str, page: np.ndarray) -> None:
    code, body = ask(pipeline, file=encoded, fileType=1, logId="42", returnWordBox=True, textRecScoreThresh=0.0)
    assert code == 200 and {k: v for k, v in body.items() if k != "result"} == {
        "logId": "42", "errorCode": 0, "errorMsg": "Success",
    }  # fmt: skip
    result = body["result"]
    assert result["dataInfo"] == {"width": page.shape[1], "height": page.shape[0], "type": "image"}
    (first,) = result["ocrResults"]
    direct = next(pipeline.predict(page, return_word_box=True)).json["res"]
    assert first["prunedResult"] == {k: v for k, v in direct.items() if k not in ("input_path", "page_index")}
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(first["inputImage"]), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == page.shape and first["ocrImage"] and first["docPreprocessingImage"] is None


def test_pictures_only_when_wanted(pipeline: Any, encoded: str) -> None:
    _, body = ask(pipeline, file="data:image/png;base64," + encoded, visualize=False, useTextlineOrientation=False)
    (first,) = body["result"]["ocrResults"]
    assert first["ocrImage"] is first["inputImage"] is None
    assert first["prunedResult"]["textline_orientation_angles"] == [-1, -1, -1]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"file": "no base64!"}, "neither an http"),
        ({"file": base64.b64encode(b"no picture").decode()}, "bytes"),
        ({"file": "http://127.0.0.1/x.png"}, "127.0.0.1"),
        ({"file": "AAAA", "textDetThresh": 7.0}, "text_det_thresh"),
    ],
)
def test_what_the_client_got_wrong_is_422(pipeline: Any, request_: dict[str, Any], message: str) -> None:
    code, body = ask(pipeline, **request_)
    assert code == body["errorCode"] == 422 and set(body) == {"logId", "errorCode", "errorMsg"}
    if message != "bytes":
        assert message in body["errorMsg"]


def test_over_http(pipeline: Any, encoded: str) -> None:
    pytest.importorskip("fastapi", reason="pip install 'ptocr[serve]'")
    testclient = pytest.importorskip("fastapi.testclient", reason="pip install httpx")
    client = testclient.TestClient(ptocr.serving.create_app(pipeline))
    assert client.get("/health").json()["errorMsg"] == "Healthy"
    done = client.post("/ocr", json={"file": encoded, "visualize": False})
    assert done.status_code == 200 and len(done.json()["result"]["ocrResults"]) == 1
    wrong = client.post("/ocr", json={"file": encoded, "useMagic": True})
    assert wrong.status_code == wrong.json()["errorCode"] == 422 and "useMagic" in wrong.json()["errorMsg"]


def test_the_schema_and_pages_that_load_foreign_scripts_are_off(pipeline: Any) -> None:
    pytest.importorskip("fastapi", reason="pip install 'ptocr[serve]'")
    testclient = pytest.importorskip("fastapi.testclient", reason="pip install httpx")
    client = testclient.TestClient(ptocr.serving.create_app(pipeline))
    schema = client.get("/openapi.json")
    assert schema.status_code == 200 and set(schema.json()["paths"]) == {"/ocr", "/health"}
    assert set(schema.json()["components"]["schemas"]["OCRRequest"]["properties"]) == set(OCRRequest.model_fields)
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404
    client = testclient.TestClient(ptocr.serving.create_app(pipeline, docs=True))
    assert "openapi.json" in client.get("/docs").text
