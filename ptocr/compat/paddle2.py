"""PaddleOCR 2.x's options, as command-line flags and as arguments of `PaddleOCR(...)`: what each means here.

The names are those of `init_args` and `parse_args` of paddleocr 2.10 and of PaddleOCR2Pytorch's `parse_args`. Every
name is in exactly one of three tables: it acts (`ACTS`), it does nothing here (`IGNORED`), or only some of its values
can be had (`REFUSED`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ptocr import paths
from ptocr.checkpoint import load_checkpoint, save_checkpoint
from ptocr.compat.arguments import check_allowed, check_names, flag, line_shape, shape, whole
from ptocr.convert.convert import convert
from ptocr.convert.paddle_recognisers import ALGORITHMS
from ptocr.convert.paddle_yaml import spec_from_paddle
from ptocr.errors import DeviceError, SpecError, WeightsError
from ptocr.files import made
from ptocr.runtime.devices import resolve_device
from ptocr.spec.languages import models_for, script_of
from ptocr.spec.model import load_spec
from ptocr.weights.store import find


def _polygon(value: Any) -> str:
    """PaddleOCR2Pytorch's switch as the type of boxes."""
    return str(value) if value in ("poly", "quad") else "poly" if flag(value) else "quad"


def _scales(value: Any) -> tuple[int, ...]:
    """ "8,16,32", "[8, 16, 32]" or numbers."""
    parts = value.strip("[]() ").split(",") if isinstance(value, str) else value
    return tuple(int(part) for part in parts)


LEGACY = ("PP-OCRv4", "PP-OCRv3")  # versions that PaddleOCR 2.x had: with them come its settings


@dataclass(frozen=True)
class Option:
    """An option that acts. predict, create: the names it has in `predict` and `create_pipeline`; legacy: PaddleOCR
    2.10's default, which holds with `LEGACY` versions; also: other spellings of its name."""

    kind: Callable[[Any], Any]
    help: str
    predict: str = ""
    create: str = ""
    legacy: Any = None
    choices: tuple[str, ...] | None = None
    also: tuple[str, ...] = ()


