"""`tools/infer/predict_{system,det,rec,cls,e2e}.py`: PaddleOCR 2.x's flags over our pipelines and models."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from ptocr.cli.arguments import Parser
from ptocr.cli.guard import Failures, guarded
from ptocr.cli.plan import refuse_derived
from ptocr.compat import paddle2
from ptocr.compat.arguments import flag, meaningless, shape
from ptocr.document.results import ClsResult, DetResult, OCRResult, RecResult, Result
from ptocr.errors import SpecError
from ptocr.files import Claims, write_atomic
from ptocr.inputs.read import count_inputs, list_inputs
from ptocr.pipelines import create_model, create_pipeline
from ptocr.pipelines.config import load_pipeline
from ptocr.spec.settings import DBPostprocess

SR_SIZE = "3, 32, 128"  # of the lines that super-resolution gives
DROP_SCORE = 0.5  # PaddleOCR 2.x's and PaddleOCR2Pytorch's
# Names of pictures that results are drawn into, of enlarged lines, of lines that are cut out.
DRAWN = re.compile(r"(?P<stem>.+?)(_\d+)?(~\d+)?_(res|ocr_res_img|preprocessed_img)\.\w+")
ENLARGED = re.compile(r"sr_(?P<stem>.+?)(_\d+)?(~\d+)?\.png")
CROPS = re.compile(r"mg_crop_\d+\.jpg")
# Where 2.x's settings hold but its flags do not say which way up lines are: 2.x would lose those upside-down.
UPRIGHT = {"use_textline_orientation": True, "textline_orientation": "lines"}


@dataclass(frozen=True)
class _Alone:
    """How a module of the pipeline runs alone. module: what our keywords call it; begins: what 2.x's flags about it
    begin with; options: of the pipeline's `predict` -> of the model's; settings: the pipeline's own that hold too."""

    module: str
    begins: str
    options: Mapping[str, str]
    settings: tuple[str, ...] = ()


_DETECTS = ("limit_side_len", "limit_type", "thresh", "box_thresh", "unclip_ratio")
_DET = _Alone(
    "text_detection",
    "det",
    {f"text_det_{name}": name for name in (*_DETECTS, "use_dilation", "score_mode", "box_type")},
    (*_DETECTS, "max_side_limit"),
)
_REC = _Alone("text_recognition", "rec", {"text_rec_image_shape": "image_shape", "rec_padding": "padding"})
_CLS = _Alone("textline_orientation", "cls", {"textline_orientation_image_shape": "image_shape"})


def parser_of(description: str) -> argparse.ArgumentParser:
    """The parser of all four commands: PaddleOCR 2.x has one for all, too."""
    parser = Parser(description=description)
    add = parser.add_argument
    add("--image_dir", required=True, nargs="+", metavar="IN", help="pictures, PDFs, folders, globs, URLs")
    add("--recursive", type=flag, default=False, nargs="?", const=True, help="enter folders below a folder")
    add("--format", default="text", choices=["text", "json"], help="what goes to standard output")
    add("--device", default="auto", help="auto, cpu, gpu, gpu:1, mps ...")
    add("--compile", default="off", choices=["off", "auto", "aot", "inductor"], help="compiled networks")
    add(
        "--engine",
        default="auto",
        choices=["auto", "native", "torch", "onnxruntime", "openvino"],
        help="what runs the networks",
    )
    add("--model_path", "--model_dir", help="weights of the one model of predict_det, predict_rec or predict_cls")
    add_options(parser)
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """PaddleOCR 2.x's options, grouped by what becomes of them."""
    acting = parser.add_argument_group("PaddleOCR 2.x's options")
    for name, option in paddle2.ACTS.items():
        _add(acting, [name, *option.also], option.kind, option.help, option.choices)
    refused = parser.add_argument_group("options of which only some values can be had")
    for name, (allowed, why) in paddle2.REFUSED.items():
        there = f"; there is {', '.join(map(str, allowed))}" if allowed else ""
        _add(refused, [name], flag if allowed == (False,) else str, f"{why}{there}")
    silent = parser.add_argument_group("options taken and without effect here")
    for name, kind in paddle2.IGNORED.items():
        _add(silent, [name], kind, argparse.SUPPRESS)


def _add(group: Any, names: Sequence[str], kind: Callable[[str], Any], help: str, choices: Any = None) -> None:
    flags = [f"--{name}" for name in names]
    if kind is flag:
        group.add_argument(*flags, type=kind, default=None, nargs="?", const=True, metavar="BOOL", help=help)
    elif names[0] in ("onnx_providers", "label_list"):
        group.add_argument(*flags, nargs="+", default=None, help=help)
    else:
        group.add_argument(*flags, type=kind, default=None, choices=choices, help=help)


