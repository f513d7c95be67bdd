"""`RapidOCR(...)` of RapidOCR 3.x over the OCR pipeline, with its own way to prepare a page."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from ptocr.compat.arguments import check_allowed, check_names, meaningless, warn_once
from ptocr.compat.pages import only_page
from ptocr.compat.rapid_page import Frame, word_results
from ptocr.compat.rapid_results import RapidOCROutput, TextClsOutput, TextDetOutput, TextRecOutput
from ptocr.errors import SpecError
from ptocr.pipelines import create_pipeline
from ptocr.pipelines.config import DetectionConfig
from ptocr.pipelines.detect import detection_settings
from ptocr.pipelines.predict_options import OCROptions
from ptocr.pipelines.single import ModelPredictor
from ptocr.predictors.detection import TextDetector
from ptocr.predictors.predictor import Predictor
from ptocr.processing.geometry import sort_boxes
from ptocr.processing.image import rotate180
from ptocr.spec.languages import models_for
from ptocr.spec.settings import DetPreprocess
from ptocr.spec.yaml import read_yaml


class EngineType(Enum):
    """What runs the networks. Paddle, TensorRT and MNN are not here; ptocr's own engine runs in their place."""

    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    PADDLE = "paddle"
    TORCH = "torch"
    TENSORRT = "tensorrt"
    MNN = "mnn"


class ModelType(Enum):
    """Sizes of models: tiny, small, medium of PP-OCRv6, mobile and server of the older ones."""

    MOBILE = "mobile"
    SERVER = "server"
    TINY = "tiny"
    SMALL = "small"
    MEDIUM = "medium"


class OCRVersion(Enum):
    """Versions of PP-OCR."""

    PPOCRV4 = "PP-OCRv4"
    PPOCRV5 = "PP-OCRv5"
    PPOCRV6 = "PP-OCRv6"


class LangDet(Enum):
    """Languages of detectors."""

    CH = "ch"
    EN = "en"
    MULTI = "multi"


class LangCls(Enum):
    """Languages of classifiers."""

    CH = "ch"


LangRec = Enum(  # type: ignore[misc]
    "LangRec",
    {name.upper(): name for name in (
        "ch", "ch_doc", "en", "arabic", "chinese_cht", "cyrillic", "devanagari", "japan", "korean", "ka", "latin", "ta",
        "te", "eslav", "th", "el",
    )},
)  # fmt: skip

_MODEL = {"engine_type": "onnxruntime", "lang_type": "ch", "model_path": None, "model_dir": None}
# RapidOCR 3.10's config.yaml
DEFAULTS: dict[str, dict[str, Any]] = {
    "Global": {
        "text_score": 0.5, "use_det": True, "use_cls": True, "use_rec": True, "use_preprocess_img": True,
        "min_side_len": 30, "max_side_len": 2000, "use_vertical_padding": True, "min_height": 30,
        "width_height_ratio": 8, "return_word_box": False, "return_single_char_box": False, "font_path": None,
        "log_level": "info", "model_root_dir": None,
    },
    "Det": {
        **_MODEL, "model_type": "small", "ocr_version": "PP-OCRv6", "task_type": "det", "limit_side_len": 736,
        "limit_type": "min", "std": [0.5, 0.5, 0.5], "mean": [0.5, 0.5, 0.5], "thresh": 0.3, "box_thresh": 0.5,
        "max_candidates": 1000, "unclip_ratio": 1.6, "use_dilation": True, "score_mode": "fast",
    },
    "Cls": {
        **_MODEL, "model_type": "mobile", "ocr_version": "PP-OCRv4", "task_type": "cls",
        "cls_image_shape": [3, 48, 192], "cls_batch_num": 6, "cls_thresh": 0.9, "label_list": ["0", "180"],
    },
    "Rec": {
        **_MODEL, "model_type": "small", "ocr_version": "PP-OCRv6", "task_type": "rec", "rec_keys_path": None,
        "rec_img_shape": [3, 48, 320], "rec_batch_num": 6,
    },
}  # fmt: skip
_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "Det.task_type": (("det",), "the section says the task"),
    "Cls.task_type": (("cls",), "the section says the task"),
    "Rec.task_type": (("rec",), "the section says the task"),
    "Cls.label_list": ((["0", "180"],), "the classes are those of the weights"),
}
_IGNORED = ("Global.font_path", "Global.log_level", "Global.model_root_dir")
_OURS = ("onnxruntime", "openvino", "torch")
_CALL = {
    "use_det": "Global", "use_cls": "Global", "use_rec": "Global", "return_word_box": "Global",
    "return_single_char_box": "Global", "text_score": "Global", "box_thresh": "Det", "unclip_ratio": "Det",
}  # fmt: skip