# fmt: off
ACTS: dict[str, Option] = {
    # where and how the networks run
    "use_gpu": Option(flag, "true: a GPU if there is one; false: the CPU; not given: --device"),
    "gpu_id": Option(int, "which GPU use_gpu means"),
    "use_xpu": Option(flag, "run on a Kunlun or Intel XPU"),
    "use_npu": Option(flag, "run on an Ascend NPU"),
    "precision": Option(str, "data type of the networks", choices=("fp32", "fp16", "bf16")),
    "cpu_threads": Option(int, "threads on the CPU; not given: all cores"),
    "use_onnx": Option(flag, "run the networks with ONNX Runtime"),
    # which models
    "lang": Option(str, "language or script: ch, en, french, korean, ru, ja ..."),
    "ocr_version": Option(str, "PP-OCRv6, PP-OCRv5, PP-OCRv4, PP-OCRv3; the last two bring PaddleOCR 2.x's settings"),
    "det_model_dir": Option(str, "weights of the detector", also=("det_model_path",)),
    "rec_model_dir": Option(str, "weights of the recogniser", also=("rec_model_path",)),
    "cls_model_dir": Option(str, "weights of the 0/180 classifier", also=("cls_model_path",)),
    "det_yaml_path": Option(str, "training YAML that describes the detector's weights"),
    "rec_yaml_path": Option(str, "training YAML that describes the recogniser's weights"),
    "cls_yaml_path": Option(str, "training YAML that describes the classifier's weights"),
    "rec_char_dict_path": Option(str, "character dictionary, one per line; not given: the weights' own",
                                 create="text_recognition_charset"),
    "rec_char_type": Option(str, "PaddleOCR2Pytorch's name for lang, where no recogniser is given"),
    # detection
    "det_limit_side_len": Option(whole, "side length the page is resized to", "text_det_limit_side_len", legacy=960),
    "det_limit_type": Option(str, "which side that is", "text_det_limit_type", legacy="max",
                             choices=("max", "min", "resize_long", "resize_short")),
    "det_db_thresh": Option(float, "pixels above it are text", "text_det_thresh", legacy=0.3),
    "det_db_box_thresh": Option(float, "regions that score less are dropped", "text_det_box_thresh", legacy=0.6),
    "det_db_unclip_ratio": Option(float, "how far regions are widened", "text_det_unclip_ratio", legacy=1.5),
    "use_dilation": Option(flag, "thicken the regions before they are measured", "text_det_use_dilation",
                           legacy=False),
    "det_db_score_mode": Option(str, "score of a region by its box or by its outline", "text_det_score_mode",
                                legacy="fast", choices=("fast", "slow")),
    "det_box_type": Option(str, "regions as four corners or as polygons", "text_det_box_type", legacy="quad",
                           choices=("quad", "poly")),
    # direction of lines
    "use_angle_cls": Option(flag, "turn upside-down lines; see cls_thresh", "use_textline_orientation", legacy=False),
    "cls_image_shape": Option(shape, "'3, 48, 192'; not given: the model's", "textline_orientation_image_shape"),
    "cls_batch_num": Option(int, "lines per batch", create="textline_orientation_batch_size"),
    "cls_thresh": Option(float, "2.x's rule: the classifier alone turns lines, those it is surer of than this",
                         "textline_orientation_thresh", legacy=0.9),
    # recognition
    "rec_image_shape": Option(line_shape, "'3, 48, 320'; not given: the model's", "text_rec_image_shape"),
    "rec_batch_num": Option(int, "lines per batch", create="text_recognition_batch_size"),
    "rec_padding": Option(str, "how lines share a batch: a line reads the same in every batch, or as PaddleOCR 2.x",
                          "rec_padding", legacy="paddle", choices=("invariant", "paddle")),
    "drop_score": Option(float, "lines that score less are left out", "text_rec_score_thresh", legacy=0.5),
    # reading and writing
    "page_num": Option(int, "so many pages of each PDF; 0 = all", "max_pages"),
    "show_log": Option(flag, "log what is done, with times"),
    "save_crop_res": Option(flag, "write the picture of every line"),
    "crop_res_save_dir": Option(str, "where to"),
    "draw_img_save_dir": Option(str, "folder for pictures and result files; '' writes none"),
    "vis_font_path": Option(str, "font for drawn texts"),
    "warmup": Option(flag, "load the models and run each once before the first page"),
    # several processes
    "use_mp": Option(flag, "share the pages between total_process_num workers"),
    "total_process_num": Option(int, "how many workers, or of how many processes this one is"),
    "process_id": Option(int, "read only the inputs that are this process's share, counted from 0"),
}

SUPER_RESOLUTION = "super-resolution is another command, predict_sr.py"
# Only these values can be had; any other would change the result.
REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "det_algorithm": (("DB", "DB++", "EAST", "PSE", "SAST", "FCE", "CT", "DRRG"), "this detector is not here yet"),
    "rec_algorithm": (("SVTR_LCNet", "SVTR_HGNet", "CRNN", *ALGORITHMS), "this recogniser is not here yet"),
    "e2e_algorithm": (("PGNet",), "this end-to-end algorithm is not here yet"),
    "sr_model_dir": ((), SUPER_RESOLUTION),
    "sr_model_path": ((), SUPER_RESOLUTION),
    "sr_yaml_path": ((), SUPER_RESOLUTION),
    "type": (("ocr",), "document structure is `ptocr structure`"),
    "rec_image_inverse": ((True, "true", "True"), "formulas are read as white on black"),
    "use_mlu": ((False,), "no such device is known here"),
    "use_gcu": ((False,), "no such device is known here"),
    "limited_max_width": ((), "lines are never squeezed; long ones are read in windows. Leave it out"),
    "limited_min_width": ((), "lines are never squeezed; long ones are read in windows. Leave it out"),
    "label_list": (
        (["0", "180"], ["0", "90", "180", "270"], "0,180", "['0', '180']", ["0,180"], ["['0', '180']"]),
        "the classes are those of the weights",
    ),
}

