"""`ptocr config`: write a pipeline's YAML, to be changed and given to `--pipeline` or `create_pipeline`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptocr.cli.guard import Failures
from ptocr.errors import SpecError
from ptocr.files import same_file, write_atomic

DESCRIPTION = "Write out the YAML of a pipeline (PaddleX's keys)."
EXAMPLES = ("ptocr config OCR --save_path my_configs/", "ptocr config PP-OCRv4_mobile")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    parser.add_argument("name", nargs="?", default="OCR", help="a pipeline, such as PP-OCRv4_mobile (default: OCR)")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists (default: it is kept)")
    parser.add_argument("--save_path", help="folder or .yaml file to write; without it standard output")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Write it."""
    from ptocr.pipelines.config import load_pipeline, pipeline_file

    source = pipeline_file(args.name)
    load_pipeline(source)
    if args.save_path is None:
        print(source.read_text("utf-8"), end="")
        return
    target = Path(args.save_path)
    if target.suffix not in (".yaml", ".yml"):
        target /= source.name
    if target.exists() and (not args.overwrite or same_file(target, source)):
        raise SpecError(f"{target}: exists already; --overwrite replaces it")
    write_atomic(target, source.read_bytes())
    print(target)
