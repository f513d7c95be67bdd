"""The HTTP application around an OCR pipeline. Needs the extra `serve` (fastapi, uvicorn)."""

from __future__ import annotations

import logging
from typing import Any

from ptocr.errors import InputError, PtocrError, SpecError
from ptocr.pipelines import OCRPipeline
from ptocr.serving.schemas import OCRRequest, answer, failure, new_log_id

log = logging.getLogger(__name__)


def create_app(
    pipeline: OCRPipeline,
    *,
    visualize: bool = True,
    max_pages: int = 10,
    allow_private: bool = False,
    docs: bool = False,
) -> Any:
    """A FastAPI application with `POST /ocr`, `GET /health` and `GET /openapi.json`.

    visualize: whether answers hold pictures unless the request says. max_pages: pages read of each PDF, 0 = all.
    allow_private: whether URLs in requests may lead to private addresses. docs: FastAPI's page to try requests,
    `/docs`, whose scripts a browser loads from cdn.jsdelivr.net.
    """
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse

    app = FastAPI(title="ptocr", docs_url="/docs" if docs else None, redoc_url=None)

    def ocr(request: OCRRequest) -> JSONResponse:  # not async: each request has a thread, pipelines are thread-safe
        code, body = handle(pipeline, request, visualize, max_pages, allow_private)
        return JSONResponse(body, status_code=code)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        problems = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
        return JSONResponse(failure(422, problems), status_code=422)

    # without response_model FastAPI would look for the class JSONResponse among this module's globals, and fail
    app.add_api_route("/ocr", ocr, methods=["POST"], response_model=None, summary="Read a picture or PDF")
    health = {"errorCode": 0, "errorMsg": "Healthy"}
    app.add_api_route("/health", lambda: health, methods=["GET"], response_model=None, summary="Whether it answers")
    app.add_exception_handler(RequestValidationError, invalid)
    return app


def handle(
    pipeline: OCRPipeline, request: OCRRequest, visualize: bool, max_pages: int, allow_private: bool
) -> tuple[int, dict[str, Any]]:
    """HTTP status and body for a request: 200, 422 for what the client got wrong, 500 for what we did."""
    log_id = request.logId or new_log_id()
    show = visualize if request.visualize is None else request.visualize
    reading: dict[str, Any] = {"max_pages": max_pages, "allow_private": allow_private}
    try:
        results = list(pipeline.predict(request.input(), **request.options(), **reading))
        return 200, answer(results, show, log_id)
    except (InputError, SpecError) as error:
        return 422, failure(422, str(error), log_id)
    except PtocrError as error:
        return 500, failure(500, str(error), log_id)
    except Exception:
        log.exception("request %s", log_id)
        return 500, failure(500, "internal server error", log_id)