class RapidOCR:
    """PP-OCR with RapidOCR 3.x's arguments, settings and results.

    config_path: a YAML like that of `rapidocr config`; params: `{"Det.box_thresh": 0.4, ...}` on top of it. The page is
    prepared and lines are batched as RapidOCR does, so that it reads what RapidOCR reads.

    Raises:
        SpecError: an unknown key (close ones are suggested), or a value that cannot be had.
    """

    defaults = DEFAULTS
    _spaces = False  # whether spaces are among the characters of `return_single_char_box`

    def __init__(self, config_path: str | Path | None = None, params: Mapping[str, Any] | None = None) -> None:
        given = _flat(read_yaml(Path(config_path)) or {}) if config_path is not None else {}
        given |= {key: value.value if isinstance(value, Enum) else value for key, value in (params or {}).items()}
        engine_config = {k: given.pop(k) for k in list(given) if k.startswith("EngineConfig.")}
        known = [f"{section}.{name}" for section, values in self.defaults.items() for name in values]
        check_names(given, known, "RapidOCR")
        check_allowed(given, _REFUSED)
        self.cfg = copy.deepcopy(self.defaults)
        for key, value in given.items():
            section, _, name = key.partition(".")
            self.cfg[section][name] = value
        idle = [key for key in _IGNORED if given.get(key) not in (None, self.defaults["Global"][key[7:]])]
        create, more = self._runtime(given, engine_config)
        if idle or more:
            warn_once(meaningless([*idle, *more]))
        self._pipeline = create_pipeline("OCR", **create, **self._models())
        self._lock = threading.Lock()
        self._prepared = False

    # ---- set-up ----

    def _runtime(self, given: Mapping[str, Any], engine: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Options of `create_pipeline` about where networks run, and keys that say nothing here."""
        chosen = {given[key] for key in ("Det.engine_type", "Cls.engine_type", "Rec.engine_type") if key in given}
        known = sorted(name for name in chosen if name in _OURS)
        check_allowed({"engine_type": next((n for n in chosen if n not in {e.value for e in EngineType}), None)},
                      {"engine_type": (tuple(e.value for e in EngineType), "unknown engine")})  # fmt: skip
        create: dict[str, Any] = {}
        idle = [f"engine_type={name}" for name in sorted(chosen - set(known))]
        if len(known) == 1 and known[0] != "onnxruntime":  # RapidOCR's default; ours gives the same results without it
            create["engine"] = known[0]
        for key, value in engine.items():
            name = key.rpartition(".")[2]
            if name in ("intra_op_num_threads", "inference_num_threads", "cpu_math_library_num_threads"):
                create |= {"threads": value} if value and value > 0 and name[:5] != "inter" else {}
            elif name == "use_cuda":
                create |= {"device": "gpu"} if value else {}
            elif value not in (None, False, -1, {}) and not name.endswith("device_id"):
                idle.append(key)
        return create, idle

    def _models(self) -> dict[str, Any]:
        """Options of `create_pipeline` about models and batches."""
        det, cls, rec = self.cfg["Det"], self.cfg["Cls"], self.cfg["Rec"]
        out: dict[str, Any] = {
            "textline_orientation_batch_size": cls["cls_batch_num"],
            "text_recognition_batch_size": rec["rec_batch_num"],
            "text_recognition_charset": rec["rec_keys_path"],
        }
        names = {"text_detection": (det, _detector), "text_recognition": (rec, _recogniser),
                 "textline_orientation": (cls, _classifier)}  # fmt: skip
        for module, (section, name_of) in names.items():
            weights = section["model_path"] or section["model_dir"]
            out |= {f"{module}_model_dir": str(weights)} if weights else {f"{module}_model_name": name_of(section)}
        return out

    def _ready(self) -> None:
        """Let the detector normalise its input as `Det.mean` and `Det.std` say."""
        with self._lock:
            if not self._prepared:
                detector, det = self._pipeline.models.get("TextDetection", TextDetector), self.cfg["Det"]
                pre = detector.pre.model_dump()
                pre["normalize"] |= {"mean": det["mean"], "std": det["std"]}
                detector.pre = DetPreprocess.model_validate(pre | {"max_pixels": 0})
                self._prepared = True

    # ---- use ----

    def __call__(
        self, img_content: Any, **options: Any
    ) -> RapidOCROutput | TextDetOutput | TextRecOutput | TextClsOutput:
        """Read one picture: path, URL, bytes, array (BGR), Pillow image.

        options: use_det, use_cls, use_rec, return_word_box, return_single_char_box, text_score, box_thresh,
        unclip_ratio. They stay in force for later calls, as in RapidOCR.

        Raises:
            InputError: the picture cannot be read. SpecError: unknown option.
        """
        check_names(options, _CALL, "RapidOCR call")
        for name, value in options.items():
            if value is not None:
                self.cfg[_CALL[name]][name] = value
        page = only_page(img_content).image
        settings = self.cfg["Global"]
        frame = Frame.of(page, settings)
        if settings["use_det"]:
            return self._read(page, frame) if settings["use_rec"] else self._boxes(page, frame)
        return self._line(frame.image)

    def _read(self, page: np.ndarray, frame: Frame) -> RapidOCROutput:
        self._ready()
        settings = self.cfg["Global"]
        words = settings["return_word_box"]
        options = {f"text_det_{name}": value for name, value in self._detection().items()}
        result = next(
            self._pipeline.predict(
                frame.padded,
                **options,
                use_textline_orientation=bool(settings["use_cls"]),
                textline_orientation="paddle",
                textline_orientation_thresh=self.cfg["Cls"]["cls_thresh"],
                text_rec_image_shape=tuple(self.cfg["Rec"]["rec_img_shape"]),
                text_rec_score_thresh=settings["text_score"],
                rec_padding="paddle",
                return_char_box=bool(words),
            )
        )
        keep = [i for i, text in enumerate(result.rec_texts) if text.strip()]
        if not keep:
            return RapidOCROutput()
        boxes = frame.back(np.stack([result.rec_polys[i] for i in keep]))
        times = [result.timings.get(name) for name in ("det", "cls", "rec")]
        return RapidOCROutput(
            img=page,
            boxes=boxes,
            txts=tuple(result.rec_texts[i] for i in keep),
            scores=tuple(round(float(result.rec_scores[i]), 5) for i in keep),
            word_results=word_results(result, keep, frame, settings["return_single_char_box"], self._spaces)
            if words
            else (),
            elapse_list=times,
        )

    def _detection(self) -> dict[str, Any]:
        """Settings of the detector. RapidOCR bounds the page, not what the detector makes of it."""
        names = (
            "limit_side_len", "limit_type", "thresh", "box_thresh", "unclip_ratio", "max_candidates", "use_dilation",
            "score_mode",
        )  # fmt: skip
        return {name: self.cfg["Det"][name] for name in names} | {"max_side_limit": 10**6, "max_pixels": 0, "tile": 0}

    def _boxes(self, page: np.ndarray, frame: Frame) -> TextDetOutput | RapidOCROutput:
        self._ready()
        began = time.perf_counter()
        models = self._pipeline.models
        module = models.module("TextDetection")
        assert isinstance(module, DetectionConfig)
        options = OCROptions().merged({f"text_det_{name}": value for name, value in self._detection().items()})
        detector = models.get("TextDetection", TextDetector)
        found = detector(frame.padded, *detection_settings(detector, module, options))
        order = sort_boxes(found.polys)
        if not order:
            return RapidOCROutput()
        boxes = frame.back(np.stack([found.polys[i] for i in order]))
        scores = [float(found.scores[i]) for i in order]
        return TextDetOutput(page, boxes, scores, time.perf_counter() - began)

    def _line(self, image: np.ndarray) -> RapidOCROutput | TextRecOutput | TextClsOutput:
        """A picture of one line, without detection."""
        settings, cls, rec = self.cfg["Global"], self.cfg["Cls"], self.cfg["Rec"]
        began, label = time.perf_counter(), None
        if settings["use_cls"]:
            found = self._alone("TextLineOrientation", image)
            label = (found["label_names"][0].removesuffix("_degree"), float(found["scores"][0]))
            if label[0] == "180" and label[1] > cls["cls_thresh"]:
                image = rotate180(image)
        if not settings["use_rec"]:
            return RapidOCROutput() if label is None else TextClsOutput([image], [label], time.perf_counter() - began)
        options = {"padding": "paddle", "image_shape": tuple(rec["rec_img_shape"])}
        read = self._alone("TextRecognition", image, **options)
        score, seconds = round(float(read["rec_score"]), 5), time.perf_counter() - began
        return TextRecOutput([image], (read["rec_text"],), (score,), (None,), seconds)

    def _alone(self, module: str, image: np.ndarray, **options: Any) -> Any:
        predictor = self._pipeline.models.get(module, Predictor)
        return next(ModelPredictor(predictor.runtime).predict(image, **options))


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys; lists and what RapidOCR keeps as tables of engines stay values."""
    if not isinstance(config, Mapping):
        raise SpecError(f"RapidOCR: the configuration is a {type(config).__name__}, not a table of settings")
    out: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        out |= _flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return out


def _detector(section: Mapping[str, Any]) -> str:
    if section["ocr_version"] == "PP-OCRv4" and section["lang_type"] != "ch":
        raise SpecError(f"Det.lang_type={section['lang_type']!r} cannot be had with PP-OCRv4; there is ch (PP-OCRv5 "
                        "and PP-OCRv6 detect every script)")  # fmt: skip
    return models_for("ch", section["ocr_version"], section["model_type"])[0]


def _recogniser(section: Mapping[str, Any]) -> str:
    if section["lang_type"] == "ch_doc":
        return "PP-OCRv4_server_rec_doc"
    return models_for(section["lang_type"], section["ocr_version"], section["model_type"])[1]


def _classifier(section: Mapping[str, Any]) -> str:
    if section["ocr_version"] == "PP-OCRv4":
        return "ch_ppocr_mobile_v2.0_cls"
    return f"PP-LCNet_x{'1_0' if section['model_type'] == 'server' else '0_25'}_textline_ori"
