"""`POST /ocr` as PaddleX's clients speak it, on random weights."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import ptocr
from ptocr.errors import InputError, WeightsError
from ptocr.inputs import isolation
from ptocr.serving.body import Body
from ptocr.serving.schemas import OCRRequest
from ptocr.serving.service import Service
from tests.hostile_files import nested_forms
from tests.pipelines.conftest import found_lines, offline, page, random_home

__all__ = ["found_lines", "offline", "page", "random_home"]

pytest.importorskip("fastapi", reason="pip install 'ptocr[serve]'")
testclient = pytest.importorskip("fastapi.testclient", reason="pip install httpx")
from ptocr.serving.admission import Limits  # noqa: E402


@pytest.fixture(scope="module")
def loaded(random_home: Path) -> ptocr.pipelines.OCRPipeline:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PTOCR_HOME", str(random_home))
        patch.setenv("PTOCR_OFFLINE", "1")
        patch.setattr("ptocr.paths.checkout_weights", lambda: None)
        made = ptocr.create_pipeline("PP-OCRv4_mobile", device="cpu")
        made.warm_up()
        return made


@pytest.fixture
def pipeline(loaded: ptocr.pipelines.OCRPipeline, offline: object, found_lines: object) -> ptocr.pipelines.OCRPipeline:
    return loaded


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test client never ends its side of a connection, so nothing would be drained but time."""
    monkeypatch.setattr("ptocr.serving.app.DRAIN_SECONDS", 0.05)


@pytest.fixture
def png(page: np.ndarray) -> bytes:
    return cv2.imencode(".png", page)[1].tobytes()


@pytest.fixture
def encoded(png: bytes) -> str:
    return base64.b64encode(png).decode()


@pytest.fixture
def client(pipeline: Any) -> Any:
    return testclient.TestClient(ptocr.serving.create_app(pipeline), raise_server_exceptions=False)


def ask(pipeline: Any, **request: Any) -> tuple[int, dict[str, Any]]:
    answer = Service(pipeline, Limits()).handle(Body(json.dumps(request).encode()), lambda: False)
    return answer.status, json.loads(answer.content)


def failed(answer: Any, code: int) -> str:
    """An error in PaddleX's shape; its message."""
    assert answer.status_code == code, answer.text
    body = answer.json()
    assert set(body) == {"logId", "errorCode", "errorMsg"} and body["errorCode"] == code and body["logId"]
    return body["errorMsg"]


def test_a_picture(pipeline: Any, encoded: str, page: np.ndarray) -> None:
    code, body = ask(pipeline, file=encoded, fileType=1, logId="42", returnWordBox=True, textRecScoreThresh=0.0)
    assert code == 200 and {k: v for k, v in body.items() if k != "result"} == {
        "logId": "42", "errorCode": 0, "errorMsg": "Success",
    }  # fmt: skip
    result = body["result"]
    assert result["dataInfo"] == {"width": page.shape[1], "height": page.shape[0], "type": "image"}
    (first,) = result["ocrResults"]
    direct = next(iter(pipeline.predict(page, return_word_box=True)))
    wanted = {k: v for k, v in direct.json["res"].items() if k not in ("input_path", "page_index")}
    assert first["prunedResult"] == json.loads(json.dumps(wanted))
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(first["inputImage"]), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == page.shape and first["ocrImage"] and first["docPreprocessingImage"] is None
    # the older revision's names of the same
    assert first["image"] == first["ocrImage"]
    assert [row["text"] for row in first["texts"]] == direct["rec_texts"]
    assert [row["poly"] for row in first["texts"]] == [poly.tolist() for poly in direct["rec_polys"]]


def test_pictures_only_when_wanted(pipeline: Any, encoded: str) -> None:
    _, body = ask(pipeline, file="data:image/png;base64," + encoded, visualize=False, useTextlineOrientation=False)
    (first,) = body["result"]["ocrResults"]
    assert first["ocrImage"] is first["inputImage"] is first["image"] is None
    assert first["prunedResult"]["textline_orientation_angles"] == [-1, -1, -1]