class _Run:
    """The flags of one command line as options of ours, and what goes in and out."""

    def __init__(
        self,
        args: argparse.Namespace,
        failures: Failures,
        alone: _Alone | None = None,
        own: Collection[str] = (),
    ) -> None:
        """own: names of flags that are the command's own matter."""
        self.args, self.failures = args, failures
        names = [name for name in (*paddle2.ACTS, *paddle2.REFUSED, *paddle2.IGNORED) if name not in own]
        given = {name: getattr(args, name) for name in names}
        if args.model_path is not None:
            if alone is None:
                raise SpecError("model_path: of which model? give --det_model_path, --rec_model_path, --cls_model_path")
            given[f"{alone.begins}_model_dir"] = given[f"{alone.begins}_model_dir"] or args.model_path
        self.call = paddle2.translate(given)
        defaults = self.call.defaults | (UPRIGHT if self.call.defaults else {})
        self.options = {"text_rec_score_thresh": DROP_SCORE, **defaults, **self.call.predict}
        if self.call.ignored:
            self.say(f"warning: {meaningless(f'--{name}' for name in self.call.ignored)}")
        for note in self.call.notes:
            self.say(f"note: {note}")
        if args.vis_font_path:
            os.environ["PTOCR_FONT"] = args.vis_font_path
        self.inputs = self._share()
        folder = args.draw_img_save_dir
        self.folder = "./inference_results" if folder is None else folder

    def keep_inputs(self, folder: str, derived: re.Pattern[str], option: str = "--draw_img_save_dir") -> None:
        """Raises SpecError where results in `folder`, whose names `derived` describes, could overwrite inputs."""
        files = [name for name in list_inputs(self.inputs, recursive=self.args.recursive) if isinstance(name, str)]
        if folder:
            refuse_derived(Path(folder), files, option, derived)

    @staticmethod
    def say(text: str) -> None:
        print(text, file=sys.stderr)

    def _share(self) -> Any:
        """The inputs that are this process's: `process_id` of `total_process_num`, unless `use_mp` has workers."""
        given, total = self.args.image_dir, self.args.total_process_num or 1
        number = self.args.process_id or 0
        if total < 1 or not 0 <= number < total:
            raise SpecError(f"process_id={number} with total_process_num={total}: it counts from 0 to {total - 1}")
        if self.args.use_mp or total == 1:
            return given[0] if len(given) == 1 else given
        return list_inputs(given, recursive=self.args.recursive)[number::total]

    @property
    def runtime(self) -> dict[str, Any]:
        """Options of `create_pipeline` and `create_model` about where and how the networks run."""
        own = {"device": self.args.device, "compile": self.args.compile, "engine": self.args.engine}
        names = ("device", "dtype", "threads", "engine")
        return own | {name: self.call.create[name] for name in names if name in self.call.create}

    @property
    def reading(self) -> dict[str, Any]:
        """Options of `predict` about the inputs."""
        pages = self.options.get("max_pages", 0)
        return {"recursive": self.args.recursive, "max_pages": pages, "on_error": self.failures}

    def progress(self, results: Iterable[Any]) -> Iterable[Any]:
        from tqdm import tqdm

        total = count_inputs(self.inputs, recursive=self.args.recursive)
        return tqdm(results, total=total, unit="page", file=sys.stderr, disable=None if total > 1 else True)

    def emit(self, result: Result, lines: list[dict[str, Any]]) -> None:
        """One page on standard output, as text or as one JSON object on one line."""
        if self.args.format == "json":
            record = {"input_path": result.input_path, "page_index": result.page_index, "lines": lines}
            print(json.dumps(record, ensure_ascii=False), flush=True)
            return
        print(f"{_name(result)}: {len(lines)} line{'' if len(lines) == 1 else 's'}")
        for line in lines:
            parts = [" ".join(f"{x},{y}" for x, y in line["poly"])] if "poly" in line else []
            parts += [line["text"]] if "text" in line else []
            print("\t".join([*parts, f"{line['score']:.4f}"]))
        sys.stdout.flush()


def _name(result: Result) -> str:
    page = "" if result.page_index is None else f" (page {result.page_index + 1})"
    return f"{result.input_path}{page}"


class _ResultFile:
    """A result file of `name<TAB>json` lines, written whole at the end, also after an interruption."""

    def __init__(self, folder: str, name: str) -> None:
        self.path = Path(folder) / name if folder else None
        self.lines: list[str] = []

    def __enter__(self) -> _ResultFile:
        return self

    def add(self, result: Result, content: list[Any]) -> None:
        stem = Path(result.input_path or "page").name
        label = stem if result.page_index is None else f"{stem}_{result.page_index}"
        self.lines.append(f"{label}\t{json.dumps(content, ensure_ascii=False)}\n")

    def __exit__(self, *_: object) -> None:
        if self.path is not None and self.lines:
            write_atomic(self.path, "".join(self.lines).encode("utf-8", errors="replace"))
            print(f"pictures and {self.path.name}: {self.path.parent}", file=sys.stderr)


