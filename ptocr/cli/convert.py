"""`ptocr convert` and `converters/convert.py`: official weights -> `.pth`."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from ptocr.cli.guard import Failures
from ptocr.errors import InputError, PtocrError, SpecError
from ptocr.files import same_file

DESCRIPTION = (
    "Convert official weights (.pdparams, a Paddle inference folder, ONNX, .safetensors, a .tar of one of these) to "
    "the .pth of ptocr. Nothing is written when anything does not fit."
)
EXAMPLES = (
    "ptocr convert --src PP-OCRv4_mobile_rec_infer/",
    "ptocr convert --src mine.pdparams --config mine.yml --charset dict.txt --out mine.pth",
    "ptocr convert --all models/ --out converted/",
)


@dataclass(frozen=True)
class Conversion:
    """One line of the table: what became of one source."""

    source: Path
    model: str = "failed"
    format: str = ""
    form: str = ""
    classes: str = ""
    tensors: str = ""
    seconds: str = ""
    out: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--src", "--src_model_path", type=Path, help="file or folder with weights")
    what.add_argument("--all", type=Path, metavar="DIR", help="every model found below this folder; prints a table")
    add("--model", help="name of the model (`ptocr models`); not given: recognised from the weights")
    add(
        "--config",
        "--yaml_path",
        type=Path,
        help="PaddleOCR training YAML that belongs to the weights, for models of your own",
    )
    add(
        "--charset",
        "--dict_path",
        type=Path,
        help="character dictionary, one per line; not given: what comes with the weights",
    )
    add("--prefer", choices=["Student", "Student2", "Teacher"], help="which network of a distillation checkpoint")
    add(
        "--out",
        "--dst_model_path",
        "--output_path",
        type=Path,
        help=".pth or folder to write; with --all a folder (default: NAME.pth; ./converted)",
    )


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Convert one source, or all below a folder."""
    if args.model and args.config:
        raise SpecError("--model and --config both say what the weights are; give one of them")
    if args.all is not None:
        _convert_all(args, failures)
        return
    done = _convert(args.src, args, args.out)
    classes = f", {done.classes} classes" if done.classes else ""
    print(f"{done.out}: {done.model}, {done.form} form, {done.tensors} tensors{classes}, {done.seconds} s")


def _convert(src: Path, args: argparse.Namespace, out: Path | None, folder: Path | None = None) -> Conversion:
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
    if out is not None and same_file(out, src):
        raise SpecError(f"{out}: is --src itself; give another --out")
    target = out or (_free(folder, name, src) if folder is not None else Path(f"{name}.pth"))
    save_checkpoint(target, checkpoint)
    return Conversion(
        source=src,
        model=name,
        format=checkpoint.source["format"],
        form=checkpoint.form,
        classes=str(checkpoint.classes or ""),
        tensors=str(len(checkpoint.state_dict)),
        seconds=f"{time.perf_counter() - begun:.1f}",
        out=str(target),
    )


def _free(folder: Path, name: str, src: Path) -> Path:
    """A file name in `folder` that is not taken: several sources may be the same model."""
    names = [name, f"{name}-{src.stem}", *(f"{name}-{src.stem}-{number}" for number in range(2, 1000))]
    return next(path for path in (folder / f"{stem}.pth" for stem in names) if not path.exists())


def _convert_all(args: argparse.Namespace, failures: Failures) -> None:
    from ptocr.convert.discover import find_sources

    outcomes = []
    for src in find_sources(args.all):
        try:
            outcomes.append(_convert(src, args, None, args.out or Path("converted")))
        except PtocrError as error:
            failures(InputError(str(error)))
            outcomes.append(Conversion(src))
    head = ("source", "model", "format", "form", "classes", "tensors", "seconds", "written")
    rows = [head]
    for o in outcomes:
        place = str(o.source.relative_to(args.all))
        rows.append((place, o.model, o.format, o.form, o.classes, o.tensors, o.seconds, o.out))
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
