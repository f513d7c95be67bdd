"""`ptocr compat PROGRAM ...`: command lines of paddleocr (2.x and 3.x), paddlex and rapidocr as they are."""

from __future__ import annotations

import argparse
import pprint
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptocr.cli.arguments import Parser
from ptocr.cli.guard import Failures
from ptocr.compat.arguments import IGNORED, RENAMED, flag
from ptocr.errors import SpecError
from ptocr.files import write_atomic

if TYPE_CHECKING:
    from ptocr.document.results import Result

DESCRIPTION = "Run a command line of paddleocr (2.x or 3.x), paddlex, rapidocr or rapidocr_onnxruntime."
EXAMPLES = (
    "ptocr compat paddleocr ocr -i page.png --save_path out",
    "ptocr compat paddleocr --image_dir page.png --lang en --use_angle_cls true",
    "ptocr compat paddlex --pipeline OCR --input page.png --save_path out",
    "ptocr compat rapidocr -img page.png --vis_res",
    "alias paddleocr='ptocr compat paddleocr'",
)
# PaddleOCR 3.x's subcommands that run one model -> its default here and the options of `predict` that it takes
_SINGLE: dict[str, tuple[str, Mapping[str, Callable[[str], Any]]]] = {
    "text_detection": ("PP-OCRv6_small_det", {"limit_side_len": int, "limit_type": str, "thresh": float,
                                              "box_thresh": float, "unclip_ratio": float}),
    "text_recognition": ("PP-OCRv6_small_rec", {}),
    "textline_orientation_classification": ("PP-LCNet_x1_0_textline_ori", {"topk": int}),
    "doc_img_orientation_classification": ("PP-LCNet_x1_0_doc_ori", {"topk": int}),
    "text_image_unwarping": ("UVDoc", {}),
}  # fmt: skip
_DOC = ("use_doc_orientation_classify", "use_doc_unwarping")
_OTHERS = (
    "pp_structurev3", "table_recognition_v2", "table_structure_recognition", "table_cells_detection", "doc_parser",
    "table_classification", "formula_recognition", "formula_recognition_pipeline", "layout_detection", "chart_parsing",
    "seal_recognition", "seal_text_detection", "pp_chatocrv4_doc", "pp_doctranslation", "doc_understanding", "doc_vlm",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand: a program's name, and all that follows is its own."""
    parser.add_argument("program", choices=list(_PROGRAMS), help="whose command line it is")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Run it."""
    from ptocr.compat.arguments import IgnoredOption

    def show(message: Warning | str, category: type[Warning], *_: object) -> None:
        kind = "warning" if issubclass(category, IgnoredOption) else category.__name__
        print(f"{kind}: {message}", file=sys.stderr)

    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("always", IgnoredOption)
        warnings.showwarning = show  # type: ignore[assignment]
        _PROGRAMS[args.program](args.arguments, failures)


# ----------------------------------------------------------------------------------------------------------- paddleocr


def _paddleocr(arguments: list[str], failures: Failures) -> None:
    command = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    if command in _OTHERS:
        there = ", ".join(["ocr", "doc_preprocessor", *_SINGLE])
        raise SpecError(
            f"paddleocr {command}: not here; there is {there}, `ptocr structure` for layout and tables, "
            "and in Python create_pipeline('seal_recognition')"
        )
    if command == "ocr":
        _paddleocr3(arguments[1:], failures)
    elif command == "doc_preprocessor":
        _paddlex(["--pipeline", "doc_preprocessor", *("--input" if a == "-i" else a for a in arguments[1:])], failures)
    elif command in _SINGLE:
        _single(command, arguments[1:], failures)
    elif command:
        raise SpecError(f"paddleocr {command}: unknown; there is ocr, doc_preprocessor, {', '.join(_SINGLE)}")
    else:
        _paddleocr2(arguments, failures)


def _paddleocr3(arguments: Sequence[str], failures: Failures) -> None:
    from ptocr.compat import paddle2
    from ptocr.compat import paddleocr as three

    parser = Parser(prog="paddleocr ocr")
    parser.add_argument("-i", "--input", required=True)
    parser.add_argument("--save_path")
    kinds: dict[str, Callable[[str], Any]] = {
        **dict.fromkeys((*three.MODELS, "device", "engine", "precision", "lang", "ocr_version", "paddlex_config"), str),
        **dict.fromkeys((*three.SIZES, "cpu_threads", "text_det_limit_side_len"), int),
        **{name: flag for name in three.PREDICT if name.startswith(("use_", "return_"))}, **IGNORED,
        **dict.fromkeys(("text_det_thresh", "text_det_box_thresh", "text_det_unclip_ratio"), float),
        "text_det_limit_type": str, "text_rec_score_thresh": float,
        **{name: paddle2.ACTS[name].kind for name in RENAMED},
    }  # fmt: skip
    given = _given(parser, kinds, arguments)
    inputs, folder = given.pop("input"), given.pop("save_path", None)
    _show(three.PaddleOCR(**given).predict_iter(inputs, on_error=failures), folder)


def _paddleocr2(arguments: Sequence[str], failures: Failures) -> None:
    from ptocr.cli.infer import add_options
    from ptocr.compat.paddleocr import PaddleOCR
    from ptocr.inputs.read import list_inputs

    parser = Parser(prog="paddleocr")
    parser.add_argument("--image_dir", required=True)
    add_options(parser)
    kinds: dict[str, Callable[[str], Any]] = {
        **dict.fromkeys(("det", "rec", "savefile", "binarize", "invert"), flag), "output": str, "alphacolor": _color,
    }  # fmt: skip
    given = _given(parser, kinds, arguments)
    source = given.pop("image_dir")
    names = {"binarize": "bin", "invert": "inv", "alphacolor": "alpha_color", "det": "det", "rec": "rec"}
    call = {ours: given.pop(name) for name, ours in names.items() if name in given}
    folder, save = given.pop("output", "./output"), given.pop("savefile", False)
    call["cls"] = given.get("use_angle_cls", False)
    reader = PaddleOCR(**given)
    for path in list_inputs(source):
        print(f"**********{path}**********", file=sys.stderr)
        lines = [line for page in reader.ocr(path, **call) for line in page or []]
        text = "".join(f"{pprint.pformat(line)}\n" for line in lines)
        print(text, end="")
        if save:
            write_atomic(Path(folder) / f"{Path(str(path)).stem}.txt", text.encode("utf-8"))


def _color(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _single(command: str, arguments: Sequence[str], failures: Failures) -> None:
    from ptocr.pipelines import create_model

    parser = Parser(prog=f"paddleocr {command}")
    parser.add_argument("-i", "--input", required=True)
    parser.add_argument("--save_path")
    default, options = _SINGLE[command]
    kinds: dict[str, Callable[[str], Any]] = {
        **dict.fromkeys(("model_name", "model_dir", "device"), str), "cpu_threads": int, **options,
    }  # fmt: skip
    given = _given(parser, kinds, arguments)
    weights, name = given.pop("model_dir", None), given.pop("model_name", None)
    model = create_model(name or (None if weights else default), weights, device=given.pop("device", "auto"),
                         threads=given.pop("cpu_threads", None))  # fmt: skip
    inputs, folder = given.pop("input"), given.pop("save_path", None)
    _show(model.predict(inputs, on_error=failures, **given), folder)


# ------------------------------------------------------------------------------------------------------------- paddlex


def _paddlex(arguments: Sequence[str], failures: Failures) -> None:
    from ptocr.pipelines import create_pipeline
    from ptocr.pipelines.config import list_pipelines
    from ptocr.pipelines.predict_options import OCROptions

    parser = Parser(prog="paddlex")
    for name in ("pipeline", "input", "save_path", "device", "engine", "get_pipeline_config", "host", "port"):
        parser.add_argument(f"--{name}")
    for name in ("serve", "use_hpip"):
        parser.add_argument(f"--{name}", action="store_true", default=None)
    kinds: dict[str, Callable[[str], Any]] = {"hpi_config": str}
    for name in OCROptions.model_fields:
        if name.startswith(("use_", "text_", "return_")):
            kinds[name] = flag if name.startswith(("use_", "return_")) else _number
    given = _given(parser, kinds, arguments)
    folder = given.pop("save_path", None)
    if (wanted := given.pop("get_pipeline_config", None)) is not None:
        from ptocr.cli import main

        main(["config", wanted, *(["--save_path", folder] if folder else [])])
        return
    if given.get("serve"):
        raise SpecError("paddlex --serve: `ptocr serve --host HOST --port PORT` answers the same requests")
    if "pipeline" not in given or "input" not in given:
        raise SpecError(f"paddlex: give --pipeline and --input; pipelines: {', '.join(list_pipelines())}")
    create = {name: given.pop(name) for name in ("pipeline", "device", "engine", "use_hpip", "hpi_config")
              if name in given}  # fmt: skip
    _show(create_pipeline(**create).predict(given.pop("input"), on_error=failures, **given), folder)


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


# ------------------------------------------------------------------------------------------------------------ rapidocr


def _rapidocr(arguments: Sequence[str], failures: Failures) -> None:
    from ptocr.compat.rapidocr import DEFAULTS, RapidOCR

    del failures
    parser = Parser(prog="rapidocr")
    add = parser.add_argument
    add("command", nargs="?", choices=["config", "check", "download_models"])
    add("-img", "--img_path")
    add("-vis", "--vis_res", action="store_true")
    add("-word", "--return_word_box", action="store_true")
    add("--list-langs", action="store_true", dest="list_langs")
    add("--vis_save_dir", type=Path, default=Path())
    add("--save_cfg_file", type=Path, default=Path("default_rapidocr.yaml"))
    for name, default in (("text_score", 0.5), ("lang_type", "ch"), ("ocr_version", "PP-OCRv5"), ("task", "rec"),
                          ("model_type", "mobile"), ("font_path", None), ("config", None)):  # fmt: skip
        add(f"--{name}", type=float if name == "text_score" else str, default=default)
    args = parser.parse_args(arguments)
    if args.list_langs:
        _list_languages(args.ocr_version)
        return
    if args.command == "config":
        import yaml

        write_atomic(args.save_cfg_file, yaml.safe_dump(DEFAULTS, sort_keys=False).encode())
        print(f"The config file has saved in {args.save_cfg_file}")
        return
    engine = RapidOCR(params={"Global.text_score": args.text_score, "Rec.lang_type": args.lang_type,
                              "Global.return_word_box": args.return_word_box})  # fmt: skip
    if args.command in ("check", "download_models"):
        engine._pipeline.warm_up()
        print("the models are here and run")
        return
    if args.img_path is None:
        raise SpecError("rapidocr: give a picture with -img PATH")
    result = engine(args.img_path)
    print(result)
    if args.vis_res:
        target = args.vis_save_dir / f"{Path(args.img_path).stem}_vis{'_single' if args.return_word_box else ''}.png"
        if result.vis(target) is not None:
            print(f"The vis result has saved in {target}")


def _list_languages(version: str) -> None:
    from ptocr.spec.languages import VERSIONS, covers, language_names

    if version not in VERSIONS:
        raise SpecError(f"ocr_version={version!r}; there are {', '.join(VERSIONS)}")
    print("\n".join(name for name in language_names() if covers(version, name)))


def _rapidocr1(arguments: Sequence[str], failures: Failures) -> None:
    from ptocr.compat import rapidocr_onnxruntime as one

    del failures
    parser = Parser(prog="rapidocr_onnxruntime")
    add = parser.add_argument
    add("-img", "--img_path", required=True)
    add("-p", "--print_cost", action="store_true")
    add("-vis", "--vis_res", action="store_true")
    add("--vis_save_path", type=Path, default=Path())
    add("--vis_font_path")
    for name in ("no_det", "no_cls", "no_rec", "print_verbose", "return_word_box", "det_use_cuda", "det_use_dml",
                 "cls_use_cuda", "cls_use_dml", "rec_use_cuda", "rec_use_dml", "det_donot_use_dilation"):  # fmt: skip
        add(f"--{name}", action="store_true", default=None)
    kinds = {name: _number for name in one.NAMES if f"--{name}" not in parser._option_string_actions}
    for name, kind in kinds.items():
        add(f"--{name}", type=kind)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    use = {f"use_{task}": not given.get(f"no_{task}", False) for task in ("det", "cls", "rec")}
    engine = one.RapidOCR(**{name: value for name, value in given.items() if name in one.NAMES})
    result, elapse = engine(given["img_path"], **use, return_word_box=given.get("return_word_box"))
    print(result)
    if given["print_cost"]:
        print(elapse)
    if given["vis_res"] and engine.last is not None:
        target = given["vis_save_path"] / f"{Path(given['img_path']).stem}_vis.png"
        engine.last.vis(target)
        print(f"The vis result has saved in {target}")


# -------------------------------------------------------------------------------------------------------------- shared


def _given(
    parser: argparse.ArgumentParser, kinds: Mapping[str, Callable[[str], Any]], arguments: Sequence[str]
) -> dict[str, Any]:
    """The options that were given, by name."""
    for name, kind in kinds.items():
        if kind is flag:
            parser.add_argument(f"--{name}", type=kind, nargs="?", const=True, metavar="BOOL")
        elif f"--{name}" not in parser._option_string_actions:
            parser.add_argument(f"--{name}", type=kind)
    return {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}


def _show(results: Iterable[Result], folder: str | None) -> None:
    """Print results as PaddleX does, and write their files."""
    for result in results:
        result.print()
        if folder:
            result.save_all(folder)


_PROGRAMS: dict[str, Callable[[list[str], Failures], None]] = {
    "paddleocr": _paddleocr,
    "paddlex": _paddlex,
    "rapidocr": _rapidocr,
    "rapidocr_onnxruntime": _rapidocr1,
}