# They steer Paddle's engine, or belong to algorithms and commands that do not use them.
IGNORED: dict[str, Callable[[Any], Any]] = {
    "ir_optim": flag, "use_tensorrt": flag, "min_subgraph_size": int, "gpu_mem": int, "enable_mkldnn": flag,
    "mkldnn_cache_capacity": int, "use_fp16": flag, "use_pdserving": flag, "benchmark": flag, "save_log_path": str,
    "onnx_providers": str, "onnx_sess_options": str, "max_batch_size": int, "use_space_char": flag,
    "max_text_length": int, "return_word_box": flag, "structure_version": str,
    "e2e_limit_type": str, "e2e_pgnet_polygon": str,
    "sr_image_shape": str, "sr_batch_num": int,
    # of document structure
    **dict.fromkeys((
        "formula", "formula_algorithm", "formula_batch_num", "formula_char_dict_path", "formula_model_dir",
        "image_orientation", "kie_algorithm", "layout", "layout_dict_path", "layout_model_dir", "layout_nms_threshold",
        "layout_score_threshold", "merge_no_span_structure", "mode", "ocr", "ocr_order_method", "re_model_dir",
        "recovery", "recovery_to_markdown", "ser_dict_path", "ser_model_dir", "table", "table_algorithm",
        "table_char_dict_path", "table_max_len", "table_model_dir", "use_pdf2docx_api", "use_visual_backbone",
    ), str),
}
# Options of one detector: its option -> ours, or the only value that can be had.
OF_DETECTORS: dict[str, dict[str, tuple[Callable[[Any], Any], Any]]] = {
    "DB": {},
    "DB++": {},
    "CT": {},
    "DRRG": {},
    "EAST": {
        "det_east_score_thresh": (float, "text_det_thresh"), "det_east_cover_thresh": (float, "text_det_box_thresh"),
        "det_east_nms_thresh": (float, 0.2),
    },
    "PSE": {
        "det_pse_thresh": (float, "text_det_thresh"), "det_pse_box_thresh": (float, "text_det_box_thresh"),
        "det_pse_box_type": (str, "text_det_box_type"), "det_pse_min_area": (float, 16.0), "det_pse_scale": (int, 1),
    },
    "SAST": {
        "det_sast_score_thresh": (float, "text_det_thresh"), "det_sast_nms_thresh": (float, 0.2),
        "det_sast_polygon": (_polygon, "text_det_box_type"),
    },
    "FCE": {
        "det_fce_box_type": (str, "text_det_box_type"), "alpha": (float, 1.0), "beta": (float, 1.0),
        "scales": (_scales, (8, 16, 32)), "fourier_degree": (int, 5),
    },
}
# Options of predict_e2e: its option -> ours, or the only value that can be had. Elsewhere they do nothing.
SPOTTING: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "e2e_model_dir": (str, "text_spotting_model_dir"), "e2e_model_path": (str, "text_spotting_model_dir"),
    "e2e_yaml_path": (str, ""), "e2e_char_dict_path": (str, "text_spotting_charset"),
    "e2e_limit_side_len": (whole, "e2e_limit_side_len"), "e2e_pgnet_score_thresh": (float, "e2e_thresh"),
    "e2e_pgnet_valid_set": (str, "e2e_valid_set"), "e2e_pgnet_mode": (str, "e2e_mode"),
}
IGNORED |= {name: kind for name, (kind, _) in SPOTTING.items()}
IGNORED |= {name: kind for options in OF_DETECTORS.values() for name, (kind, _) in options.items()}
# Of the console command `paddleocr` alone: 2.x's constructor takes them and does nothing with them.
CONSOLE = ("image_dir", "det", "rec", "savefile", "output", "binarize", "invert", "alphacolor")
# fmt: on

_SPELLINGS = {other: name for name, option in ACTS.items() for other in option.also}
# What the names of 2.x's options about a module begin with -> what ours begin with.
MODULES = {"det": "text_detection", "rec": "text_recognition", "cls": "textline_orientation"}


@dataclass
class Call:
    """The options of a 2.x call as ours. create: of `create_pipeline`; predict: of `predict`; defaults: those of 2.x
    that hold where `predict` does not say otherwise; ignored: names that do nothing; notes: what else to tell."""

    create: dict[str, Any] = field(default_factory=dict)
    predict: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def models(self) -> dict[str, str]:
        """Module ("text_detection", ...) -> name or path of its weights, where one was chosen."""
        found = {m: self.create.get(f"{m}_model_dir") or self.create.get(f"{m}_model_name") for m in MODULES.values()}
        return {module: str(chosen) for module, chosen in found.items() if chosen}


