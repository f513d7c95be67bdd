"""`ptocr ocr`: read pictures and PDFs, into whatever files the outputs' suffixes name."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ptocr.cli.arguments import (
    BATCHED,
    MODULES,
    Number,
    OneOf,
    add_device_argument,
    add_model_arguments,
    add_row,
    add_runtime_arguments,
    flag,
)
from ptocr.cli.guard import Failures, say, unstoppable
from ptocr.cli.options import COMMON, GROUPS, OPTIONS, STRUCTURE
from ptocr.compat.arguments import IGNORED, REFUSED, RENAMED, check_allowed, meaningless, newer_names

if TYPE_CHECKING:
    from ptocr.cli.plan import Plan, Source
    from ptocr.cli.sinks import Sinks
    from ptocr.document.results import OCRResult
    from ptocr.errors import InputError
    from ptocr.inputs.page import Page

__all__ = ["add_model_arguments", "add_runtime_arguments", "make_pipeline"]

DESCRIPTION = "Read pictures, PDFs, folders and addresses. Without --output the text goes to standard output."
USAGE_LINE = "ptocr ocr IN ... [--output FILE or FOLDER/] [flags]"
EXAMPLES = (
    "ptocr ocr page.jpg",
    "ptocr ocr scans/ --output scans.json",
    "ptocr ocr scans/ --recursive --output texts/ --format txt,md,pdf --resume",
    "ptocr ocr book.pdf --page_range 1-3,7 --output book_with_text.pdf",
    "ptocr ocr - --output - --format md < page.png",
    "ptocr ocr letter.jpg --lang ko",
    "ptocr ocr -i page.jpg --save_path out/ --use_textline_orientation false --device cpu",
    "ptocr ocr meter.jpg --text_rec_allow 0123456789.",
    "ptocr ocr page.jpg --pipeline PP-OCRv4_mobile",
)
FORMATS = "txt, md, html, docx, xlsx, csv, tex, parquet, tsv, hocr, alto, json, pdf, png, jpg, webp"
_WORDS = (".pdf", ".hocr", ".alto", ".alto.xml", ".tsv")  # outputs that say where words are


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    common = parser.add_argument_group("common")
    add = common.add_argument
    add("inputs", nargs="*", metavar="IN", help="pictures, PDFs, folders, globs, addresses; - is standard input")
    add("--output", "-o", action="append", default=[], metavar="PATH",
        help="a file for all pages, whose suffix says the format (.txt .md .html .docx .xlsx .csv .tex .parquet .tsv "
        ".hocr .alto.xml .json .pdf .png .jpg .webp); or a folder for one file per input; or - for standard output; "
        "may be given several times (default: -)")  # fmt: skip
    add("--format", metavar="F,F",
        help=f"what goes into a folder: {FORMATS}; to standard output: one of them, or text (with headings), json (an "
        "object per page and line), paddlex (its print) (default: txt into folders, else text)")  # fmt: skip
    add("--overwrite", action="store_true", help="replace outputs that exist (default: they are kept, exit status 2)")
    add("--resume", action="store_true", help="skip inputs whose files in the output folder are there (default: off)")
    for option in COMMON:
        add_row(common, *option)
    add("--lang", metavar="L,L",
        help="languages by ISO code or PaddleOCR's name: ko, korean, en,fr (default: the pipeline's: Chinese, English, "
        "Japanese and Latin scripts)")  # fmt: skip
    add_device_argument(common)
    add("--min_score", type=Number(float, 0, 1), metavar="X",
        help="leave out lines below (default: 0.5; 0 in json and pictures)")  # fmt: skip
    _add_more(parser)
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for option in options:
            add_row(group, *option)
    add_runtime_arguments(parser, device=False)
    add_model_arguments(parser)
    _add_other_names(parser)


def _add_more(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("further").add_argument
    add("-i", "--input", action="append", default=[], metavar="IN", help="the same as IN, PaddleOCR's way")
    add(
        "--save_path", metavar="FOLDER", help="NAME_res.json and NAME_ocr_res_img of each page go there (default: none)"
    )
    add("--pipeline", "--paddlex_config", default="OCR", metavar="NAME",
        help="OCR, PP-OCRv4_mobile, structure, table_recognition, or the path of a YAML (default: OCR; structure in "
        "ptocr structure)")  # fmt: skip
    add("--ocr_version", metavar="V", help="PP-OCRv3 ... PP-OCRv6: models of that version (default: the pipeline's)")
    ways = OneOf("skip", "redo")
    add("--existing_text", type=ways, metavar=str(ways), default=None,
        help="pages that have text, in a searchable PDF: they get none; or an older invisible layer is replaced, and "
        "text is added where no visible text stands (default: skip)")  # fmt: skip
    add("--progress", type=flag, nargs="?", const=True, default=None, metavar="BOOL",
        help="a progress bar on standard error (default: where that is a terminal)")  # fmt: skip


def _add_other_names(parser: argparse.ArgumentParser) -> None:
    """PaddleOCR 3.x's flags that steer Paddle's engine or cannot be had, and its older names, all without help."""
    known: dict[str, Any] = {action.dest: action.type for action in parser._actions}
    kinds = {old: known[new] or str for old, new in RENAMED.items()} | dict.fromkeys(REFUSED, str) | IGNORED
    for name, kind in kinds.items():
        several: dict[str, Any] = {"nargs": "?", "const": True} if kind is flag else {}
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS, **several)


def _accept_other_names(args: argparse.Namespace) -> None:
    """Move values to the newer names, name what does nothing.

    Raises:
        SpecError: an option under both names, or one that would change the result and cannot be had.
    """
    given = {name: value for name, value in vars(args).items() if value is not None}
    check_allowed(given, REFUSED)
    for name, value in newer_names(given).items():
        setattr(args, name, value)
    if ignored := [name for name in IGNORED if name in given]:
        say(f"warning: {meaningless(f'--{name}' for name in ignored)}")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Read and write."""
    from ptocr.cli.plan import make_plan
    from ptocr.errors import SpecError

    _accept_other_names(args)
    if not args.inputs and not args.input:
        raise SpecError("no input: ptocr ocr IN ... (or -i IN)")
    reading, options = _options(args)
    plan = make_plan(args)
    if not plan.sources and plan.done:
        say(f"nothing to do: the files of all {plan.done} inputs are there")
        return
    if any(name.endswith(_WORDS) for name in (*map(str, plan.targets.files), *plan.targets.suffixes)):
        options.setdefault("return_word_box", True)
    from ptocr.cli.sinks import Sinks

    pipeline = make_pipeline(args)
    sinks = Sinks(plan, args.min_score, args.overwrite, args.existing_text or "skip")
    failures.done = sinks.what_is_done
    feed = Feed(plan, reading, failures)
    try:
        _read(pipeline, feed, sinks, options, args.progress)
        sinks.end(feed.ended())
        sinks.close()
    except BaseException:
        with unstoppable():
            sinks.stop(feed.ended())
        raise
    sinks.report()


