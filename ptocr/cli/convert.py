"""`ptocr convert` and `converters/convert.py`, `converters/verify.py`."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ptocr.errors import PtocrError

DONE, SOME_FAILED, USAGE = 0, 1, 2


@dataclass(frozen=True)
class Outcome:
    """One line of the table: what became of one source."""

    source: Path
    model: str = ""
    format: str = ""
    form: str = ""
    classes: str = ""
    tensors: int = 0
    seconds: float = 0.0
    out: Path | None = None
    error: str = ""


def _parser(prog: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Official weights (.pdparams, Paddle inference folder, ONNX, .safetensors, .tar of these) -> .pth",
    )
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--src", type=Path, help="file or folder with weights")
    what.add_argument(
        "--all", type=Path, metavar="DIR", help="convert every model found below this folder, print a table"
    )
    add("--model", help="name of the model (`ptocr models`); not given: recognised from the weights")
    add("--config", type=Path, help="PaddleOCR training YAML that belongs to the weights, for models of your own")
    add("--charset", type=Path, help="character dictionary, one per line; not given: what comes with the weights")
    add("--prefer", choices=["Student", "Student2", "Teacher"], help="which network of a distillation checkpoint")
    add("--out", type=Path, help=".pth or folder to write; with --all a folder (default: NAME.pth; ./converted)")
    add("-v", "--verbose", action="store_true", help="say what is done")
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """The converter's command line; returns the exit code."""
    parser = _parser(prog)
    args = parser.parse_args(argv)
    if args.model and args.config:
        parser.error("--model and --config both say what the weights are; give one of them")
    _log(args.verbose)
    if args.all is not None:
        return _convert_all(args)
    try:
        outcome = _convert(args.src, args, args.out)
    except PtocrError as error:
        print(error, file=sys.stderr)
        return USAGE
    print(f"{outcome.out}: {outcome.model}, {outcome.form} form, {outcome.tensors} tensors"
          + (f", {outcome.classes} classes" if outcome.classes else "") + f", {outcome.seconds:.1f} s")  # fmt: skip
    return DONE


def _log(verbose: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("ptocr")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)


def _convert(src: Path, args: argparse.Namespace, out: Path | None, folder: Path | None = None) -> Outcome:
    from ptocr.checkpoint import save_checkpoint
    from ptocr.convert.convert import convert
    from ptocr.convert.paddle_yaml import spec_from_paddle

    begun = time.perf_counter()
    model, charset = args.model, args.charset
    if args.config is not None:
        model, dictionary = spec_from_paddle(args.config, args.prefer)
        charset = charset or dictionary
    checkpoint = convert(src, model=model, charset=charset, prefer=args.prefer)
    name = checkpoint.spec.name
    if out is not None and out.is_dir():
        out = out / f"{name}.pth"
    target = out or (folder or Path()) / f"{name}.pth"
    if folder is not None and target.exists():
        target = _free(folder, name, src)
    save_checkpoint(target, checkpoint)
    return Outcome(
        src, name, checkpoint.source["format"], checkpoint.form, str(checkpoint.classes or ""),
        len(checkpoint.state_dict), time.perf_counter() - begun, target,
    )  # fmt: skip


def _free(folder: Path, name: str, src: Path) -> Path:
    """A file name for a second source of the same model."""
    base = f"{name}-{src.stem}"
    number = 2
    target = folder / f"{base}.pth"
    while target.exists():
        target = folder / f"{base}-{number}.pth"
        number += 1
    return target


def _convert_all(args: argparse.Namespace) -> int:
    from ptocr.convert.discover import find_sources

    folder = args.out or Path("converted")
    outcomes = []
    try:
        sources = find_sources(args.all)
    except PtocrError as error:
        print(error, file=sys.stderr)
        return USAGE
    for src in sources:
        try:
            outcomes.append(_convert(src, args, None, folder))
        except PtocrError as error:
            outcomes.append(Outcome(src, error=str(error)))
    _table(outcomes, args.all)
    for outcome in outcomes:
        if outcome.error:
            print(outcome.error, file=sys.stderr)
    return SOME_FAILED if any(o.error for o in outcomes) else DONE


def _table(outcomes: list[Outcome], root: Path) -> None:
    head = ("source", "model", "format", "form", "classes", "tensors", "seconds", "written")
    rows = [
        (str(o.source.relative_to(root)), o.model or "failed", o.format, o.form, o.classes,
         str(o.tensors) if o.out else "", f"{o.seconds:.1f}" if o.out else "", str(o.out or ""))
        for o in outcomes
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def verify_main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Parity report of a `.pth`; exit code 1 when something differs."""
    parser = argparse.ArgumentParser(prog=prog, description="Compare a converted .pth with what it should equal")
    add = parser.add_argument
    add("pth", type=Path, help="the .pth to check")
    add("--against", type=Path, required=True, help="ONNX file, Paddle inference folder, .pdparams, another .pth, or a "
        "folder with golden.npz")  # fmt: skip
    add("--tolerance", type=float, help="allowed difference of weights, relative to the largest of the layer")
    add("-v", "--verbose", action="store_true", help="print every layer")
    args = parser.parse_args(argv)
    _log(args.verbose)
    from ptocr.convert.compare import Comparison, verify

    try:
        result: Comparison = verify(args.pth, args.against, args.tolerance)
    except PtocrError as error:
        print(error, file=sys.stderr)
        return USAGE
    for row in result.rows if args.verbose else [r for r in result.rows if r.name.startswith(("out", "mid"))]:
        print(f"{'ok  ' if row.ok else 'DIFF'}  {row.difference:.2e} (limit {row.limit:.1e})  {row.name}  {row.what}")
    for note in result.notes:
        print(f"note: {note}")
    if (first := result.first) is not None:
        count = sum(not row.ok for row in result.rows)
        print(
            f"{args.pth} differs from {args.against} in {count} of {len(result.rows)}; the first is {first.name} "
            f"({first.what}): difference {first.difference:.3g}, allowed {first.limit:.3g}"
        )
        return SOME_FAILED
    if not result.rows:
        print(f"{args.against}: nothing to compare with", file=sys.stderr)
        return USAGE
    print(f"{args.pth} equals {args.against}: {len(result.rows)} layers and tensors compared")
    return DONE
