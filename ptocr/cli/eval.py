"""`ptocr eval`: score a model on labelled pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ptocr.cli.guard import Failures

DESCRIPTION = "Score a detector, recogniser, classifier, or the whole pipeline, on labelled pictures."
EXAMPLES = (
    "ptocr eval --model PP-OCRv4_mobile_rec --data lines/rec_gt.txt",
    "ptocr eval --model output/best.pth --data lines/rec_gt.txt --ignore_space",
    "ptocr eval --pipeline OCR --data pages/Label.txt",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", help="a model's name, or a file with weights")
    which.add_argument("--pipeline", help="a pipeline's name or YAML: end to end, with det labels")
    parser.add_argument("--data", required=True, type=Path, help="label file or folder")
    parser.add_argument("--data_format", choices=["paddle", "lmdb", "icdar2015"], default="paddle")
    parser.add_argument("--root", type=Path, help="folder of the pictures (default: that of the label file)")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--ignore_space", action="store_true")
    parser.add_argument("--ignore_case", action="store_true")
    parser.add_argument("--format", choices=["text", "json"], default="text")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Score and print."""
    from ptocr.data.label_settings import LabelSource
    from ptocr.evaluation.models import EvalOptions, score_model

    options = EvalOptions(args.batch_size, args.ignore_space, args.ignore_case)
    source = LabelSource(path=args.data, format=args.data_format, root=args.root)
    if args.pipeline is not None:
        from ptocr.evaluation.pipelines import score_pipeline

        scores = score_pipeline(args.pipeline, source, args.device, options)
    else:
        scores = score_model(args.model, source, args.device, options)
    if args.format == "json":
        print(json.dumps(scores))
        return
    for name, value in scores.items():
        print(f"{name:<10} {value:.4f}")
