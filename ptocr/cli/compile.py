"""`ptocr compile`: build the compiled packages that `compile="aot"` and `compile="auto"` use."""

from __future__ import annotations

import argparse
import sys
import time

from ptocr.cli.guard import Failures

DESCRIPTION = 'Compile networks for this machine, once; `--compile auto` and compile="auto" then use them.'
EXAMPLES = ("ptocr compile", "ptocr compile --dtype bf16", "ptocr compile --model PP-OCRv4_mobile_rec --rebuild")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    parser.add_argument("--pipeline", default="OCR", help="all models of this pipeline (default: OCR)")
    parser.add_argument("--model", nargs="+", default=None, help="these models, or weights files, instead")
    parser.add_argument("--dtype", "--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rebuild", action="store_true", help="even where a package is there")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Build what is missing and say what was done."""
    from ptocr.runtime.compiled import package_for, require_compiler
    from ptocr.runtime.options import RuntimeOptions
    from ptocr.weights import store

    require_compiler()
    options = RuntimeOptions(device=args.device, dtype=args.dtype, compile="aot")
    names = args.model or _models(args.pipeline)
    for number, name in enumerate(names, start=1):
        print(f"[{number}/{len(names)}] {name}: ", end="", file=sys.stderr, flush=True)
        start = time.monotonic()
        path, built = package_for(store.load(name), options, args.rebuild)
        done = f"compiled in {time.monotonic() - start:.0f} s" if built else "already there"
        print(f"{done}, {path.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
        print(path)


def _models(pipeline: str) -> list[str]:
    from ptocr.pipelines.config import load_pipeline

    return [module.model_dir or module.model_name for module in load_pipeline(pipeline).used().values()]
