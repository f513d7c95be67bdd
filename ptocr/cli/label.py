"""`ptocr label`: let a pipeline label pictures for training, and list what it is not sure of."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptocr.cli.arguments import Number, add_model_arguments, add_runtime_arguments
from ptocr.cli.guard import Failures
from ptocr.cli.ocr import make_pipeline

DESCRIPTION = (
    "Read pictures and write what was read as training labels (pseudo-labels). PPOCRLabel opens the folder; pages with "
    "doubtful lines are unconfirmed there."
)
EXAMPLES = (
    "ptocr label scans/ --output labelled/",
    "ptocr label scans/ --output labelled/ --min_score 0.95 --text_recognition_model_dir output/mine/best.pth",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="IN", help="pictures, PDFs, folders")
    add("--output", type=Path, required=True, metavar="FOLDER", help="new labels go there, with copies of the pictures")
    add("--min_score", type=Number(float, 0, 1), default=0.9, metavar="SHARE",
        help="lines that score less are doubtful (default: 0.9)")  # fmt: skip
    add("--pipeline", default="OCR")
    add_runtime_arguments(parser)
    add_model_arguments(parser)


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Label page by page; print what was done."""
    from ptocr.train.pseudo_labels import LabelFolder

    folder = LabelFolder(args.output, args.min_score)
    pipeline = make_pipeline(args)
    try:
        for result in pipeline.predict(args.inputs, on_error=failures, keep_line_images=True):
            folder.add(result)
    finally:
        print(f"{args.output}: {folder.finish()}")