def predict_system(argv: Sequence[str] | None = None) -> int:
    """Detect, classify, recognise. Returns the exit code."""
    args = parser_of("Find and read the text of pictures and PDFs.").parse_args(argv)
    with guarded(args) as failures:
        _system(args, failures)
    return failures.code


def _system(args: argparse.Namespace, failures: Failures) -> None:
    run = _Run(args, failures)
    create = run.call.create | run.runtime
    if args.use_mp and args.total_process_num:
        create["device"] = ",".join([create["device"]] * args.total_process_num)
    pipeline = create_pipeline("OCR", **create)
    options = run.options | {"keep_line_images": bool(args.save_crop_res)}
    if args.warmup:
        pipeline.warm_up(**options)
    crops, crops_folder = 0, args.crop_res_save_dir or "./output"
    run.keep_inputs(run.folder, DRAWN)
    if args.save_crop_res:
        run.keep_inputs(crops_folder, CROPS, "--crop_res_save_dir")
    with _ResultFile(run.folder, "system_results.txt") as record:
        for result in run.progress(pipeline.predict(run.inputs, **options | run.reading)):
            lines = _lines(result)
            run.emit(result, lines)
            record.add(result, [{"transcription": line["text"], "points": line["poly"]} for line in lines])
            _hint(result)
            if run.folder:
                result.save_to_img(run.folder)
            crops = _save_crops(result, crops_folder, crops)
            logging.info("%s: %s", _name(result), ", ".join(f"{k} {v:.3f} s" for k, v in result.timings.items()))


def _lines(result: OCRResult) -> list[dict[str, Any]]:
    rows = zip(result.rec_polys, result.rec_texts, result.rec_scores, strict=True)
    return [{"poly": poly.tolist(), "text": text, "score": float(score)} for poly, text, score in rows]


def _hint(result: OCRResult) -> None:
    """Say that regions were found whose text scored too little to be shown."""
    hidden = len(result.dt_polys) - len(result.rec_polys)
    if hidden > 0 and result.text_rec_score_thresh > 0:
        what = "a region" if hidden == 1 else f"{hidden} regions"
        print(f"hint: {_name(result)}: {what} with text below --drop_score {result.text_rec_score_thresh:g} left out; "
              "--drop_score 0 shows all", file=sys.stderr)  # fmt: skip


def _save_crops(result: OCRResult, folder: str, start: int) -> int:
    """Line pictures under upstream's names; returns the next free number."""
    for number, crop in enumerate(result.line_images or [], start=start):
        write_atomic(Path(folder) / f"mg_crop_{number}.jpg", cv2.imencode(".jpg", crop)[1].tobytes())
    return start + len(result.line_images or [])


def _alone(run: _Run, what: _Alone) -> Iterator[Any]:
    """The results of one model alone, the pipeline's where none was given. Uses its batch size for recognition."""
    pipeline = load_pipeline("OCR")
    module = pipeline.modules()[pipeline.short[what.module][-1]]
    chosen = run.call.models.get(what.module, module.model_name)
    model = create_model(model_dir=chosen, charset=run.call.create.get(f"{what.module}_charset"), **run.runtime)
    labels = run.args.label_list or ()
    if what is _CLS and len(labels) > 1 and tuple(labels) != model.spec.labels:
        raise SpecError(f"label_list {' '.join(labels)}: {chosen} has the classes {' '.join(model.spec.labels)}")
    if run.args.warmup:
        model.runtime.warm_up()
    post = model.runtime.checkpoint.spec.postprocess
    kept = what is _DET and not isinstance(post, DBPostprocess)  # a pipeline's thresholds are those of DB
    options = {} if kept else {name: getattr(module, name) for name in what.settings}
    options |= {ours: run.options[theirs] for theirs, ours in what.options.items() if theirs in run.options}
    size = getattr(run.args, f"{what.begins}_batch_num", None) or module.batch_size
    return iter(run.progress(model.predict(run.inputs, batch_size=size, **options, **run.reading)))


def predict_det(argv: Sequence[str] | None = None) -> int:
    """Detect only. Returns the exit code."""
    args = parser_of("Find the text lines of pictures and PDFs.").parse_args(argv)
    with guarded(args) as failures:
        _det(args, failures)
    return failures.code


