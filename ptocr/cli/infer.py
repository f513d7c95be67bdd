"""`tools/infer/predict_{system,det,rec,cls}.py`: PaddleOCR 2.x flag names and defaults over ptocr's pipeline."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2

from ptocr.cli.guard import Failures, guarded
from ptocr.document.results import ClsResult, DetResult, OCRResult, RecResult, Result
from ptocr.files import write_atomic
from ptocr.inputs.page import Page
from ptocr.inputs.read import count_inputs, iter_pages
from ptocr.predictors.predictor import Classifier, TextDetector, TextRecognizer
from ptocr.runtime.runtime import RuntimeOptions, make_runtime
from ptocr.spec.model import DetPostprocess, DetPreprocess


def flag(text: str) -> bool:
    """PaddleOCR's booleans: true, t, 1, yes and their opposites."""
    lowered = text.lower()
    if lowered in ("true", "t", "1", "yes", "y", "on"):
        return True
    if lowered in ("false", "f", "0", "no", "n", "off"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def shape(text: str) -> tuple[int, int, int]:
    """'3, 48, 320' -> (3, 48, 320)."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not 'channels, height, width'")
    channels, height, width = map(int, parts)
    return channels, height, width


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--image_dir", required=True, nargs="+", help="pictures, PDFs, folders, globs")
    add("--recursive", type=flag, default=False, nargs="?", const=True, help="enter folders below a folder")
    add("--page_num", type=int, default=0, help="so many pages of each PDF; 0 = all")
    add("--use_gpu", type=flag, default=None, help="true: GPU or error; false: CPU; not given: --device")
    add("--gpu_id", type=int, default=0, help="which GPU --use_gpu means")
    add("--device", default="auto", help="auto, cpu, gpu, gpu:1, mps ...")
    add("--precision", default="fp32", choices=["fp32", "fp16", "bf16"], help="data type of the networks")
    add("--cpu_threads", type=int, default=None, help="threads on the CPU; not given: all cores")
    add("--compile", default="off", choices=["off", "auto", "aot", "inductor"], help="compiled networks")
    add("--engine", default="torch", choices=["torch", "onnxruntime", "openvino"], help="what runs the networks")
    add("--format", default="text", choices=["text", "json"], help="what goes to standard output")
    add("--show_log", type=flag, default=False, nargs="?", const=True, help="log what is done, with times")
    return parser


def _add_det(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--det_model_path", "--det_model_dir", default=None, help="weights; not given: PP-OCRv4_mobile_det")
    add("--det_limit_side_len", type=int, default=960)
    add("--det_limit_type", default="max", choices=["max", "min", "resize_long"])
    add("--det_db_thresh", type=float, default=0.3)
    add("--det_db_box_thresh", type=float, default=0.6)
    add("--det_db_unclip_ratio", type=float, default=1.5)
    add("--use_dilation", type=flag, default=False, nargs="?", const=True)
    add("--det_db_score_mode", default="fast", choices=["fast", "slow"])
    add("--det_box_type", default="quad", choices=["quad", "poly"])
    add("--draw_img_save_dir", default="./inference_results", help="pictures and result files; '' writes none")


def _add_rec(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rec_model_path", "--rec_model_dir", default=None, help="weights; not given: PP-OCRv4_mobile_rec")
    add("--rec_char_dict_path", default=None, help="character dictionary, one per line; not given: the weights' own")
    add("--rec_image_shape", type=shape, default=None, help="'3, 48, 320'; not given: the model's")
    add("--rec_batch_num", type=int, default=6)
    add("--rec_padding", default="invariant", choices=["invariant", "paddle"], help="how lines share a batch")


def _add_cls(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cls_model_path", "--cls_model_dir", default=None, help="weights; not given: ch_ppocr_mobile_v2.0_cls")
    add("--cls_image_shape", type=shape, default=None, help="'3, 48, 192'; not given: the model's")
    add("--cls_batch_num", type=int, default=6)
    add("--cls_thresh", type=float, default=0.9)


def _runtime_options(args: argparse.Namespace) -> RuntimeOptions:
    device = args.device
    if args.use_gpu is not None:
        device = f"gpu:{args.gpu_id}" if args.use_gpu else "cpu"
    return RuntimeOptions(device, args.precision, args.compile, args.engine, args.cpu_threads)


def _progress(items: Iterator[Any], args: argparse.Namespace) -> Iterable[Any]:
    from tqdm import tqdm

    total = count_inputs(_inputs(args), recursive=args.recursive)
    return tqdm(items, total=total, unit="page", file=sys.stderr, disable=None if total > 1 else True)


def _inputs(args: argparse.Namespace) -> str | list[str]:
    return args.image_dir[0] if len(args.image_dir) == 1 else args.image_dir


def _pages(args: argparse.Namespace, failures: Failures) -> Iterable[Page]:
    pages = iter_pages(_inputs(args), recursive=args.recursive, max_pages=args.page_num, on_error=failures)
    return _progress(pages, args)


def _name(result: Result) -> str:
    page = "" if result.page_index is None else f" (page {result.page_index + 1})"
    return f"{result.input_path}{page}"


def _emit(result: Result, lines: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """One page on standard output, as text or as one JSON object on one line."""
    if args.format == "json":
        record = {"input_path": result.input_path, "page_index": result.page_index, "lines": lines}
        print(json.dumps(record, ensure_ascii=False), flush=True)
        return
    print(f"{_name(result)}: {len(lines)} line{'' if len(lines) == 1 else 's'}")
    for line in lines:
        parts = [" ".join(f"{x},{y}" for x, y in line["poly"])] if "poly" in line else []
        parts += [line["text"]] if "text" in line else []
        print("\t".join([*parts, f"{line['score']:.4f}"]))
    sys.stdout.flush()


class _ResultFile:
    """A result file that is complete after every page: `name<TAB>json` lines, rewritten atomically at the end."""

    def __init__(self, folder: str, name: str) -> None:
        self.path = Path(folder) / name if folder else None
        self.lines: list[str] = []

    def add(self, result: Result, content: list[dict[str, Any]]) -> None:
        stem = Path(result.input_path or "page").name
        label = stem if result.page_index is None else f"{stem}_{result.page_index}"
        self.lines.append(f"{label}\t{json.dumps(content, ensure_ascii=False)}\n")

    def write(self) -> None:
        if self.path is not None:
            write_atomic(self.path, "".join(self.lines).encode("utf-8", errors="replace"))


def predict_system(argv: Sequence[str] | None = None) -> int:
    """Detect, classify, recognise. Returns the exit code."""
    parser = _parser("Find and read the text of pictures and PDFs (PaddleOCR 2.x flags).")
    _add_det(parser)
    _add_rec(parser)
    _add_cls(parser)
    add = parser.add_argument
    add("--use_angle_cls", type=flag, default=False, nargs="?", const=True, help="turn upside-down lines")
    add("--drop_score", type=float, default=0.5, help="lines that score less are left out")
    add("--save_crop_res", type=flag, default=False, nargs="?", const=True, help="write the picture of every line")
    add("--crop_res_save_dir", default="./output")
    return guarded(_system, parser.parse_args(argv))


def _system(args: argparse.Namespace, failures: Failures) -> None:
    from ptocr.pipelines import create_pipeline

    options = _runtime_options(args)
    pipeline = create_pipeline(
        "PP-OCRv4_mobile",
        device=options.device,
        dtype=options.dtype,
        compile=options.compile,
        engine=options.engine,
        threads=options.threads,
        text_detection_model_dir=args.det_model_path,
        text_recognition_model_dir=args.rec_model_path,
        text_recognition_charset=args.rec_char_dict_path,
        textline_orientation_model_dir=args.cls_model_path,
        text_recognition_batch_size=args.rec_batch_num,
        textline_orientation_batch_size=args.cls_batch_num,
    )
    results = pipeline.predict(
        _inputs(args),
        recursive=args.recursive,
        max_pages=args.page_num,
        on_error=failures,
        use_textline_orientation=args.use_angle_cls,
        textline_orientation="paddle",
        textline_orientation_thresh=args.cls_thresh,
        textline_orientation_image_shape=args.cls_image_shape,
        text_det_limit_side_len=args.det_limit_side_len,
        text_det_limit_type=args.det_limit_type,
        text_det_thresh=args.det_db_thresh,
        text_det_box_thresh=args.det_db_box_thresh,
        text_det_unclip_ratio=args.det_db_unclip_ratio,
        text_det_use_dilation=args.use_dilation,
        text_det_score_mode=args.det_db_score_mode,
        text_det_box_type=args.det_box_type,
        text_rec_image_shape=args.rec_image_shape,
        text_rec_score_thresh=args.drop_score,
        rec_padding=args.rec_padding,
        keep_line_images=args.save_crop_res,
    )
    record = _ResultFile(args.draw_img_save_dir, "system_results.txt")
    crops = 0
    try:
        for result in _progress(results, args):
            lines = _lines(result)
            _emit(result, lines, args)
            record.add(result, [{"transcription": line["text"], "points": line["poly"]} for line in lines])
            if args.draw_img_save_dir:
                result.save_to_img(args.draw_img_save_dir)
            crops = _save_crops(result, args.crop_res_save_dir, crops)
            logging.info("%s: %s", _name(result), ", ".join(f"{k} {v:.3f} s" for k, v in result.timings.items()))
    finally:
        record.write()


def _lines(result: OCRResult) -> list[dict[str, Any]]:
    rows = zip(result.rec_polys, result.rec_texts, result.rec_scores, strict=True)
    return [{"poly": poly.tolist(), "text": text, "score": float(score)} for poly, text, score in rows]


def _save_crops(result: OCRResult, folder: str, start: int) -> int:
    """Line pictures under upstream's names; returns the next free number."""
    for number, crop in enumerate(result.line_images or [], start=start):
        write_atomic(Path(folder) / f"mg_crop_{number}.jpg", cv2.imencode(".jpg", crop)[1].tobytes())
    return start + len(result.line_images or [])


def predict_det(argv: Sequence[str] | None = None) -> int:
    """Detect only. Returns the exit code."""
    parser = _parser("Find the text lines of pictures and PDFs (PaddleOCR 2.x flags).")
    _add_det(parser)
    return guarded(_det, parser.parse_args(argv))


def _det(args: argparse.Namespace, failures: Failures) -> None:
    detector = TextDetector(make_runtime(args.det_model_path or "PP-OCRv4_mobile_det", _runtime_options(args)))
    limits = {"limit_side_len": args.det_limit_side_len, "limit_type": args.det_limit_type}
    pre = DetPreprocess.model_validate({**detector.pre.model_dump(), **limits})
    given = {
        "thresh": args.det_db_thresh,
        "box_thresh": args.det_db_box_thresh,
        "unclip_ratio": args.det_db_unclip_ratio,
        "use_dilation": args.use_dilation,
        "score_mode": args.det_db_score_mode,
        "box_type": args.det_box_type,
    }
    post = DetPostprocess.model_validate({**detector.post.model_dump(), **given})
    record = _ResultFile(args.draw_img_save_dir, "det_results.txt")
    try:
        for page in _pages(args, failures):
            found = detector(page.image, pre, post)
            result = DetResult(**_origin(page), dt_polys=found.polys, dt_scores=found.scores)
            rows = zip(found.polys, found.scores, strict=True)
            lines = [{"poly": poly.tolist(), "score": float(score)} for poly, score in rows]
            _emit(result, lines, args)
            record.add(result, [line["poly"] for line in lines])
            if args.draw_img_save_dir:
                result.save_to_img(args.draw_img_save_dir)
    finally:
        record.write()


def _origin(page: Page) -> dict[str, Any]:
    return {"input_path": page.input_path, "page_index": page.page_index, "image": page.image}


def predict_rec(argv: Sequence[str] | None = None) -> int:
    """Read pictures of single lines. Returns the exit code."""
    parser = _parser("Read pictures that each show one line (PaddleOCR 2.x flags).")
    _add_rec(parser)
    return guarded(_rec, parser.parse_args(argv))


def _rec(args: argparse.Namespace, failures: Failures) -> None:
    model = args.rec_model_path or "PP-OCRv4_mobile_rec"
    recognizer = TextRecognizer(make_runtime(model, _runtime_options(args), charset=args.rec_char_dict_path))
    shape = args.rec_image_shape
    pre = recognizer.pre if shape is None else recognizer.pre.model_copy(update={"image_shape": shape})
    for pages in _batches(_pages(args, failures), args.rec_batch_num):
        texts = recognizer([page.image for page in pages], args.rec_padding, args.rec_batch_num, pre)
        for page, text in zip(pages, texts, strict=True):
            result = RecResult(**_origin(page), rec_text=text.text, rec_score=text.score)
            _emit(result, [{"text": text.text, "score": text.score}], args)


def predict_cls(argv: Sequence[str] | None = None) -> int:
    """Say whether line pictures are upside down. Returns the exit code."""
    parser = _parser("Say which way up pictures of single lines are (PaddleOCR 2.x flags).")
    _add_cls(parser)
    return guarded(_cls, parser.parse_args(argv))


def _cls(args: argparse.Namespace, failures: Failures) -> None:
    classifier = Classifier(make_runtime(args.cls_model_path or "ch_ppocr_mobile_v2.0_cls", _runtime_options(args)))
    shape = args.cls_image_shape
    pre = classifier.pre if shape is None else classifier.pre.model_copy(update={"image_shape": shape})
    for pages in _batches(_pages(args, failures), args.cls_batch_num):
        found = classifier([page.image for page in pages], args.cls_batch_num, pre)
        for page, cls in zip(pages, found, strict=True):
            result = ClsResult(**_origin(page), class_ids=[cls.index], scores=[cls.score], label_names=[cls.label])
            turned = cls.label.startswith("180") and cls.score > args.cls_thresh
            _emit(result, [{"text": cls.label, "score": cls.score, "turned": turned}], args)


def _batches(pages: Iterable[Page], size: int) -> Iterator[list[Page]]:
    batch: list[Page] = []
    for page in pages:
        batch.append(page)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
