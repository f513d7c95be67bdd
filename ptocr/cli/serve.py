"""`ptocr serve`: an HTTP server with PaddleX's interface."""

from __future__ import annotations

import argparse

from ptocr.cli.arguments import flag
from ptocr.cli.guard import Failures
from ptocr.cli.ocr import add_model_arguments, add_runtime_arguments, make_pipeline
from ptocr.errors import SpecError
from ptocr.pipelines.ocr import OCRPipeline

DESCRIPTION = "Answer POST /ocr as PaddleX's basic serving does (needs: pip install 'ptocr[serve]')."
EXAMPLES = ("ptocr serve", "ptocr serve --host 0.0.0.0 --port 8080 --device gpu:0,1 --visualize false")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0: every one (default: this machine only)")
    add("--port", type=int, default=8080)
    add("--visualize", type=flag, default=True, help="pictures in answers unless the request says")
    add("--max_pages", type=int, default=10, help="pages read of each PDF, 0 = all")
    add("--allow_private", type=flag, default=False, nargs="?", const=True, help="URLs may lead to private addresses")
    add("--pipeline", "--paddlex_config", default="OCR")
    add_runtime_arguments(parser)
    add_model_arguments(parser)


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Serve until interrupted."""
    try:
        import uvicorn

        from ptocr.serving import create_app
    except ImportError as error:
        raise SpecError(f"{error.name} is not installed: pip install 'ptocr[serve]'") from None
    pipeline = make_pipeline(args)
    if not isinstance(pipeline, OCRPipeline):
        raise SpecError(f"{args.pipeline}: only OCR pipelines are served")
    pipeline.warm_up()
    app = create_app(pipeline, visualize=args.visualize, max_pages=args.max_pages, allow_private=args.allow_private)
    uvicorn.run(app, host=args.host, port=args.port, log_level="info" if args.show_log else "warning")
