"""`ptocr serve`: an HTTP server with PaddleX's interface."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import socket
import threading
from pathlib import Path
from typing import Any

from ptocr.cli.arguments import Number, OneOf, add_model_arguments, add_runtime_arguments, flag
from ptocr.cli.guard import INTERRUPTED, TERMINATED, Failures, Terminated, describe, say
from ptocr.cli.ocr import make_pipeline
from ptocr.errors import SpecError

DESCRIPTION = "Answer POST /ocr as PaddleX's basic serving does (needs: pip install 'ptocr[serve]')."
USAGE_LINE = "ptocr serve [--host ADDRESS] [--port N] [flags]"
EXAMPLES = (
    "ptocr serve",
    "ptocr serve --host 0.0.0.0 --port 8080 --device gpu:0,1 --visualize false",
    "ptocr serve --host 0.0.0.0 --queue 100 --deadline 20 --max_per_client 4 --access_log --api_key_file key.txt",
)
OPTIONAL = ("use_textline_orientation", "use_doc_orientation_classify", "use_doc_unwarping")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    add = parser.add_argument_group("common").add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS",
        help="address to listen on; 0.0.0.0: every one (default: 127.0.0.1, this machine only)")  # fmt: skip
    add("--port", type=Number(int, 0, 65535), default=8080, metavar="N", help="0: any free one (default: 8080)")
    add("--visualize", type=flag, default=True, metavar="BOOL",
        help="pictures in answers unless the request says (default: true)")  # fmt: skip
    add("--allow_private", type=flag, default=False, nargs="?", const=True, metavar="BOOL",
        help="URLs in requests may lead to private addresses (default: false)")  # fmt: skip
    add("--page", type=flag, default=True, metavar="BOOL", help="the page to try it, at / (default: true)")
    add("--docs", action="store_true",
        help="a page to try requests, /docs, whose scripts come from cdn.jsdelivr.net (default: off)")  # fmt: skip
    add("--access_log", type=flag, default=False, nargs="?", const=True, metavar="BOOL",
        help="a line per answer on standard error (default: false)")  # fmt: skip
    add("--pipeline", "--paddlex_config", default="OCR", metavar="NAME", help="name or OCR.yaml (default: OCR)")
    add("--lang", metavar="L,L", help="languages, as for `ptocr ocr` (default: the pipeline's)")
    add("--ocr_version", metavar="V", help="PP-OCRv3 ... PP-OCRv6 (default: the pipeline's)")
    add("--preload", type=_options, default=[], metavar="NAME,NAME",
        help=f"options of requests whose models are loaded, and fetched, at the start: {', '.join(OPTIONAL)}; requests "
        "never fetch (default: none)")  # fmt: skip
    _add_limits(parser)
    _add_access(parser)
    add_runtime_arguments(parser)
    add_model_arguments(parser)


def _options(text: str) -> list[str]:
    names = [OneOf(*OPTIONAL)(name.strip()) for name in text.split(",")]
    return [name for name in names if name]


def _add_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("limits (what is refused gets 413, 408, 429 or 503)").add_argument
    count, seconds = Number(int, 1), Number(float, 0.1)
    add("--workers", type=count, metavar="N", help="requests that are read at once (default: what the device likes)")
    add("--queue", type=Number(int, 0), default=32, metavar="N",
        help="requests that may wait; more get 503 with Retry-After (default: 32)")  # fmt: skip
    add("--deadline", type=seconds, default=60.0, metavar="SECONDS", help="for each answer, else 503 (default: 60)")
    add("--max_per_client", type=Number(int, 0), default=0, metavar="N",
        help="requests of one address at a time, more get 429; 0 = any (default: 0)")  # fmt: skip
    add("--max_pages", type=Number(int, 0), default=10, metavar="N",
        help="pages read of each PDF, 0 = all (default: 10)")  # fmt: skip
    add("--max_pixels", type=count, metavar="N", help="of a picture; larger ones are refused (default: 178956970)")
    add("--isolate", type=OneOf("auto", "always", "never"), default="always", metavar="{auto,always,never}",
        help="decode in processes of their own: always every file, auto PDFs and what addresses lead to, never none "
        "(default: always)")  # fmt: skip
    add("--page_timeout", type=seconds, default=20.0, metavar="SECONDS",
        help="for decoding a page, where isolated (default: 20)")  # fmt: skip
    add("--page_memory", type=count, default=512 << 20, metavar="BYTES",
        help="for decoding a page; pictures that need more are refused (default: 536870912)")  # fmt: skip
    add("--max_body", type=count, default=64 << 20, metavar="BYTES", help="of one request (default: 67108864)")
    add("--max_bodies", type=count, default=512 << 20, metavar="BYTES",
        help="of all requests in memory (default: 536870912)")  # fmt: skip
    add("--body_timeout", type=seconds, default=30.0, metavar="SECONDS", help="for a request's body (default: 30)")
    add("--header_timeout", type=seconds, default=10.0, metavar="SECONDS", help="for its headers (default: 10)")
    add("--max_connections", type=count, default=1000, metavar="N", help="open at a time (default: 1000)")
    add("--stop_timeout", type=Number(float, 2), default=30.0, metavar="SECONDS",
        help="from SIGTERM to the end; accepted requests are answered (default: 30)")  # fmt: skip


def _add_access(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("who may ask").add_argument
    add("--api_key_file", metavar="FILE",
        help="its first line is the key that requests must bring; so is PTOCR_API_KEY (default: no key)")  # fmt: skip
    add("--cors", type=lambda text: text.split(","), default=[], metavar="ORIGIN,ORIGIN",
        help="web pages of these origins may ask, * is any (default: none)")  # fmt: skip
    add("--trust_proxy", metavar="ADDRESS,ADDRESS",
        help="proxies whose X-Forwarded-For names the client (default: none)")  # fmt: skip
    add("--ssl_certfile", metavar="FILE", help="certificate, for HTTPS (default: HTTP)")
    add("--ssl_keyfile", metavar="FILE", help="its key (default: in the certificate's file)")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Serve until interrupted."""
    try:
        import fastapi  # noqa: F401 - checked before the models are loaded
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise SpecError(f"{error.name} is not installed: pip install 'ptocr[serve]'") from None
    from ptocr.pipelines.ocr import OCRPipeline

    key = _api_key(args.api_key_file)
    with contextlib.closing(listen(args.host, args.port)) as listener:  # before the models are loaded
        pipeline = make_pipeline(args)
        if not isinstance(pipeline, OCRPipeline):
            raise SpecError(f"{args.pipeline}: only OCR pipelines are served")
        _set_up_access_log(args.access_log)
        _serve(listener, pipeline, args, key)


