"""The HTTP application around an OCR pipeline. Needs the extra `serve` (fastapi, uvicorn, prometheus-client)."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptocr.pipelines import OCRPipeline
from ptocr.serving.admission import Admission, Limits
from ptocr.serving.body import Held, Intake, Refused, read_body
from ptocr.serving.counters import Metrics
from ptocr.serving.schemas import Route, failure
from ptocr.serving.service import Answer, Service

log = logging.getLogger(__name__)
access = logging.getLogger("ptocr.access")

DRAIN_BYTES, DRAIN_SECONDS = 8 << 20, 2.0  # read and thrown away after a refusal, so that the client sees the answer


def create_app(
    pipeline: OCRPipeline,
    *,
    visualize: bool = True,
    max_pages: int = 10,
    allow_private: bool = False,
    docs: bool = False,
    limits: Limits | None = None,
    api_key: str | None = None,
    cors: Sequence[str] = (),
    page: bool = True,
    loaded: bool = True,
) -> Any:
    """A FastAPI application: `POST /ocr`, and `/layout-parsing` of a structure pipeline, `GET /health` and the like.

    visualize: whether answers hold pictures unless the request says. max_pages: pages read of each PDF, 0 = all, where
    no `limits` say so. allow_private: whether URLs in requests may lead to private addresses. docs: FastAPI's page
    `/docs`, with scripts of cdn.jsdelivr.net. api_key: what requests to `/ocr` and `/metrics` must bring. cors: origins
    whose pages may ask. page: whether there is the page at `/`. loaded: False where the models are still being loaded:
    whoever does that calls `app.state.service.loaded.set()`.
    """
    from fastapi import FastAPI
    from starlette.exceptions import HTTPException

    limits = limits or Limits(max_pages=max_pages)
    app = FastAPI(title="ptocr", docs_url="/docs" if docs else None, redoc_url=None)
    admission = Admission(limits)
    service = Service(pipeline, limits, visualize=visualize, allow_private=allow_private)
    app.state.admission, app.state.service, app.state.metrics = admission, service, _metrics(admission)
    if app.state.metrics is not None:
        service.on_page = lambda result: app.state.metrics.page(result.timings)
    if loaded:
        service.loaded.set()
    _add_routes(app, _Desk(app, api_key, Held(limits.bodies)), page)
    app.add_exception_handler(HTTPException, _wrong_route)
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign]
    if cors:
        _allow_origins(app, cors)
    app.add_middleware(_Record)
    return app


def _allow_origins(app: Any, cors: Sequence[str]) -> None:
    """Answer the pages of these origins (CORS)."""
    from starlette.middleware.cors import CORSMiddleware

    headers = ["Authorization", "Content-Type", "X-API-Key"]
    app.add_middleware(CORSMiddleware, allow_origins=list(cors), allow_methods=["GET", "POST"], allow_headers=headers)


def _metrics(admission: Admission) -> Metrics | None:
    try:
        return Metrics(admission)
    except ImportError:
        log.warning("prometheus-client is not installed, so there is no /metrics: pip install 'ptocr[serve]'")
        return None


def _add_routes(app: Any, desk: _Desk, page: bool) -> None:
    from starlette.responses import FileResponse, JSONResponse, Response

    async def health(request: Any) -> Response:
        return JSONResponse({"errorCode": 0, "errorMsg": "Healthy"})

    async def ready(request: Any) -> Response:
        if app.state.service.loaded.is_set() and not app.state.admission.stopping:
            return JSONResponse({"errorCode": 0, "errorMsg": "Ready"})
        what = "the server is stopping" if app.state.admission.stopping else "the models are being loaded"
        return JSONResponse(failure(503, what), status_code=503, headers={"Retry-After": "1"})

    async def metrics(request: Any) -> Response:
        try:
            desk.check_key(request)
        except Refused as refused:
            return desk.refusal(request, refused, close=False)
        text, kind = app.state.metrics.text()
        return Response(text, media_type=kind)

    async def index(request: Any) -> Response:
        return FileResponse(Path(__file__).with_name("page.html"), media_type="text/html; charset=utf-8")

    for path, route in app.state.service.routes.items():
        app.add_route(path, desk.handler(route), methods=["POST"])
    app.add_route("/health", health, methods=["GET"])
    app.add_route("/ready", ready, methods=["GET"])
    if app.state.metrics is not None:
        app.add_route("/metrics", metrics, methods=["GET"])
    if page:
        app.add_route("/", index, methods=["GET"])


class _Desk:
    """Takes requests to `/ocr`: who may ask, whether there is room, the body, then the work on a thread."""

    def __init__(self, app: Any, api_key: str | None, held: Held) -> None:
        self.app, self.api_key, self.held = app, api_key, held

    def handler(self, route: Route) -> Any:
        """What answers requests to an address."""

        async def handle(request: Any) -> Any:
            return await self.answer(request, route)

        return handle

    async def answer(self, request: Any, route: Route) -> Any:
        """The answer to a request, whatever goes wrong on the way."""
        try:
            self.check_key(request)
            if not self.app.state.service.loaded.is_set():
                raise Refused(503, "the models are being loaded", retry_after=2)
            limits = self.app.state.admission.limits
            with self.app.state.admission.client(request.client.host if request.client else ""):
                intake = Intake(request.receive, request.headers, limits.max_body, limits.body_timeout, self.held)
                try:
                    return await self._read(request, intake, route)
                except Refused as refused:
                    return self.refusal(request, refused, close=not intake.complete)
                finally:
                    intake.release()
        except Refused as refused:  # before its body
            return self.refusal(request, refused, close=True)

    async def _read(self, request: Any, intake: Intake, route: Route) -> Any:
        from starlette.exceptions import HTTPException
        from starlette.requests import ClientDisconnect, Request
        from starlette.responses import Response

        admission, service = self.app.state.admission, self.app.state.service
        try:
            body = await read_body(Request(request.scope, intake))
        except HTTPException as error:  # a multipart form that cannot be taken apart
            raise Refused(error.status_code, str(error.detail)) from None
        except ClientDisconnect:
            raise Refused(499, "the client has gone") from None
        came = time.monotonic()
        answer = await admission.run(lambda give_up: service.handle(body, give_up, route), request.is_disconnected)
        request.scope["ptocr"] = (answer, time.monotonic() - came)
        return Response(answer.content, answer.status, media_type="application/json")

    def check_key(self, request: Any) -> None:
        """Refuse requests without the key: 401."""
        if self.api_key is None:
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.api_key.encode("utf-8")):
            raise Refused(401, "no valid API key: send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'")

    def refusal(self, request: Any, refused: Refused, close: bool) -> Any:
        """The answer to a refused request. close: the connection ends, as its body was not read."""
        answer = Service.failed(refused.code, refused.message)
        request.scope["ptocr"] = (answer, 0.0)
        headers = {**refused.headers, **({"WWW-Authenticate": "Bearer"} if refused.code == 401 else {})}
        return _Refusal(answer, headers, close)


class _Refusal:
    """An answer that may come before the body was read: then what is on its way is thrown away for a moment, because a
    connection that closes on unread bytes takes the answer with it."""

    def __init__(self, answer: Answer, headers: dict[str, str], close: bool) -> None:
        self.answer, self.close = answer, close
        self.headers = {"content-type": "application/json", "content-length": str(len(answer.content)), **headers}
        if close:
            self.headers["connection"] = "close"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI calls it."""
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.answer.content, "more_body": self.close})
        if not self.close:
            return
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(_drain(receive), DRAIN_SECONDS)
        await send({"type": "http.response.body", "body": b""})


