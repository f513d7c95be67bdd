"""What `tools/benchmark.py` compares: which contenders, with which settings, on which input."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptocr import paths

from .timing import Contender

MODES = {
    "default": {},
    "default bf16": {"dtype": "bfloat16"},
    "eager": {"engine": "torch"},
    "aot fp32": {"compile": "aot", "dtype": "float32"},
    "aot bf16": {"compile": "aot", "dtype": "bfloat16"},
}
FAST = {"fast": {"profile": "fast"}}  # of pipelines alone


@dataclass(frozen=True)
class NetworkCase:
    """One network on one input; `onnx` is the same network inside an installed package."""

    title: str
    model: str
    shape: tuple[int, ...]
    onnx: str


NETWORK_CASES = (
    NetworkCase(
        "PP-OCRv4_mobile_det 1x3x736x1280",
        "PP-OCRv4_mobile_det",
        (1, 3, 736, 1280),
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
    ),
    NetworkCase(
        "PP-OCRv4_mobile_rec 6x3x48x320",
        "PP-OCRv4_mobile_rec",
        (6, 3, 48, 320),
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
    ),
    NetworkCase(
        "ch_ppocr_mobile_v2.0_cls 6x3x48x192",
        "ch_ppocr_mobile_v2.0_cls",
        (6, 3, 48, 192),
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
    ),
    NetworkCase(
        "PP-OCRv6_small_det 1x3x736x1280",
        "PP-OCRv6_small_det",
        (1, 3, 736, 1280),
        "rapidocr/models/PP-OCRv6_det_small.onnx",
    ),
    NetworkCase(
        "PP-OCRv6_small_rec 6x3x48x320",
        "PP-OCRv6_small_rec",
        (6, 3, 48, 320),
        "rapidocr/models/PP-OCRv6_rec_small.onnx",
    ),
)

# RapidOCR 1.4's defaults in our words
RAPID = {
    "text_det_limit_side_len": 736,
    "text_det_limit_type": "min",
    "text_det_max_side_limit": 2000,
    "text_det_box_thresh": 0.5,
    "text_det_unclip_ratio": 1.6,
    "text_det_use_dilation": True,
    "text_rec_score_thresh": 0.5,
    "use_textline_orientation": True,
    "textline_orientation": "paddle",
}
# PaddleOCR 2.x's defaults, with its angle classifier
PADDLE = {
    "text_det_limit_side_len": 960,
    "text_det_limit_type": "max",
    "text_rec_score_thresh": 0.5,
    "use_textline_orientation": True,
    "textline_orientation": "paddle",
    "rec_padding": "paddle",
}
V4 = {
    "text_detection_model_name": "PP-OCRv4_mobile_det",
    "text_recognition_model_name": "PP-OCRv4_mobile_rec",
    "textline_orientation_model_name": "ch_ppocr_mobile_v2.0_cls",
}
V6 = {
    "text_detection_model_name": "PP-OCRv6_small_det",
    "text_recognition_model_name": "PP-OCRv6_small_rec",
    "textline_orientation_model_name": "ch_ppocr_mobile_v2.0_cls",
}


PAGE_SUITES = {
    "rapidocr": "RapidOCR's settings, PP-OCRv4 mobile",
    "rapidocr-v6": "RapidOCR's settings, PP-OCRv6 small",
    "paddleocr": "PaddleOCR's settings, PP-OCRv4 mobile",
    "defaults": "each system's own defaults, PP-OCRv6 small",
}
# Systems of the suite "defaults". The models that two of them lack are those of rapidocr 3.10's package.
DEFAULTS = ("faster-paddle", "turboocr", "rapidocr3-openvino", "rapidocr", "rapidocrlite")


def network_contenders(case: NetworkCase, threads: int, device: str, python: Mapping[str, str]) -> list[Contender]:
    """Ours in all modes, ONNX Runtime, OpenVINO in two; the last ones on a CPU only."""
    ours = [
        Contender(f"ptocr {name}", "ptocr", {"model": case.model, "device": device, "threads": threads, **mode})
        for name, mode in MODES.items()
    ]
    if device != "cpu":
        return ours
    model = {"model": f"package:{case.onnx}", "threads": threads}
    package = case.onnx.partition("/")[0].replace("_", "-")
    peers = [Contender("onnxruntime fp32", "onnxruntime", model, python.get(package, sys.executable))]
    for precision in ("f32", "bf16"):
        where = python.get("rapidocr-openvino", sys.executable)
        path = case.onnx.replace("rapidocr_onnxruntime", "rapidocr_openvino")
        options = {"model": f"package:{path}", "threads": threads, "precision": precision}
        if package == "rapidocr-onnxruntime":  # the other package's files are not in OpenVINO's environment
            peers.append(Contender(f"openvino {precision}", "openvino", options, where))
    return ours + peers


def default_peer(kind: str, threads: int, python: Mapping[str, str], v6_models: Path | None = None) -> Contender:
    """One of `DEFAULTS` with its own settings."""
    models = str(v6_models.absolute()) if v6_models else "package:rapidocr/models"
    charset = str(paths.configs() / "charsets" / "ppocrv6_dict.txt")
    options = {"threads": threads, "models": models, "charset": charset}
    return Contender(kind, kind, options, python.get(kind, sys.executable))


def page_contenders(
    suite: str,
    threads: int,
    device: str,
    python: Mapping[str, str],
    paddle_models: Path | None = None,
    v6_models: Path | None = None,
) -> list[Contender]:
    """Whole systems: suite "rapidocr" (its settings on both sides), "rapidocr-v6", "paddleocr", or "defaults".

    paddle_models: folder with the inference folders `det`, `rec` and `cls` of the official v4 mobile models.
    v6_models: folder with the ONNX files of rapidocr 3.10's package.
    """
    if suite == "defaults":
        ours = {"pipeline": "OCR", "device": device, "threads": threads}
        modes = [Contender(f"ptocr {name}", "ptocr", ours | way) for name, way in (MODES | FAST).items()]
        return modes + [default_peer(kind, threads, python, v6_models) for kind in DEFAULTS]
    settings, models = {"rapidocr": (RAPID, V4), "rapidocr-v6": (RAPID, V6), "paddleocr": (PADDLE, V4)}[suite]
    common: dict[str, Any] = {**settings, **models, "device": device, "threads": threads}
    compared = [Contender(f"ptocr {name}", "ptocr", {**common, **mode}) for name, mode in MODES.items()]

    def peer(name: str, kind: str, options: dict[str, Any]) -> Contender:
        return Contender(name, kind, {**options, "threads": threads}, python.get(kind, sys.executable))

    if suite == "rapidocr":
        kinds = ("rapidocr-onnxruntime", "rapidocr-openvino")
        return compared + [peer(kind, kind, {}) for kind in kinds]
    if suite == "rapidocr-v6":
        return [*compared, peer("rapidocr 3.x", "rapidocr", {})]
    official: dict[str, Any] = {"use_angle_cls": True, "lang": "ch"}
    if paddle_models is not None:
        official |= {f"{part}_model_dir": str(paddle_models / part) for part in ("det", "rec", "cls")}
    return [
        *compared,
        peer("paddleocr", "paddleocr", {**official, "enable_mkldnn": False}),
        peer("paddleocr mkldnn", "paddleocr", {**official, "enable_mkldnn": True}),
    ]
