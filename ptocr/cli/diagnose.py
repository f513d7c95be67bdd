"""`ptocr diagnose`: an HTML file per page that shows what was found, rejected and read, and why."""

from __future__ import annotations

import argparse
from pathlib import Path, PurePath

from ptocr.cli.arguments import add_model_arguments, add_runtime_arguments
from ptocr.cli.guard import Failures
from ptocr.cli.ocr import make_pipeline
from ptocr.errors import SpecError
from ptocr.files import Claims, write_atomic

DESCRIPTION = (
    "Explain what happens to a page: resized input, probability map, rejected boxes, direction votes, times, advice."
)
EXAMPLES = (
    "ptocr diagnose page.jpg",
    "ptocr diagnose page.pdf --page 2 --output why.html --text_det_box_thresh 0.4",
    "ptocr diagnose scans/ --output why/",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="IN", help="pictures, PDFs, folders; one report for each file")
    add("--recursive", action="store_true", help="enter the folders of a folder")
    add("--page", type=int, default=1, help="which page of a PDF, from 1")
    add("--output", help="HTML file to write, or a folder for NAME_diagnosis.html (default: the current folder)")
    add("--pipeline", default="OCR")
    add_runtime_arguments(parser)
    add_model_arguments(parser)
    add("--text_det_limit_side_len", type=int)
    add("--text_det_limit_type", choices=["min", "max", "resize_long", "resize_short"])
    for name in ("text_det_thresh", "text_det_box_thresh", "text_det_unclip_ratio", "text_rec_score_thresh"):
        add(f"--{name}", type=float)


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Diagnose page by page, and write a report for each."""
    from ptocr.cli.plan import hint_subfolders
    from ptocr.document.writers.report import to_report
    from ptocr.inputs.read import iter_pages
    from ptocr.pipelines.diagnose import diagnose
    from ptocr.pipelines.predict_options import OCROptions

    names = [name for name in OCROptions.model_fields if getattr(args, name, None) is not None]
    options = OCROptions().merged({name: getattr(args, name) for name in names})
    if args.page < 1:
        raise SpecError(f"--page {args.page}: pages are counted from 1")
    output, claims = _output(args), Claims()
    for name in args.inputs if not args.recursive else ():
        hint_subfolders(name)
    pipeline = make_pipeline(args)
    for page in iter_pages(args.inputs, recursive=args.recursive, page_range=str(args.page), on_error=failures):
        found = diagnose(pipeline, page, options)
        name, target = str(page.input_path), output
        if not _is_html(output):
            target = claims.claim(output, found.result.file_name().stem, "_diagnosis.html", str(Path(name).absolute()))
        write_atomic(target, to_report(found, name).encode("utf-8", errors="replace"))
        print(target, flush=True)


def _output(args: argparse.Namespace) -> Path:
    """The HTML file or the folder that reports go to.

    Raises:
        SpecError: it is a file of another kind, an input, or one file for several inputs.
    """
    from ptocr.inputs.read import count_inputs

    output = Path(args.output or ".")
    if not _is_html(output):
        if output.exists() and not output.is_dir():
            raise SpecError(f"--output {output}: neither a folder nor a name that ends in .html")
        return output
    count = count_inputs(args.inputs, recursive=args.recursive)
    if count > 1:
        raise SpecError(f"--output {output}: one file for {count} inputs; name a folder")
    if output.exists() and any(Path(name).exists() and output.samefile(name) for name in args.inputs):
        raise SpecError(f"--output {output}: is the input")
    return output


def _is_html(path: PurePath) -> bool:
    return path.suffix.lower() in (".html", ".htm")
