"""The `ptocr` command: one module per subcommand, imported when it is called."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from ptocr.cli.arguments import Parser, meant
from ptocr.cli.guard import INTERRUPTED, USAGE, guarded

# subcommand -> what it does; the module ptocr.cli.<subcommand> has DESCRIPTION, EXAMPLES, add_arguments() and run(),
# and USAGE_LINE where a list of all flags would say little
COMMANDS = {
    "ocr": "read pictures and PDFs",
    "batch": "read very many inputs, resumable, on this machine or a cluster",
    "structure": "read pages with their layout and tables",
    "config": "write out the YAML of a pipeline",
    "diagnose": "one HTML page: what was found, rejected and read, and why",
    "serve": "answer requests over HTTP (PaddleX's POST /ocr)",
    "models": "list the models",
    "convert": "official weights -> .pth",
    "verify": "compare a converted .pth with its source",
    "compile": "compile the networks for this machine",
    "export": "write a model as ONNX",
    "train": "fine-tune or train a model",
    "eval": "score a model or pipeline on labelled pictures",
    "data": "check training data",
    "label": "label pictures for training, list what is doubtful",
    "check": "report on this environment",
    "compat": "run a command line of paddleocr, paddlex or rapidocr",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code."""
    try:
        chosen = _chosen(list(sys.argv[1:] if argv is None else argv))
        if isinstance(chosen, int):
            return chosen
        module, args = chosen
        if args.require_hashes:
            os.environ["PTOCR_REQUIRE_HASHES"] = "1"
        with guarded(args) as failures:
            module.run(args, failures)
        return failures.code
    except KeyboardInterrupt:  # before the command itself began
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _chosen(arguments: list[str]) -> tuple[ModuleType, argparse.Namespace] | int:
    """The subcommand's module and what it was given, or an exit code where all is said."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if arguments else USAGE
    if arguments[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"ptocr {version('ptocr')}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        hint = meant(name, COMMANDS) or "; `ptocr --help` lists them"
        print(f"error: unknown command {name!r}{hint}", file=sys.stderr)
        return USAGE
    module = importlib.import_module(f"ptocr.cli.{name}")
    parser = Parser(
        prog=f"ptocr {name}",
        usage=getattr(module, "USAGE_LINE", None),
        description=module.DESCRIPTION,
        epilog="examples:\n" + "\n".join(f"  {line}" for line in module.EXAMPLES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    module.add_arguments(parser)
    last = parser.add_argument_group("about this command")
    last.add_argument("-h", "--help", action="help", help="show this list")
    last.add_argument("--show_log", action="store_true", help="say what is being done (default: warnings only)")
    last.add_argument("--require_hashes", action="store_true",
                      help="fetch only weights of known sha256 (default: others with a warning)")  # fmt: skip
    return module, parser.parse_args(rest)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    rows = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(["usage: ptocr COMMAND ...   (`ptocr COMMAND --help` says more)", "", *rows])