async def _drain(receive: Any) -> None:
    read = 0
    while read < DRAIN_BYTES:
        message = await receive()
        read += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return


class _Record:
    """ASGI middleware: every answer in the access log and in the metrics; what nobody caught becomes a 500."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI calls it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, seen = time.monotonic(), {"status": 0, "bytes": 0}

        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            seen["bytes"] += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, counted)
        except Exception:
            log.exception("%s %s", scope["method"], scope["path"])
            if seen["status"]:
                raise
            await _Refusal(Service.failed(500, "internal server error"), {}, True)(scope, receive, counted)
        finally:
            self._note(scope, seen, time.monotonic() - began)

    def _note(self, scope: Any, seen: dict[str, int], seconds: float) -> None:
        answer, worked = scope.get("ptocr", (None, 0.0))
        metrics = scope["app"].state.metrics if "app" in scope else None
        if metrics is not None and scope["path"] == "/ocr":
            metrics.request(seen["status"], seconds)
        client = (scope.get("client") or ("-",))[0]
        path = scope.get("raw_path", b"").decode("ascii", "replace")[:200]
        more = "" if answer is None else f" pages={answer.pages} waited_and_read={worked:.3f}s id={answer.log_id}"
        access.info(
            '%s "%s %s" %d %dB %.3fs%s', client, scope["method"], path, seen["status"], seen["bytes"], seconds, more
        )


async def _wrong_route(request: Any, error: Any) -> Any:
    """404, 405 and what else the framework refuses, in PaddleX's shape."""
    from starlette.responses import JSONResponse

    return JSONResponse(failure(error.status_code, str(error.detail)), error.status_code, headers=error.headers)


def _schema(app: Any) -> dict[str, Any]:
    """The OpenAPI document. Requests are JSON, a form, an upload or the file itself, which routes cannot say."""
    if app.openapi_schema is None:
        schemas: dict[str, Any] = {}
        paths: dict[str, Any] = {}
        for path, route in app.state.service.routes.items():
            request = route.request.model_json_schema(ref_template="#/components/schemas/{model}")
            name = route.request.__name__
            schemas |= {**request.pop("$defs", {}), name: request}
            kinds: dict[str, Any] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
            file = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            kinds["multipart/form-data"] = {"schema": file}
            kinds["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
            done = {"description": "what was read; errors have logId, errorCode and errorMsg"}
            body = {"required": True, "content": kinds}
            what = {"summary": "Read a picture or PDF", "requestBody": body, "responses": {"200": done}}
            paths[path] = {"post": what}
        told = {"/health": "Whether it answers", "/ready": "Whether it takes requests", "/metrics": "For Prometheus"}
        if app.state.metrics is None:
            del told["/metrics"]
        paths |= {p: {"get": {"summary": s, "responses": {"200": {"description": s}}}} for p, s in told.items()}
        info = {"title": app.title, "version": app.version}
        components = {"schemas": schemas}
        app.openapi_schema = {"openapi": "3.1.0", "info": info, "paths": paths, "components": components}
    return app.openapi_schema