def test_the_older_revision_and_unknown_fields(pipeline: Any, encoded: str) -> None:
    old = {"maxLongSide": 320, "magic": 1}
    code, body = ask(pipeline, file=encoded, inferenceParams=old, useMagic=True, visualize=False)
    parameters = body["result"]["ocrResults"][0]["prunedResult"]["text_det_params"]
    assert code == 200 and (parameters["limit_side_len"], parameters["limit_type"]) == (320, "max")
    assert body["warnings"] == ["useMagic: unknown field, ignored", "inferenceParams.magic: unknown field, ignored"]


def test_ways_to_send_a_file(client: Any, png: bytes, encoded: str) -> None:
    wrapped = "\r\n".join(encoded[i : i + 76] for i in range(0, len(encoded), 76))
    url_safe = base64.urlsafe_b64encode(png).decode().rstrip("=")
    plain = client.post("/ocr", json={"file": encoded, "visualize": False}).json()["result"]
    for file in (wrapped, url_safe, "data:image/png;base64," + wrapped):
        assert client.post("/ocr", json={"file": file, "visualize": False}).json()["result"] == plain
    upload = client.post("/ocr", files={"file": ("page.png", png)}, data={"visualize": "false", "logId": "7"})
    assert upload.json()["result"] == plain and upload.json()["logId"] == "7"
    raw = client.post("/ocr?visualize=false", content=png, headers={"Content-Type": "image/png"})
    assert raw.json()["result"] == plain
    form = client.post("/ocr", data={"file": encoded, "visualize": "false"})
    assert form.json()["result"] == plain
    as_curl = {"Content-Type": "application/x-www-form-urlencoded"}
    bare = client.post("/ocr", content=json.dumps({"file": encoded, "visualize": False}), headers=as_curl)
    assert bare.json()["result"] == plain


def test_a_pdf_that_would_take_for_ever(pipeline: Any, png: bytes) -> None:
    client = testclient.TestClient(ptocr.serving.create_app(pipeline, limits=Limits(page_timeout=2)))
    message = failed(client.post("/ocr", content=nested_forms()), 422)
    assert message == "file: page 1: not decoded within 2 s (page_timeout)"
    header = np.array([20_000, 8_000], ">u4").tobytes()  # the size is refused before anything is decoded
    wide = png[:16] + header + png[24:]
    assert "page_memory" in failed(client.post("/ocr", content=wide), 422)
    assert client.post("/ocr?visualize=false", content=png).status_code == 200


def test_many_pdfs_that_would_take_for_ever(pipeline: Any, png: bytes) -> None:
    """Each holds a decoder until its time is over, no more at once than requests are read; others are served beside."""
    limits = Limits(workers=2, queue=4, page_timeout=1, deadline=60)
    client = testclient.TestClient(ptocr.serving.create_app(pipeline, limits=limits, visualize=False))
    statuses: list[int] = []
    most: list[int] = []

    def ask() -> None:
        statuses.append(client.post("/ocr", content=nested_forms()).status_code)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most.append(sum(decoder.process.poll() is None for decoder in list(isolation._POOL.all)))
        time.sleep(0.05)
    assert sorted(set(statuses)) in ([422], [422, 503]) and len(statuses) == 6
    assert 1 <= max(most) <= 2 + max(2, os.cpu_count() or 1)
    assert client.post("/ocr", content=png).status_code == 200


def test_documents(client: Any, png: bytes) -> None:
    answer = client.post("/ocr?visualize=false&outputFormats=md,pdf,json", content=png)
    made = {name: base64.b64decode(data) for name, data in answer.json()["result"]["documents"].items()}
    assert set(made) == {"md", "pdf", "json"} and made["pdf"].startswith(b"%PDF")
    assert [page["input_path"] for page in json.loads(made["json"])] == [None]
    assert "outputFormats" in failed(client.post("/ocr?outputFormats=exe", content=png), 422)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"file": "no base64!"}, "neither an http"),
        ({"file": base64.b64encode(b"no picture").decode()}, "file:"),
        ({"file": "http://127.0.0.1/x.png"}, "127.0.0.1"),
        ({"file": "AAAA", "textDetThresh": 7.0}, "text_det_thresh"),
        ({"file": "AAAA", "logId": "a\nb"}, "logId"),
        ({"file": "AAAA", "logId": "\ud800"}, "surrogate"),
        ({"file": "AAAA", "\ud800": 1}, "surrogate"),
        ({"file": "AAAA", "textDetThresh": float("nan")}, "NaN"),
        ({"file": "AAAA", "textDetThresh": float("inf")}, "Infinity"),
        ({"file": "AAAA", "fileType": 2}, "fileType"),
        ({"file": "AAAA", "inferenceParams": {"maxLongSide": -1}}, "maxLongSide"),
        ({}, "file"),
    ],
)
def test_what_the_client_got_wrong_is_422(pipeline: Any, request_: dict[str, Any], message: str) -> None:
    code, body = ask(pipeline, **request_)
    assert code == body["errorCode"] == 422 and set(body) == {"logId", "errorCode", "errorMsg"}
    assert message in body["errorMsg"] and "\n" not in body["errorMsg"]