def _serve(listener: socket.socket, pipeline: Any, args: argparse.Namespace, key: str | None) -> None:
    """Listen at once, load the models meanwhile: /health answers, /ready says when."""
    from ptocr.serving import create_app
    from ptocr.serving.admission import Limits
    from ptocr.serving.server import Connections, Server

    workers = args.workers or pipeline.width
    limits = Limits(
        workers, args.queue, args.deadline, args.max_per_client, args.max_body, args.max_bodies, args.body_timeout,
        args.max_pages, args.max_pixels, args.isolate, args.page_timeout, args.page_memory,
    )  # fmt: skip
    app = create_app(
        pipeline, visualize=args.visualize, allow_private=args.allow_private, docs=args.docs, limits=limits,
        api_key=key, cors=args.cors, page=args.page, loaded=False,
    )  # fmt: skip
    connections = Connections(args.max_connections, args.header_timeout, stop=args.stop_timeout)
    ready = _ready_line(listener, pipeline, args)
    errors: list[BaseException] = []

    def load() -> None:
        try:
            _load(pipeline, args)
            os.environ["PTOCR_OFFLINE"] = "1"  # requests never fetch
            app.state.service.loaded.set()
            say(ready)
        except BaseException as error:
            errors.append(error)
            server.should_exit = True

    server = Server(
        app, connections, threading.Thread(target=load, name="ptocr-load", daemon=True).start,
        log_level="info" if args.show_log else "warning", ssl_certfile=args.ssl_certfile, ssl_keyfile=args.ssl_keyfile,
        proxy_headers=bool(args.trust_proxy), forwarded_allow_ips=args.trust_proxy,
    )  # fmt: skip
    _run(server, listener, app)
    if errors:
        raise errors[0]


def _load(pipeline: Any, args: argparse.Namespace) -> None:
    """Whatever the first request would wait for."""
    from ptocr.document.fonts import font_of
    from ptocr.inputs import isolation

    pipeline.warm_up(**dict.fromkeys(args.preload, True))
    if args.isolate != "never":
        isolation.warm_up()
    if args.visualize:
        font_of(12, "\u5b57")  # drawing results would fetch it


def _run(server: Any, listener: socket.socket, app: Any) -> None:
    """Answer until told to stop."""
    try:
        server.run(sockets=[listener])
    except BaseException as stop:
        if app.state.admission.running:  # a thread that does not end would keep the process
            say(f"{app.state.admission.running} requests did not end in time and were dropped")
            os._exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)
        raise


def _api_key(file: str | None) -> str | None:
    key = os.environ.get("PTOCR_API_KEY", "")
    if file is not None:
        key = (Path(file).read_text(encoding="utf-8").splitlines() or [""])[0]
        if not key.strip():
            raise SpecError(f"{file}: its first line is empty, but should be the API key")
    return key.strip() or None


def _set_up_access_log(wanted: bool) -> None:
    access = logging.getLogger("ptocr.access")
    access.setLevel(logging.INFO if wanted else logging.WARNING)
    access.propagate = False
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    access.handlers = [handler]


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address, IPv4 or IPv6.

    Raises:
        SpecError: no such address, or something listens there already.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SpecError(f"--host {host}: {describe(error)}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise SpecError(f"{host}:{port}: {describe(error)}; give another --port or --host") from None
    return listener


def _ready_line(listener: socket.socket, pipeline: Any, args: argparse.Namespace) -> str:
    from ptocr.runtime.devices import device_list, resolve_device

    host, port = listener.getsockname()[:2]
    where = f"[{host}]" if ":" in host else host
    modules = pipeline.spec.SubModules
    models = [m.model_dir or m.model_name for m in (modules.TextDetection, modules.TextRecognition)]
    devices = ", ".join(str(resolve_device(name)) for name in device_list(args.device))
    return f"ready: POST http://{where}:{port}/ocr ({' and '.join(models)} on {devices})"