def translate(given: Mapping[str, Any]) -> Call:
    """2.x options that were given (None: not given) as options of our pipeline.

    Raises:
        SpecError: an unknown name, or a value that would change the result and cannot be had.
        DeviceError: a device that is not here. WeightsError: weights that a YAML does not describe.
    """
    set_ = {_SPELLINGS.get(name, name): value for name, value in given.items() if value is not None}
    check_names(set_, [*ACTS, *REFUSED, *IGNORED, *CONSOLE], "PaddleOCR 2.x option")
    check_allowed(set_, REFUSED)
    call = Call(ignored=[name for name in set_ if name in IGNORED or name in CONSOLE])
    if (
        str(set_.get("rec_char_type")).lower() == "en"
        and "rec_model_dir" in set_
        and set_.pop("rec_char_dict_path", "")
    ):
        call.notes.append(
            "rec_char_type=en: digits and letters, as the weights have them; rec_char_dict_path is not read"
        )
    _choose_device(set_, call)
    _choose_models(set_, call)
    for name, option in ACTS.items():
        if name in set_:
            value = _parsed(name, option, set_[name])
            if option.predict:
                call.predict[option.predict] = value
            if option.create:
                call.create[option.create] = value
    if "cls_thresh" in set_:
        call.predict["textline_orientation"] = "paddle"
    algorithm = str(set_.get("det_algorithm") or "DB")
    _choose_of_detector(algorithm, set_, call)
    if set_.get("ocr_version") in LEGACY:
        call.defaults = {o.predict: o.legacy for o in ACTS.values() if o.predict and o.legacy is not None}
        call.defaults["textline_orientation"] = "paddle"
        if algorithm not in ("DB", "DB++"):
            of_db = [o.predict for name, o in ACTS.items() if name.startswith("det_db_") and o.predict]
            call.defaults = {name: value for name, value in call.defaults.items() if name not in of_db}
    return call


def _choose_of_detector(algorithm: str, set_: Mapping[str, Any], call: Call) -> None:
    """The options of the chosen detector; those of others do nothing, as in 2.x.

    Raises:
        SpecError: a detector other than DB without weights, or with those of another.
    """
    if algorithm != "DB" and "text_detection_model_dir" not in call.create:
        raise SpecError(f"det_algorithm={algorithm!r}: give its weights with det_model_path")
    if set_.get("det_algorithm") and (weights := call.create.get("text_detection_model_dir")):
        found = load_checkpoint(find(weights)).spec
        if found.postprocess.name != ("db" if algorithm == "DB++" else algorithm.lower()):
            raise SpecError(f"det_algorithm={algorithm!r}: {weights} holds {found.name}, of {found.family}")
    for name, (kind, ours) in OF_DETECTORS[algorithm].items():
        if name not in set_:
            continue
        value = kind(set_[name])
        if isinstance(ours, str):
            call.predict[ours] = value
            call.ignored.remove(name)
        elif value != ours:
            raise SpecError(f"{name}={value}: only {ours} can be had; write it into the model's spec")


