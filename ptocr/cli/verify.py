"""`ptocr verify` and `converters/verify.py`: parity report of a converted file."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptocr.cli.guard import Failures
from ptocr.errors import WeightsError

DESCRIPTION = (
    "Compare a .pth with what it should equal: weights layer by layer, and outputs where the reference has some (ONNX "
    "with onnxruntime installed, golden.npz). Exit code 1 and the first layer that differs when something does."
)
EXAMPLES = (
    "ptocr verify rec.pth --against ch_PP-OCRv4_rec_infer.onnx",
    "ptocr verify rec.pth --against PP-OCRv4_mobile_rec_infer/ --verbose",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    add = parser.add_argument
    add("pth", type=Path, help="the .pth to check")
    against = "ONNX file, Paddle inference folder, .pdparams, another .pth, or a folder with golden.npz"
    add("--against", type=Path, required=True, help=against)
    add("--tolerance", type=float, help="allowed difference of weights, relative to the largest of the layer")
    add("-v", "--verbose", action="store_true", help="print every layer")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Print the report; a difference counts as a failure."""
    from ptocr.convert.compare import verify

    result = verify(args.pth, args.against, args.tolerance)
    if not result.rows:
        raise WeightsError(f"{args.against}: nothing in it to compare with")
    shown = result.rows if args.verbose else [row for row in result.rows if row.name.startswith(("out", "mid"))]
    for row in shown:
        print(f"{'ok  ' if row.ok else 'DIFF'}  {row.difference:.2e} (limit {row.limit:.1e})  {row.name}  {row.what}")
    for note in result.notes:
        print(f"note: {note}")
    first = result.first
    if first is None:
        print(f"{args.pth} equals {args.against}: {len(result.rows)} layers and tensors compared")
        return
    failures.count += 1
    count = sum(not row.ok for row in result.rows)
    print(
        f"{args.pth} differs from {args.against} in {count} of {len(result.rows)}; the first is {first.name} "
        f"({first.what}): difference {first.difference:.3g}, allowed {first.limit:.3g}"
    )