def test_bodies_that_are_nothing_are_422(client: Any) -> None:
    as_json = {"Content-Type": "application/json"}
    for content in (
        b"",
        b"{",
        b"[]",
        b'{"file": 1e999}',
        b"\xff",
        b"[" * 100_000,
        b'{"file":"AA","textDetThresh":1e999}',
    ):
        failed(client.post("/ocr", content=content, headers=as_json), 422)
    failed(client.post("/ocr"), 422)
    broken = {"Content-Type": "multipart/form-data"}  # without its boundary
    failed(client.post("/ocr", content=b"x", headers=broken), 400)


def test_wrong_routes_and_methods(client: Any) -> None:
    failed(client.get("/nothing"), 404)
    assert client.get("/ocr").headers["allow"] == "POST" and failed(client.get("/ocr"), 405)


def test_a_request_never_fetches_and_no_answer_holds_a_path(
    pipeline: Any, encoded: str, client: Any, random_home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = random_home / "weights" / "UVDoc.pth"
    monkeypatch.setattr("ptocr.weights.store._fetch", lambda *_: pytest.fail("fetched"))
    hidden.rename(hidden.with_suffix(".away"))
    try:
        assert "UVDoc" in failed(client.post("/ocr", json={"file": encoded, "useDocUnwarping": True}), 422)
    finally:
        hidden.with_suffix(".away").rename(hidden)

    def broken(*_: object, **__: object) -> Iterator[Any]:
        raise WeightsError("/secret/place/x.pth: damaged")
        yield

    monkeypatch.setattr(type(pipeline), "predict", broken)
    assert "secret" not in failed(client.post("/ocr", json={"file": encoded}), 500)

    def redirected(source: str, **_: object) -> Iterator[Any]:
        raise InputError(f"{source}: 10.1.2.3 is the private or local address 10.1.2.3; allow it with allow_private")
        yield

    monkeypatch.setattr(type(pipeline), "predict", lambda self, source, **_: redirected(source))
    message = failed(client.post("/ocr", json={"file": "http://example.com/a.png"}), 422)
    assert "10.1.2.3" not in message and "example.com" not in message


def test_too_large(pipeline: Any, png: bytes) -> None:
    app = ptocr.serving.create_app(pipeline, limits=Limits(max_body=1000, max_pixels=400))
    client = testclient.TestClient(app)
    failed(client.post("/ocr", content=b"x" * 1001), 413)
    failed(client.post("/ocr", content=(b"x" * 100 for _ in range(11))), 413)  # of a length that nobody says
    small = cv2.imencode(".png", np.zeros((30, 30, 3), np.uint8))[1].tobytes()
    assert "max_pixels" in failed(client.post("/ocr", content=small), 422)


def test_key_and_other_origins(pipeline: Any, png: bytes) -> None:
    app = ptocr.serving.create_app(pipeline, api_key="secret", cors=["https://here.example"])
    client = testclient.TestClient(app)
    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Basic secret"}):
        failed(client.post("/ocr", content=png, headers=headers), 401)
    for headers in ({"X-API-Key": "secret"}, {"Authorization": "Bearer secret"}):
        assert client.post("/ocr?visualize=false", content=png, headers=headers).status_code == 200
    assert client.get("/health").status_code == 200
    asked = {"Origin": "https://here.example", "Access-Control-Request-Method": "POST"}
    assert client.options("/ocr", headers=asked).headers["access-control-allow-origin"] == "https://here.example"
    refused = client.options("/ocr", headers={**asked, "Origin": "https://other.example"})
    assert "access-control-allow-origin" not in refused.headers


def test_health_readiness_and_metrics(pipeline: Any, png: bytes) -> None:
    pytest.importorskip("prometheus_client", reason="pip install 'ptocr[serve]'")
    app = ptocr.serving.create_app(pipeline, loaded=False)
    client = testclient.TestClient(app)
    assert client.get("/health").json()["errorMsg"] == "Healthy"
    assert "loaded" in failed(client.get("/ready"), 503)
    busy = client.post("/ocr", content=png)
    assert "loaded" in failed(busy, 503) and int(busy.headers["retry-after"]) > 0
    app.state.service.loaded.set()
    assert client.get("/ready").json() == {"errorCode": 0, "errorMsg": "Ready"}
    assert client.post("/ocr?visualize=false", content=png).status_code == 200
    text = client.get("/metrics").text
    for line in (
        "ptocr_pages_total 1.0",
        'ptocr_requests_total{code="200"} 1.0',
        "ptocr_queue 0.0",
        "ptocr_batch_runs ",
        "ptocr_running 0.0",
    ):
        assert line in text
    assert 'ptocr_stage_seconds_total{stage="rec"}' in text


class Slow:
    """A pipeline that reads nothing, until it is told to go on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.calls = 0

    def absent(self, **_: object) -> list[str]:
        return []

    def predict(self, *_: object, **__: object) -> Iterator[Any]:
        self.calls += 1
        self.go.wait(20)
        yield from ()


def test_a_full_queue_a_deadline_and_a_greedy_client(png: bytes) -> None:
    slow: Any = Slow()
    limits = Limits(workers=1, queue=1, deadline=0.6, per_client=3)
    app = ptocr.serving.create_app(slow, limits=limits)
    with testclient.TestClient(app) as client:
        answers: list[Any] = []
        threads = []
        for count in (1, 2):
            threads.append(threading.Thread(target=lambda: answers.append(client.post("/ocr", content=png))))
            threads[-1].start()
            while app.state.admission.running + app.state.admission.waiting < count:
                time.sleep(0.005)
        full = client.post("/ocr", content=png)
        assert "waiting" in failed(full, 503) and int(full.headers["retry-after"]) >= 1
        began = time.monotonic()
        assert client.get("/health").status_code == 200 and time.monotonic() - began < 0.5
        for thread in threads:
            thread.join()
        assert all("0.6 s" in failed(answer, 503) for answer in answers)
        assert app.state.admission.running == 1 and app.state.admission.waiting == 0  # the thread goes on, and counts
        slow.go.set()
        while app.state.admission.running:
            time.sleep(0.005)
        assert slow.calls == 1  # who was told 503 in the queue was not read
        assert client.post("/ocr", content=png).status_code == 200


def test_one_client_too_many_requests(png: bytes) -> None:
    slow: Any = Slow()
    app = ptocr.serving.create_app(slow, limits=Limits(workers=2, per_client=1))
    with testclient.TestClient(app) as client:
        thread = threading.Thread(target=lambda: client.post("/ocr", content=png))
        thread.start()
        while not app.state.admission.running:
            time.sleep(0.005)
        failed(client.post("/ocr", content=png), 429)
        slow.go.set()
        thread.join()
        assert client.post("/ocr", content=png).status_code == 200


def test_the_schema_and_pages_that_load_foreign_scripts_are_off(pipeline: Any) -> None:
    client = testclient.TestClient(ptocr.serving.create_app(pipeline))
    schema = client.get("/openapi.json")
    metrics = {"/metrics"} if importlib.util.find_spec("prometheus_client") else set()
    assert schema.status_code == 200 and set(schema.json()["paths"]) == {"/ocr", "/health", "/ready", *metrics}
    assert set(schema.json()["components"]["schemas"]["OCRRequest"]["properties"]) == set(OCRRequest.model_fields)
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404
    client = testclient.TestClient(ptocr.serving.create_app(pipeline, docs=True))
    assert "openapi.json" in client.get("/docs").text
