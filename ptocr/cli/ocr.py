"""`ptocr ocr`: read pictures and PDFs, into whatever file the output's suffix names."""

from __future__ import annotations

import argparse
import json
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from ptocr.cli.guard import Failures
from ptocr.compat.arguments import flag, shape
from ptocr.document.results import OCRResult
from ptocr.document.writers import SUFFIXES, suffix_of, write_results
from ptocr.document.writers.text import to_txt
from ptocr.errors import SpecError
from ptocr.inputs.read import count_inputs
from ptocr.pipelines.options import OCROptions

DESCRIPTION = (
    "Read pictures, PDFs, folders, URLs. Names of options are PaddleOCR 3.x's; those not given keep the pipeline's."
)
EXAMPLES = (
    "ptocr ocr page.jpg",
    "ptocr ocr scans/ --output scans.json",
    "ptocr ocr book.pdf --page_range 1-3,7 --output book_with_text.pdf",
    "ptocr ocr -i page.jpg --save_path out/ --use_textline_orientation false --device cpu",
    "ptocr ocr meter.jpg --text_rec_allow 0123456789.",
    "ptocr ocr page.jpg --pipeline PP-OCRv4_mobile",
)
MODULES = (
    "doc_orientation_classify", "doc_unwarping", "text_detection", "textline_orientation", "text_recognition",
)  # fmt: skip
WORDS = (".pdf", ".hocr", ".alto", ".alto.xml", ".tsv")  # outputs that say where words are
_BATCHED = ("textline_orientation", "text_recognition")
_OWN = {"on_error", "keep_line_images"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    add = parser.add_argument
    add("inputs", nargs="*", metavar="IN", help="pictures, PDFs, folders, globs, URLs")
    add("-i", "--input", action="append", default=[], help="the same, PaddleOCR's way")
    add("--output", help=f"one file for all pages: {' '.join(SUFFIXES)}")
    add("--save_path", help="folder for NAME_res.json and NAME_ocr_res_img per page")
    add("--format", choices=["text", "json", "paddlex"], default="text",
        help="what goes to standard output: text, one JSON object per page, or PaddleX's print")  # fmt: skip
    add("--pipeline", "--paddlex_config", default="OCR", help="OCR, PP-OCRv4_mobile, or the path of an OCR.yaml")
    add_runtime_arguments(parser)
    add_model_arguments(parser)
    options = parser.add_argument_group("options of predict")
    for name, field in OCROptions.model_fields.items():
        if name not in _OWN:
            kind = _argument(field.annotation)
            options.add_argument(f"--{name}", default=None, **kind)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Other models than the pipeline's."""
    models = parser.add_argument_group("models")
    for module in MODULES:
        models.add_argument(f"--{module}_model_name")
        models.add_argument(f"--{module}_model_dir", help="weights: .pth, .pdparams, Paddle inference folder, ONNX")
        if module in _BATCHED:
            models.add_argument(f"--{module}_batch_size", type=int)


def add_runtime_arguments(parser: argparse.ArgumentParser) -> None:
    """Where and how the networks run."""
    add = parser.add_argument
    add("--device", default="auto", help="auto, cpu, gpu, gpu:0,1 (pages are shared), mps ...")
    add("--precision", "--dtype", default="fp32", choices=["fp32", "bf16", "fp16"])
    add("--compile", default="off", choices=["off", "auto", "aot", "inductor"])
    add("--engine", default="torch", choices=["torch", "onnxruntime", "openvino"])
    add("--cpu_threads", type=int, default=None)


def _argument(annotation: Any) -> dict[str, Any]:
    """How argparse takes a value of an option's type."""
    kinds = [kind for kind in _members(annotation) if kind is not type(None)]
    kind = kinds[0]
    if kind is bool:
        return {"type": flag, "nargs": "?", "const": True, "metavar": "BOOL"}
    if typing.get_origin(kind) is Literal:
        return {"choices": list(typing.get_args(kind))}
    if typing.get_origin(kind) is tuple:
        return {"type": shape, "metavar": "C,H,W"}
    return {"type": kind, "metavar": kind.__name__.upper()}


def _members(annotation: Any) -> tuple[Any, ...]:
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Read and write."""
    inputs = [*args.inputs, *args.input]
    if not inputs:
        raise SpecError("no input: ptocr ocr IN ... (or -i IN)")
    if args.output is not None:
        try:
            suffix_of(args.output)
        except ValueError as error:
            raise SpecError(str(error)) from None
    results = _progress(_results(args, inputs, failures), inputs, args)
    if args.save_path:
        results = _saved(results, args.save_path)
    if args.output is not None:
        for path in write_results(results, args.output):
            print(path, file=sys.stderr)
        return
    show = (lambda _: None) if args.save_path else _SHOWN[args.format]
    for result in results:
        show(result)


def make_pipeline(args: argparse.Namespace) -> Any:
    """The pipeline that the flags describe."""
    from ptocr.pipelines import create_pipeline

    models = {f"{m}_{what}": getattr(args, f"{m}_{what}") for m in MODULES for what in ("model_name", "model_dir")}
    models |= {f"{m}_batch_size": getattr(args, f"{m}_batch_size") for m in _BATCHED}
    return create_pipeline(
        args.pipeline,
        device=args.device,
        dtype=args.precision,
        compile=args.compile,
        engine=args.engine,
        threads=args.cpu_threads,
        **{key: value for key, value in models.items() if value is not None},
    )


def _results(args: argparse.Namespace, inputs: list[str], failures: Failures) -> Iterator[OCRResult]:
    options = {name: getattr(args, name) for name in OCROptions.model_fields if name not in _OWN}
    given = {name: value for name, value in options.items() if value is not None}
    if args.output is not None and suffix_of(args.output) in WORDS:
        given.setdefault("return_word_box", True)
    return make_pipeline(args).predict(inputs, **given, on_error=failures)


def _progress(results: Iterator[OCRResult], inputs: list[str], args: argparse.Namespace) -> Iterable[OCRResult]:
    from tqdm import tqdm

    total = count_inputs(inputs, recursive=bool(args.recursive))
    return tqdm(results, total=total, unit="page", file=sys.stderr, disable=None if total > 1 else True)


def _saved(results: Iterable[OCRResult], folder: str) -> Iterator[OCRResult]:
    for result in results:
        result.save_to_json(folder)
        result.save_to_img(folder)
        yield result


def _show_text(result: OCRResult) -> None:
    name = result.input_path or "-"
    print(f"== {name}" + ("" if result.page_index is None else f" (page {result.page_index + 1})"))
    print(to_txt([result.page.above()]).rstrip("\n"), flush=True)


def _show_json(result: OCRResult) -> None:
    rows = zip(result.rec_polys, result.rec_texts, result.rec_scores, strict=True)
    lines = [{"poly": poly.tolist(), "text": text, "score": float(score)} for poly, text, score in rows]
    record = {"input_path": result.input_path, "page_index": result.page_index, "lines": lines}
    print(json.dumps(record, ensure_ascii=False), flush=True)


_SHOWN: dict[str, Callable[[OCRResult], None]] = {
    "text": _show_text,
    "json": _show_json,
    "paddlex": lambda result: result.print(),
}
