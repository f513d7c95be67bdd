"""`ptocr config`: write a pipeline's YAML, to be changed and given to `--pipeline` or `create_pipeline`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptocr.cli.guard import Failures
from ptocr.files import write_atomic
from ptocr.pipelines.config import list_pipelines, load_pipeline, pipeline_file

DESCRIPTION = "Write out the YAML of a pipeline (PaddleX's keys)."
EXAMPLES = ("ptocr config OCR --save_path my_configs/", "ptocr config PP-OCRv4_mobile")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    parser.add_argument("name", nargs="?", default="OCR", help=f"one of {', '.join(list_pipelines())} (default: OCR)")
    parser.add_argument("--save_path", help="folder or .yaml file to write; without it standard output")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Write it."""
    source = pipeline_file(args.name)
    load_pipeline(source)
    if args.save_path is None:
        print(source.read_text("utf-8"), end="")
        return
    target = Path(args.save_path)
    if target.suffix not in (".yaml", ".yml"):
        target /= source.name
    write_atomic(target, source.read_bytes())
    print(target)