def translate_spotting(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of predict_e2e that were given (None: not given) as those of `create_pipeline("PGNet")`.

    Raises:
        SpecError: a value that cannot be had. WeightsError: weights that a YAML does not describe.
    """
    options: dict[str, Any] = {}
    for name, (kind, ours) in SPOTTING.items():
        if given.get(name) is None or not ours:
            continue
        value = kind(given[name])
        if isinstance(ours, str):
            options[ours] = value
        elif value not in ours:
            raise SpecError(f"{name}={value!r} cannot be had; there is {', '.join(ours)}")
    if (described := given.get("e2e_yaml_path")) is not None:
        weights = options.get("text_spotting_model_dir")
        if weights is None:
            raise SpecError(f"e2e_yaml_path={described!r} describes weights; give e2e_model_path as well")
        charset = options.pop("text_spotting_charset", None)
        options["text_spotting_model_dir"] = described_as(weights, described, charset)
    return options


def _parsed(name: str, option: Option, value: Any) -> Any:
    try:
        parsed = option.kind(value)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{name}: {error}") from None
    if option.choices and parsed not in option.choices:
        raise SpecError(f"{name}={value!r}; allowed: {', '.join(option.choices)}")
    return parsed


def _choose_device(set_: Mapping[str, Any], call: Call) -> None:
    device = None
    if (gpu := set_.get("use_gpu")) is not None:
        device = f"gpu:{set_.get('gpu_id', 0)}" if flag(gpu) else "cpu"
        try:
            resolve_device(device)
        except DeviceError as error:  # 2.x goes on without a GPU as well
            call.notes.append(f"use_gpu: {error}; running on the CPU")
            device = "cpu"
    for kind in ("xpu", "npu"):
        if set_.get(f"use_{kind}") and flag(set_[f"use_{kind}"]):
            device = kind
    if device is not None:
        call.create["device"] = device
    if set_.get("use_onnx") and flag(set_["use_onnx"]):
        call.create["engine"] = "onnxruntime"
    for name, ours in (("precision", "dtype"), ("cpu_threads", "threads")):
        if set_.get(name) is not None:
            call.create[ours] = _parsed(name, ACTS[name], set_[name])


def _choose_models(set_: Mapping[str, Any], call: Call) -> None:
    version, lang = set_.get("ocr_version"), set_.get("lang")
    if lang is None and set_.get("rec_model_dir") is None and (kind := set_.get("rec_char_type")) is not None:
        lang = {"en_symbol": "en", "ch_doc": "ch"}.get(str(kind).lower(), kind)
    if lang is not None:
        script_of(lang)
    if version is not None or lang is not None:
        detector, recogniser = models_for(lang, version)
        call.create |= {"text_detection_model_name": detector, "text_recognition_model_name": recogniser}
        if version == "PP-OCRv5":
            call.notes.append(f"{detector} and {recogniser}; PaddleOCR 3.x takes PP-OCRv5_server where there is one")
    for part, module in MODULES.items():
        weights, described = set_.get(f"{part}_model_dir"), set_.get(f"{part}_yaml_path")
        if described is not None and weights is None:
            raise SpecError(f"{part}_yaml_path={described!r} describes weights; give {part}_model_path as well")
        if weights is not None:
            charset = set_.get(f"{part}_char_dict_path")
            call.create.pop(f"{module}_model_name", None)
            call.create[f"{module}_model_dir"] = described_as(weights, described, charset) if described else weights
    _check_recogniser(set_.get("rec_algorithm"), call)


def _check_recogniser(algorithm: str | None, call: Call) -> None:
    """Whether the recogniser's weights are of the algorithm that was named.

    Raises:
        SpecError: no weights were given, or they are of another.
    """
    if algorithm not in ALGORITHMS:
        return  # upstream's names for whatever ends in CTC
    weights = call.create.get("text_recognition_model_dir")
    if weights is None:
        raise SpecError(f"rec_algorithm={algorithm!r}: give its weights with rec_model_path")
    found, wanted = load_checkpoint(find(weights)).spec, load_spec(ALGORITHMS[algorithm])
    if found.family != wanted.family:
        raise SpecError(f"rec_algorithm={algorithm!r}: {weights} holds {found.name}, of {found.family}")


def described_as(weights: str, described: str, charset: str | None) -> str:
    """The `.pth` of weights whose network a training YAML describes, made when it is not in the cache."""
    spec, dictionary = spec_from_paddle(described)
    chosen = charset or dictionary
    parts = [Path(weights), Path(described), *([Path(chosen)] if chosen else [])]
    digest = hashlib.sha256()
    for part in parts:
        files = sorted(p for p in part.iterdir() if p.is_file()) if part.is_dir() else [part]
        for file in files:
            if not file.is_file():
                raise SpecError(f"{file}: no such file")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    target = paths.cache_weights() / "converted" / f"{Path(weights).stem}-{digest.hexdigest()[:16]}.pth"
    return str(made(target, lambda part: save_checkpoint(part, convert(weights, model=spec, charset=chosen)),
                    failure=WeightsError, remedy="set PTOCR_HOME to a folder that can, with space left"))  # fmt: skip
