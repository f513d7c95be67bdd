"""`ptocr export`: a model in another format."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptocr.cli.guard import Failures

DESCRIPTION = (
    "Write a model as ONNX with dynamic sizes (character set and preprocessing travel in its metadata), or as the "
    ".pdparams that Paddle trains on."
)
EXAMPLES = (
    "ptocr export --model PP-OCRv4_mobile_rec --out rec.onnx",
    "ptocr export --model my_finetuned.pth --out mine.onnx --decode",
    "ptocr export --model my_finetuned.pth --out mine.pdparams --paddle",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    parser.add_argument("--model", required=True, help="a model's name, or a file with weights")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--format", choices=["onnx", "paddle"], default="onnx", help="paddle: .pdparams")
    parser.add_argument("--paddle", dest="format", action="store_const", const="paddle", help="as --format paddle")
    parser.add_argument("--decode", action="store_true", help="recognisers: best class and probability per step only")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Export and print the path."""
    from ptocr.convert.to_paddle import write_pdparams
    from ptocr.runtime.onnx import export_onnx
    from ptocr.weights import store

    checkpoint = store.load(args.model)
    if args.format == "paddle":
        print(write_pdparams(checkpoint, args.out))
    else:
        print(export_onnx(checkpoint, args.out, args.decode))
