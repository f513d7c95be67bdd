"""`PaddleOCR(...)`: 3.x's `predict` and 2.x's `ocr` over the OCR pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from ptocr.compat import paddle2
from ptocr.compat.arguments import IGNORED, REFUSED, check_allowed, check_names, meaningless, newer_names, warn_once
from ptocr.compat.pages import bgr_pages
from ptocr.document import draw
from ptocr.document.results import ClsResult, DetResult, OCRResult, RecResult
from ptocr.errors import SpecError
from ptocr.files import write_atomic
from ptocr.inputs.page import Page
from ptocr.pipelines import create_pipeline
from ptocr.pipelines.predict_options import OCROptions
from ptocr.pipelines.single import ModelPredictor
from ptocr.predictors.predictor import Predictor
from ptocr.processing.image import rotate180

# PaddleOCR 3.7's arguments beside those that `predict` takes.
MODELS = tuple(
    f"{module}_{what}"
    for module in ("doc_orientation_classify", "doc_unwarping", "text_detection", "textline_orientation",
                   "text_recognition")
    for what in ("model_name", "model_dir")
)  # fmt: skip
SIZES = ("textline_orientation_batch_size", "text_recognition_batch_size")
RUNTIME = ("device", "engine", "precision", "cpu_threads")
PREDICT = (
    "use_doc_orientation_classify", "use_doc_unwarping", "use_textline_orientation", "text_det_limit_side_len",
    "text_det_limit_type", "text_det_thresh", "text_det_box_thresh", "text_det_unclip_ratio", "text_rec_score_thresh",
    "return_word_box",
)  # fmt: skip
# Paddle's own engines, in whose place ours runs.
_PADDLE_ENGINES = ("paddle", "paddle_static", "paddle_dynamic", "transformers")
DROP_SCORE = 0.5  # 2.x leaves out lines that score less


class PaddleOCR:
    """PP-OCR with PaddleOCR's arguments, those of 3.x and those of 2.x.

    Without arguments it is `create_pipeline("OCR")`, PP-OCRv6 small (PaddleOCR 3.7 takes v6 medium, turns pages by a
    classifier and flattens them; name the models and pass `use_doc_unwarping=True` for that). `ocr_version="PP-OCRv4"`
    or "PP-OCRv3" brings their models, and PaddleOCR 2.x's settings to `ocr`.

    Raises:
        SpecError: an unknown argument (close names are suggested), or one that would change the result and cannot be
            had. DeviceError: no such device.
    """

    def __init__(self, **arguments: Any) -> None:
        given = {name: value for name, value in arguments.items() if value is not None}
        own = set(OCROptions.model_fields)
        three = {*MODELS, *SIZES, *RUNTIME, *IGNORED, *REFUSED, *PREDICT, *own, "paddlex_config"} - {"cpu_threads"}
        three -= {"precision", "rec_padding"}  # both have these; 2.x's table knows them
        other = {name for option in paddle2.ACTS.values() for name in option.also}
        two = {*paddle2.ACTS, *other, *paddle2.REFUSED, *paddle2.IGNORED, *paddle2.CONSOLE}
        check_names(given, [*three, *two], "PaddleOCR")
        check_allowed(given, REFUSED)
        newer_names(given)
        self._call = paddle2.translate({k: v for k, v in given.items() if k not in three})
        ignored = [*self._call.ignored, *(name for name in IGNORED if name in given)]
        if ignored:
            warn_once(meaningless(ignored))
        for note in self._call.notes:
            warn_once(note)
        explicit = {name: given[name] for name in own if name in given}
        self._options = self._call.predict | explicit
        create = self._call.create | {name: given[name] for name in (*MODELS, *SIZES, "device") if name in given}
        create |= _engine(given.get("engine"))
        self.paddlex_pipeline = create_pipeline(given.get("paddlex_config", "OCR"), **create, **self._options)

    # ---- 3.x ----

    def predict_iter(self, input: Any, **options: Any) -> Iterator[OCRResult]:
        """Results page by page, as they are read. Arguments as of `predict`."""
        check_names(options, OCROptions.model_fields, "predict")
        return self.paddlex_pipeline.predict(input, **options)

    def predict(self, input: Any, **options: Any) -> list[OCRResult]:
        """Read everything in `input`: path, folder, URL, PDF, array (BGR), or a list of those.

        options: `use_doc_orientation_classify`, `use_doc_unwarping`, `use_textline_orientation`, `text_det_...`,
        `text_rec_score_thresh`, `return_word_box`, for this call; what they are not told, the constructor said.

        Raises:
            InputError: an input cannot be read. SpecError: unknown option.
        """
        return list(self.predict_iter(input, **options))

    def close(self) -> None:
        """Let go of the models."""
        self.paddlex_pipeline.models._loaded.clear()

    def export_paddlex_config_to_yaml(self, yaml_path: str | Path) -> None:
        """Write the pipeline's configuration, which `paddlex_config` and `create_pipeline` take."""
        text = yaml.safe_dump(self.paddlex_pipeline.spec.model_dump(), sort_keys=False, allow_unicode=True)
        write_atomic(yaml_path, text.encode("utf-8"))

    # ---- 2.x ----

    def ocr(
        self,
        img: Any,
        det: bool = True,
        rec: bool = True,
        cls: bool = True,
        bin: bool = False,
        inv: bool = False,
        alpha_color: tuple[int, int, int] = (255, 255, 255),
        slice: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> list[Any]:
        """Read as PaddleOCR 2.x's `ocr` does. img: path, URL, bytes, array (BGR), or with `det=False` a list of arrays.
        bin: black and white by Otsu's threshold; inv: negative; alpha_color: (B, G, R) behind what is transparent.

        Returns a list with one entry per page:
            det and rec: `[[corners, (text, score)], ...]`, None for a page without text.
            det alone: `[corners, ...]`, None for a page without text. rec alone: `[(text, score), ...]`.
            neither: `[[label, score], ...]` of the classifier; an empty list without the classifier.

        Raises:
            SpecError: `slice`, or an argument of 3.x. InputError: the input cannot be read.
        """
        if options:
            raise SpecError(f"ocr: {', '.join(options)}: 2.x's `ocr` does not take it; `predict` is 3.x's")
        if slice:
            raise SpecError(f"slice={slice!r} cannot be had: large pages are tiled by text_det_tile=PIXELS instead")
        if det and isinstance(img, list):
            raise SpecError("ocr: a list of pictures needs det=False; else call it once per page")
        pages = bgr_pages(img, alpha_color, self._options.get("max_pages", 0))
        if inv or bin:
            pages = (_filtered(page, inv, bin) for page in pages)
        if det and rec:
            return [_nested(result) for result in self._read(pages, cls)]
        if det:
            found = self._alone("TextDetection", pages, self._det_options())
            return [[poly.astype(float).tolist() for poly in r.dt_polys] or None for r in found]
        groups = [list(pages)] if isinstance(img, list) else [[page] for page in pages]
        return [line for group in groups for line in self._lines(group, rec, cls)]

    def _upright(self, cls: bool) -> bool:
        """Whether upside-down lines are turned: 2.x asks for it in the constructor and in the call."""
        legacy = bool(self._call.defaults)
        spec = self.paddlex_pipeline.spec
        wanted = self._options.get("use_textline_orientation", False if legacy else spec.use_textline_orientation)
        if cls and not wanted:
            warn_once("cls=True has no effect without use_angle_cls=True in PaddleOCR(...)")
        return bool(wanted and cls)

    def _read(self, pages: Iterator[Page], cls: bool) -> Iterator[OCRResult]:
        options = {"text_rec_score_thresh": DROP_SCORE, **self._call.defaults, **self._options}
        options["use_textline_orientation"] = self._upright(cls)
        return self.paddlex_pipeline.predict(pages, **options)

    def _det_options(self) -> dict[str, Any]:
        module = self.paddlex_pipeline.spec.SubModules.TextDetection
        names = ("limit_side_len", "limit_type", "max_side_limit", "thresh", "box_thresh", "unclip_ratio")
        asked = {**self._call.defaults, **self._options}
        own = (*names, "use_dilation", "score_mode", "box_type")
        given = {name: asked[f"text_det_{name}"] for name in own if f"text_det_{name}" in asked}
        return {name: getattr(module, name) for name in names} | given

    def _lines(self, pages: list[Page], rec: bool, cls: bool) -> list[Any]:
        """Pictures of single lines, turned where the classifier says so."""
        classes: list[Any] = []
        if self._upright(cls):
            classes = list(self._alone("TextLineOrientation", pages, {}))
            over = [_is_over(c, self._options.get("textline_orientation_thresh", 0.9)) for c in classes]
            pages = [Page(rotate180(p.image)) if turn else p for p, turn in zip(pages, over, strict=True)]
        if not rec:
            return [[[c.label_names[0].removesuffix("_degree"), c.scores[0]] for c in classes]] if classes else []
        read = self._alone("TextRecognition", pages, {"padding": "paddle"})
        return [[(r.rec_text, r.rec_score) for r in read]]

    def _alone(self, module: str, pages: Any, options: dict[str, Any]) -> Iterator[Any]:
        models = self.paddlex_pipeline.models
        predictor, size = models.get(module, Predictor), models.batch_size(module)
        found = ModelPredictor(predictor.runtime).predict(pages, batch_size=size, **options)
        for result in found:
            assert isinstance(result, DetResult | RecResult | ClsResult)
            yield result


def _engine(name: str | None) -> dict[str, str]:
    if name is None:
        return {}
    if name in _PADDLE_ENGINES:
        warn_once(f"engine={name!r}: ptocr has no Paddle in it; its own engine runs")
        return {}
    return {"engine": name}


def _is_over(result: ClsResult, threshold: float) -> bool:
    return result.label_names[0].startswith("180") and result.scores[0] > threshold


def _nested(result: OCRResult) -> list[Any] | None:
    """One page in 2.x's shape."""
    rows = zip(result.rec_polys, result.rec_texts, result.rec_scores, strict=True)
    return [[poly.astype(float).tolist(), (text, float(score))] for poly, text, score in rows] or None


def _filtered(page: Page, inv: bool, bin: bool) -> Page:
    image = cv2.bitwise_not(page.image) if inv else page.image
    if bin:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        image = cv2.cvtColor(cv2.threshold(grey, 0, 255, cv2.THRESH_OTSU)[1], cv2.COLOR_GRAY2BGR)
    return Page(image, page.input_path, page.page_index, page.page_count, page.pdf)


def draw_ocr(
    image: Any,
    boxes: Sequence[Any],
    txts: Sequence[str] | None = None,
    scores: Sequence[float] | None = None,
    drop_score: float = 0.5,
    font_path: str | None = None,
) -> np.ndarray:
    """PaddleOCR 2.x's picture of a result, (H, W or 2 W, 3) uint8 RGB: the page with its regions, beside their texts.

    image: Pillow image or array (RGB); boxes: corners of each region. font_path: without effect, a font that has the
    characters is chosen; `PTOCR_FONT` names another.
    """
    if font_path is not None:
        warn_once("font_path: a font that has the characters is chosen; PTOCR_FONT=FILE names another")
    keep = [i for i in range(len(boxes)) if scores is None or scores[i] >= drop_score]
    polys = [np.asarray(boxes[i], np.float32).reshape(-1, 2) for i in keep]
    page = np.ascontiguousarray(np.asarray(image)[:, :, :3][:, :, ::-1])
    if txts is None:
        return np.asarray(draw.draw_boxes(page, polys))
    return np.asarray(draw.draw_ocr(page, polys, [txts[i] for i in keep]))
