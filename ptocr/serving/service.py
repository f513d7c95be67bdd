"""What a server does with one request: taken apart, read, answered. Runs on a thread; knows no HTTP library."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ptocr.document.results import OCRResult
from ptocr.errors import InputError, PtocrError, SpecError
from ptocr.inputs.url import is_url
from ptocr.pipelines import OCRPipeline
from ptocr.pipelines.structure import StructurePipeline
from ptocr.serving.admission import Limits
from ptocr.serving.body import Body, Refused, parse
from ptocr.serving.layout_parsing import LAYOUT_PARSING
from ptocr.serving.schemas import OCR, Options, Route, answer, documents, failure, new_log_id

log = logging.getLogger(__name__)


@dataclass
class Answer:
    """status: of HTTP; content: JSON; pages, log_id: for the access log."""

    status: int
    content: bytes
    pages: int = 0
    log_id: str = ""


class Service:
    """A pipeline, and how its server was set up. `loaded` is set once the models are.

    visualize: whether answers hold pictures unless the request says; allow_private: whether URLs in requests may lead
    to private addresses; on_page: called with each page that was read.
    """

    def __init__(
        self,
        pipeline: OCRPipeline,
        limits: Limits,
        *,
        visualize: bool = True,
        allow_private: bool = False,
        on_page: Callable[[OCRResult], None] | None = None,
    ) -> None:
        self.pipeline, self.limits, self.visualize, self.allow_private = pipeline, limits, visualize, allow_private
        self.on_page = on_page or (lambda page: None)
        self.loaded = threading.Event()
        self.routes = {"/ocr": OCR}
        if isinstance(pipeline, StructurePipeline):
            self.routes["/layout-parsing"] = LAYOUT_PARSING

    def handle(self, body: Body, give_up: Callable[[], bool], route: Route = OCR) -> Answer:
        """200; 422 for what the client got wrong, 503 where it took too long, 500 for what we did."""
        log_id = new_log_id()
        try:
            options, source = parse(body, route)
            log_id = options.logId or log_id
            results = self._read(options, source, give_up)
            show = self.visualize if options.visualize is None else options.visualize
            pages = route.content(results, show)
            if options.outputFormats:
                pages["documents"] = documents(results, options.outputFormats)
            content = answer(pages, log_id)
            if warnings := options.warnings():
                content["warnings"] = warnings
            # everything in ASCII: no character of an answer depends on how the client guesses the encoding
            return Answer(200, json.dumps(content, allow_nan=False).encode("ascii"), len(results), log_id)
        except Refused as refused:
            return self.failed(refused.code, refused.message, log_id)
        except SpecError as error:
            return self.failed(422, str(error), log_id)
        except InputError as error:
            log.info("request %s: %s", log_id, error)
            return self.failed(422, _of_the_client(str(error), source), log_id)
        except PtocrError:  # may name files of this machine
            log.exception("request %s", log_id)
            return self.failed(500, "the pipeline cannot do this on this server; its log says why", log_id)
        except Exception:
            log.exception("request %s", log_id)
            return self.failed(500, "internal server error", log_id)

    @staticmethod
    def failed(code: int, message: str, log_id: str | None = None) -> Answer:
        """An error in PaddleX's shape."""
        content = failure(code, message, log_id)
        return Answer(code, json.dumps(content).encode("ascii"), log_id=content["logId"])

    def _read(self, options: Options, source: str | bytes, give_up: Callable[[], bool]) -> list[OCRResult]:
        asked = options.options()
        if absent := self.pipeline.absent(**asked):
            raise Refused(422, f"this server does not have {', '.join(absent)}, which these options need")
        reading: dict[str, Any] = {"max_pages": self.limits.max_pages, "allow_private": self.allow_private}
        reading |= {"max_pixels": self.limits.max_pixels, "url_max_bytes": self.limits.max_body}
        reading |= {name: getattr(self.limits, name) for name in ("isolate", "page_timeout", "page_memory")}
        results = []
        pages = self.pipeline.predict(source, **asked, **reading)
        try:
            for page in pages:
                results.append(page)
                self.on_page(page)
                if give_up():
                    raise Refused(503, "the request took too long", retry_after=1)
        finally:
            pages.close()  # type: ignore[attr-defined]
        return results


def _of_the_client(message: str, source: str | bytes) -> str:
    """What was wrong with an input, in words that hold no address but the client's own."""
    if isinstance(source, bytes):
        return message.replace("input:", "file:", 1)
    assert is_url(source)
    reason = message.removeprefix(f"{source}: ")
    host = urlsplit(source).hostname or ""
    others = [word for word in reason.replace("'", " ").split() if "://" in word or _is_address(word)]
    if any(host not in word for word in others):
        return "file: the address leads to something that is not read here"
    return f"file: {reason}"


def _is_address(word: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(word.strip("();,"))
    except ValueError:
        return False
    return True