def _det(args: argparse.Namespace, failures: Failures) -> None:
    run = _Run(args, failures, _DET)
    run.keep_inputs(run.folder, DRAWN)
    with _ResultFile(run.folder, "det_results.txt") as record:
        for result in _alone(run, _DET):
            assert isinstance(result, DetResult)
            rows = zip(result.dt_polys, result.dt_scores, strict=True)
            lines = [{"poly": poly.tolist(), "score": float(score)} for poly, score in rows]
            run.emit(result, lines)
            record.add(result, [line["poly"] for line in lines])
            if run.folder:
                result.save_to_img(run.folder)


def predict_rec(argv: Sequence[str] | None = None) -> int:
    """Read pictures of single lines. Returns the exit code."""
    args = parser_of("Read pictures that each show one line.").parse_args(argv)
    with guarded(args) as failures:
        _rec(args, failures)
    return failures.code


def _rec(args: argparse.Namespace, failures: Failures) -> None:
    run = _Run(args, failures, _REC)
    for result in _alone(run, _REC):
        assert isinstance(result, RecResult)
        run.emit(result, [{"text": result.rec_text, "score": result.rec_score}])


def predict_sr(argv: Sequence[str] | None = None) -> int:
    """Make pictures of single lines larger. Returns the exit code."""
    args = parser_of("Make pictures that each show one line larger and sharper.").parse_args(argv)
    with guarded(args) as failures:
        _sr(args, failures)
    return failures.code


def _sr(args: argparse.Namespace, failures: Failures) -> None:
    names = ("sr_model_dir", "sr_model_path", "sr_yaml_path", "sr_image_shape", "sr_batch_num")
    given = {name: vars(args)[name] for name in names}
    vars(args).update(dict.fromkeys(names))  # they act here, and with no other command
    weights = given["sr_model_dir"] or given["sr_model_path"] or args.model_path
    args.model_path = None
    if weights is None:
        raise SpecError("predict_sr: give the weights with --sr_model_path")
    if given["sr_image_shape"] not in (None, SR_SIZE) and shape(given["sr_image_shape"]) != shape(SR_SIZE):
        raise SpecError(f"sr_image_shape={given['sr_image_shape']!r}: lines become {SR_SIZE} in size")
    if given["sr_yaml_path"]:
        weights = paddle2.described_as(weights, given["sr_yaml_path"], None)
    run = _Run(args, failures)
    model = create_model(model_dir=weights, **run.runtime)
    folder, claims = args.draw_img_save_dir or "./infer_result", Claims()
    run.keep_inputs(folder, ENLARGED)
    size = int(given["sr_batch_num"] or 1)
    for result in run.progress(model.predict(run.inputs, batch_size=size, **run.reading)):
        target = claims.claim(Path(folder), f"sr_{result.stem()}", ".png", _name(result))
        result.save_to_img(target)
        print(f"{_name(result)}: {target}")


def predict_cls(argv: Sequence[str] | None = None) -> int:
    """Say whether line pictures are upside down. Returns the exit code."""
    args = parser_of("Say which way up pictures of single lines are.").parse_args(argv)
    with guarded(args) as failures:
        _cls(args, failures)
    return failures.code


def _cls(args: argparse.Namespace, failures: Failures) -> None:
    run = _Run(args, failures, _CLS)
    threshold = run.options.get("textline_orientation_thresh", paddle2.ACTS["cls_thresh"].legacy)
    for result in _alone(run, _CLS):
        assert isinstance(result, ClsResult)
        label, score = result.label_names[0], result.scores[0]
        turned = label.startswith("180") and score > threshold
        run.emit(result, [{"text": label, "score": score, "turned": turned}])


def predict_e2e(argv: Sequence[str] | None = None) -> int:
    """Find and read lines with one network. Returns the exit code."""
    args = parser_of("Find and read the text of pictures and PDFs with one end-to-end network.").parse_args(argv)
    with guarded(args) as failures:
        _e2e(args, failures)
    return failures.code


def _e2e(args: argparse.Namespace, failures: Failures) -> None:
    args.e2e_model_dir, args.model_path = args.e2e_model_dir or args.e2e_model_path or args.model_path, None
    args.e2e_model_path = args.e2e_model_dir
    run = _Run(args, failures, own=paddle2.SPOTTING)
    run.keep_inputs(run.folder, DRAWN)
    own = paddle2.translate_spotting({name: getattr(args, name) for name in paddle2.SPOTTING})
    pipeline = create_pipeline("PGNet", **own, **run.runtime)
    if args.warmup:
        pipeline.warm_up()
    with _ResultFile(run.folder, "e2e_results.txt") as record:
        for result in run.progress(pipeline.predict(run.inputs, **run.reading)):
            lines = _lines(result)
            run.emit(result, lines)
            record.add(result, [{"transcription": line["text"], "points": line["poly"]} for line in lines])
            if run.folder:
                result.save_to_img(run.folder)
