"""`ptocr serve`: an HTTP server with PaddleX's interface."""

from __future__ import annotations

import argparse
import contextlib
import socket
from typing import Any

from ptocr.cli.arguments import Number, add_model_arguments, add_runtime_arguments, flag
from ptocr.cli.guard import Failures, describe, say
from ptocr.cli.ocr import make_pipeline
from ptocr.errors import SpecError

DESCRIPTION = "Answer POST /ocr as PaddleX's basic serving does (needs: pip install 'ptocr[serve]')."
USAGE_LINE = "ptocr serve [--host ADDRESS] [--port N] [flags]"
EXAMPLES = ("ptocr serve", "ptocr serve --host 0.0.0.0 --port 8080 --device gpu:0,1 --visualize false")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    add = parser.add_argument_group("common").add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS",
        help="address to listen on; 0.0.0.0: every one (default: 127.0.0.1, this machine only)")  # fmt: skip
    add("--port", type=Number(int, 0, 65535), default=8080, metavar="N", help="0: any free one (default: 8080)")
    add("--visualize", type=flag, default=True, metavar="BOOL",
        help="pictures in answers unless the request says (default: true)")  # fmt: skip
    add(
        "--max_pages",
        type=Number(int, 0),
        default=10,
        metavar="N",
        help="pages read of each PDF, 0 = all (default: 10)",
    )
    add("--allow_private", type=flag, default=False, nargs="?", const=True, metavar="BOOL",
        help="URLs in requests may lead to private addresses (default: false)")  # fmt: skip
    add("--docs", action="store_true",
        help="a page to try requests, /docs, whose scripts come from cdn.jsdelivr.net (default: off)")  # fmt: skip
    add("--pipeline", "--paddlex_config", default="OCR", metavar="NAME", help="name or OCR.yaml (default: OCR)")
    add("--lang", metavar="L,L", help="languages, as for `ptocr ocr` (default: the pipeline's)")
    add("--ocr_version", metavar="V", help="PP-OCRv3 ... PP-OCRv6 (default: the pipeline's)")
    add_runtime_arguments(parser)
    add_model_arguments(parser)


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Serve until interrupted."""
    try:
        import uvicorn

        from ptocr.serving import create_app
    except ImportError as error:
        raise SpecError(f"{error.name} is not installed: pip install 'ptocr[serve]'") from None
    from ptocr.pipelines.ocr import OCRPipeline

    with contextlib.closing(listen(args.host, args.port)) as listener:  # before the models are loaded
        pipeline = make_pipeline(args)
        if not isinstance(pipeline, OCRPipeline):
            raise SpecError(f"{args.pipeline}: only OCR pipelines are served")
        pipeline.warm_up()
        app = create_app(
            pipeline,
            visualize=args.visualize,
            max_pages=args.max_pages,
            allow_private=args.allow_private,
            docs=args.docs,
        )
        ready = _ready_line(listener, pipeline, args)

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                if not self.should_exit:
                    say(ready)

        Server(uvicorn.Config(app, log_level="info" if args.show_log else "warning")).run(sockets=[listener])


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
