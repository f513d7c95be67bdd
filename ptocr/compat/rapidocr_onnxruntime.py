"""`RapidOCR(...)` of the older packages (rapidocr_onnxruntime, rapidocr_openvino, rapidocr_paddle): a call returns a
pair, `result, elapse = engine(img)`. The models are PP-OCRv4 mobile."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from ptocr.compat.arguments import check_names
from ptocr.compat.rapid_results import RapidOCROutput, TextClsOutput, TextDetOutput
from ptocr.compat.rapidocr import DEFAULTS
from ptocr.compat.rapidocr import RapidOCR as RapidOCR3

_GLOBAL = (
    "text_score", "use_det", "use_cls", "use_rec", "min_height", "width_height_ratio", "max_side_len", "min_side_len",
    "return_word_box",
)  # fmt: skip
# Constructor names of the older packages -> RapidOCR 3.x's keys; None: taken and without effect.
NAMES: dict[str, str | None] = {
    **{name: f"Global.{name}" for name in _GLOBAL},
    **{f"det_{name}": f"Det.{name}" for name in ("model_path", "limit_side_len", "limit_type", "thresh", "box_thresh",
                                                 "max_candidates", "unclip_ratio", "use_dilation", "score_mode")},
    "det_donot_use_dilation": "Det.use_dilation",
    "cls_model_path": "Cls.model_path", "cls_image_shape": "Cls.cls_image_shape", "cls_thresh": "Cls.cls_thresh",
    "cls_batch_num": "Cls.cls_batch_num", "cls_label_list": "Cls.label_list",
    "rec_model_path": "Rec.model_path", "rec_keys_path": "Rec.rec_keys_path", "rec_img_shape": "Rec.rec_img_shape",
    "rec_batch_num": "Rec.rec_batch_num",
    "intra_op_num_threads": "EngineConfig.onnxruntime.intra_op_num_threads",
    **{f"{task}_use_cuda": "EngineConfig.onnxruntime.use_cuda" for task in ("det", "cls", "rec")},
    **dict.fromkeys(("inter_op_num_threads", "print_verbose", "det_use_dml", "cls_use_dml", "rec_use_dml")),
}  # fmt: skip


def _version4() -> dict[str, dict[str, Any]]:
    settings = copy.deepcopy(DEFAULTS)
    for section in ("Det", "Rec"):
        settings[section] |= {"ocr_version": "PP-OCRv4", "model_type": "mobile"}
    return settings


class RapidOCR(RapidOCR3):
    """PP-OCR with the arguments and return values of rapidocr_onnxruntime 1.x.

    Raises:
        SpecError: an unknown argument (close names are suggested).
    """

    defaults = _version4()
    _spaces = True

    def __init__(self, config_path: str | Path | None = None, **options: Any) -> None:
        check_names(options, NAMES, "RapidOCR")
        params: dict[str, Any] = {}
        for name, value in options.items():
            key = NAMES[name]
            if key is not None and value is not None:
                params[key] = not value if name == "det_donot_use_dilation" else value
        if params.get("EngineConfig.onnxruntime.intra_op_num_threads") == -1:
            del params["EngineConfig.onnxruntime.intra_op_num_threads"]
        super().__init__(config_path, params)
        self.last: Any = None  # the result of the last call as an object, which draws itself

    def __call__(self, img_content: Any, **options: Any) -> tuple[list[Any] | None, list[float] | None]:  # type: ignore[override]
        """Read one picture. Returns (result, seconds of detection, classification, recognition), (None, None) where
        nothing was found.

        result: `[[corners, text, score], ...]`, with `return_word_box` also the corners, characters and scores of its
        characters; corners alone without recognition; `[text, score]` or `[label, score]` without detection.
        """
        if options.get("return_word_box"):
            options["return_single_char_box"] = True
        found = super().__call__(img_content, **options)
        self.last = found if len(found) else None
        if len(found) == 0:
            return None, None
        if isinstance(found, TextDetOutput):
            return [] if found.boxes is None else found.boxes.tolist(), [found.elapse]
        if isinstance(found, RapidOCROutput):
            return _rows(found), [seconds or 0.0 for seconds in found.elapse_list]
        rows = found.cls_res if isinstance(found, TextClsOutput) else zip(found.txts or (), found.scores, strict=True)
        return [list(row) for row in rows or ()], [found.elapse or 0.0]


def _rows(found: RapidOCROutput) -> list[list[Any]]:
    assert found.boxes is not None and found.txts is not None and found.scores is not None
    rows = [list(row) for row in zip(found.boxes.tolist(), found.txts, found.scores, strict=True)]
    for row, words in zip(rows, found.word_results, strict=False):
        row += [[corners for _, _, corners in words], [text for text, _, _ in words], [score for _, score, _ in words]]
    return rows
