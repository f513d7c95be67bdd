"""`ptocr export`: a model in another format."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptocr.cli.guard import Failures
from ptocr.errors import SpecError

DESCRIPTION = (
    "Write a model as ONNX with dynamic sizes (character set and preprocessing travel in its metadata), as the "
    ".pdparams that Paddle trains on, or as safetensors; or publish it on a Hugging Face hub, with a model card."
)
EXAMPLES = (
    "ptocr export --model PP-OCRv4_mobile_rec --out rec.onnx",
    "ptocr export --model my_finetuned.pth --out mine.onnx --decode",
    "ptocr export --model my_finetuned.pth --out mine.pdparams --paddle",
    "ptocr export --model my_finetuned.pth --out mine.safetensors --format safetensors",
    "ptocr export --model my_finetuned.pth --hub me/my-recogniser --private",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    parser.add_argument("--model", required=True, help="a model's name, or a file with weights")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, help="the file to write")
    where.add_argument(
        "--hub", metavar="OWNER/NAME", help="upload safetensors and model card (`hf auth login`, HF_TOKEN)"
    )
    parser.add_argument("--private", action="store_true", help="a new repository of --hub is private")
    parser.add_argument("--format", choices=["onnx", "paddle", "safetensors"], help="default: onnx; paddle: .pdparams")
    parser.add_argument("--paddle", dest="format", action="store_const", const="paddle", help="as --format paddle")
    parser.add_argument("--decode", action="store_true", help="recognisers: best class and probability per step only")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Export and print the path."""
    from ptocr.weights import store

    if args.hub and (args.format or args.decode):
        raise SpecError("--hub uploads safetensors; leave --format and --decode")
    if args.private and not args.hub:
        raise SpecError("--private is for --hub")
    if args.format == "safetensors" and args.out.suffix != ".safetensors":
        raise SpecError(f"--out {args.out}: a file of this format ends in .safetensors")
    checkpoint = store.load(args.model)
    if args.hub:
        from ptocr.weights.hub_upload import upload

        print(upload(checkpoint, args.hub, args.private))
    elif args.format == "safetensors":
        from ptocr.checkpoint import save_checkpoint

        save_checkpoint(args.out, checkpoint)
        print(args.out)
    elif args.format == "paddle":
        from ptocr.convert.to_paddle import write_pdparams

        print(write_pdparams(checkpoint, args.out))
    else:
        from ptocr.runtime.onnx import export_onnx

        print(export_onnx(checkpoint, args.out, args.decode))