def _options(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of `iter_pages` and those of `predict`, checked."""
    from ptocr.pipelines.predict_options import OCROptions, ReadingOptions, StructureOptions

    rows = (*OPTIONS, *(option for option in STRUCTURE if option.name in args))
    given = {option.name: value for option in rows if (value := getattr(args, option.name)) is not None}
    checked = (StructureOptions if len(rows) > len(OPTIONS) else OCROptions)().merged(given)
    return checked.reading(), {name: given[name] for name in given if name not in ReadingOptions.model_fields}


def make_pipeline(args: argparse.Namespace) -> Any:
    """The pipeline that the flags describe."""
    from ptocr.pipelines import create_pipeline

    models = {f"{m}_{what}": getattr(args, f"{m}_{what}") for m in MODULES for what in ("model_name", "model_dir")}
    models |= {f"{m}_batch_size": getattr(args, f"{m}_batch_size") for m in BATCHED}
    models |= {name: getattr(args, name, None) for name in ("lang", "ocr_version", "profile")}
    return create_pipeline(
        args.pipeline,
        device=args.device,
        dtype=args.precision,
        compile=args.compile,
        engine=args.engine,
        threads=args.cpu_threads,
        **{key: value for key, value in models.items() if value is not None},
    )


class Feed:
    """The pages of all sources as one stream, with a record of which source each page is from and when one ends."""

    def __init__(self, plan: Plan, reading: dict[str, Any], failures: Failures) -> None:
        self.plan = plan
        self.reading = reading
        self.failures = failures
        self.more = 0  # pages beyond one per source, as far as is known
        self._events: deque[tuple[int, Page | None]] = deque()  # in order; None: the source has ended

    def __iter__(self) -> Iterator[Page]:
        for number, source in enumerate(self.plan.sources):
            yield from self._pages(number, source)
            self._events.append((number, None))

    def _pages(self, number: int, source: Source | InputError) -> Iterator[Page]:
        from ptocr.errors import InputError
        from ptocr.inputs.page import ReadOptions, select_pages
        from ptocr.inputs.read import iter_pages

        if isinstance(source, InputError):
            self.failures(source)
            return
        options = {**self.reading, "on_error": self.failures}
        for count, page in enumerate(iter_pages(source.value, **options)):
            if count == 0 and page.page_count > 1:
                limits = ReadOptions(max_pages=options["max_pages"], page_range=options.get("page_range"))
                self.more += len(select_pages(page.page_count, limits, source.name)) - 1
            self._events.append((number, page))
            yield page

    def place(self, result: OCRResult) -> tuple[int, list[int]]:
        """The source that a result belongs to, and the sources that have ended before it or with it."""
        ended = []
        while self._events:
            number, page = self._events.popleft()
            if page is None:
                ended.append(number)
            elif page.input_path == result.input_path and page.page_index == result.page_index:
                if page.page_count == 1:
                    ended.append(number)
                return number, ended
        raise RuntimeError(f"{result.input_path}: a result without its page")

    def ended(self) -> list[int]:
        """Sources that have ended since, as far as is known without waiting."""
        ended = []
        while self._events and self._events[0][1] is None:
            ended.append(self._events.popleft()[0])
        return ended


def _read(pipeline: Any, feed: Feed, sinks: Sinks, options: dict[str, Any], progress: bool | None) -> None:
    """Pages through the pipeline into the sinks."""
    from tqdm import tqdm

    sources = len(feed.plan.sources)
    hidden = not progress if progress is not None else (None if sources > 1 else True)
    with tqdm(total=sources, unit="page", file=sys.stderr, disable=hidden) as bar:
        for result in pipeline.predict(iter(feed), **options, on_error=feed.failures):
            number, ended = feed.place(result)
            sinks.add(number, result)
            sinks.end(ended + feed.ended())
            bar.total = max(sources + feed.more, bar.n + 1)
            bar.update()
            bar.set_postfix_str(f"{sinks.lines / max(bar.format_dict['elapsed'], 1e-3):.1f} lines/s", refresh=False)
