"""The OCR pipeline: find lines, make them upright, read them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ptocr.charset import CTCText
from ptocr.io.page import Page
from ptocr.io.read import iter_pages
from ptocr.pipelines.config import OCROptions, PipelineSpec
from ptocr.pipelines.models import Models
from ptocr.processing.geometry import crop_poly, crop_quad, sort_boxes
from ptocr.results import OCRResult
from ptocr.spec import DetPostprocess, DetPreprocess


@dataclass
class _Lines:
    """The lines of one page on their way through the pipeline."""

    page: Page
    polys: list[np.ndarray]
    crops: list[np.ndarray]
    angles: list[int]
    texts: list[CTCText]
    timings: dict[str, float]


class OCRPipeline:
    """Reads pages. One object may serve many threads: options of a call never outlive it."""

    def __init__(self, spec: PipelineSpec, models: Models, defaults: OCROptions | None = None) -> None:
        self.spec = spec
        self.models = models
        self.defaults = defaults or OCROptions()

    def predict(self, input: Any, **options: Any) -> Iterator[OCRResult]:
        """Read everything in `input`, page by page, as a generator.

        input: path, folder, glob, URL, PDF, ndarray (BGR), bytes, PIL image, or a list of those; options: see
        `OCROptions`, for this call only.

        Raises:
            InputError: an input cannot be read; with `on_error=callback` the callback gets it and the rest goes on.
            SpecError: unknown option, or one that needs a model the pipeline does not have.
        """
        settings = self.defaults.merged(options)
        return self._predict(input, settings)

    def _predict(self, input: Any, options: OCROptions) -> Iterator[OCRResult]:
        reading = {k: getattr(options, k) for k in ("max_pixels", "pdf_dpi") if getattr(options, k) is not None}
        pages = iter_pages(
            input,
            recursive=options.recursive,
            max_pages=options.max_pages,
            page_range=options.page_range,
            password=options.password,
            allow_private=options.allow_private,
            on_error=options.on_error,
            **reading,
        )
        for page in pages:
            yield self.read(page, options)

    def read(self, page: Page, options: OCROptions) -> OCRResult:
        """Read one page."""
        lines = self._find(page, options)
        self._turn(lines, options)
        self._recognise(lines, options)
        return self._result(lines, options)

    def _find(self, page: Page, options: OCROptions) -> _Lines:
        start = time.perf_counter()
        pre, post = self.detection_settings(options)
        found = self.models.detector(page.image, pre, post)
        polys = [found.polys[i] for i in sort_boxes(found.polys)]
        middle = time.perf_counter()
        crop = crop_quad if post.box_type == "quad" else crop_poly
        crops = [crop(page.image, poly) for poly in polys]
        timings = {"det": middle - start, "crop": time.perf_counter() - middle}
        return _Lines(page, polys, crops, [-1] * len(crops), [], timings)

    def _turn(self, lines: _Lines, options: OCROptions) -> None:
        if not self._use_orientation(options) or not lines.crops:
            return
        start = time.perf_counter()
        classifier = self.models.line_classifier
        shape = options.textline_orientation_image_shape
        pre = classifier.pre if shape is None else classifier.pre.model_copy(update={"image_shape": shape})
        threshold = options.textline_orientation_thresh
        threshold = classifier.post.threshold if threshold is None else threshold
        for i, found in enumerate(classifier(lines.crops, self.models.batch_size("TextLineOrientation"), pre)):
            turn = found.label.startswith("180") and found.score > threshold
            lines.angles[i] = int(turn)
            if turn:
                lines.crops[i] = cv2.rotate(lines.crops[i], cv2.ROTATE_180)
        lines.timings["cls"] = time.perf_counter() - start

    def _recognise(self, lines: _Lines, options: OCROptions) -> None:
        start = time.perf_counter()
        if lines.crops:
            recognizer = self.models.recognizer
            shape = options.text_rec_image_shape
            pre = recognizer.pre if shape is None else recognizer.pre.model_copy(update={"image_shape": shape})
            batch_size = self.models.batch_size("TextRecognition")
            lines.texts = recognizer(lines.crops, options.rec_padding, batch_size, pre)
        lines.timings["rec"] = time.perf_counter() - start

    def _result(self, lines: _Lines, options: OCROptions) -> OCRResult:
        threshold = self._score_threshold(options)
        kept = [i for i, text in enumerate(lines.texts) if text.score >= threshold]
        pre, post = self.detection_settings(options)
        return OCRResult(
            input_path=lines.page.input_path,
            page_index=lines.page.page_index,
            image=lines.page.image,
            timings=lines.timings,
            model_settings={
                "use_doc_preprocessor": False,
                "use_textline_orientation": self._use_orientation(options),
            },
            dt_polys=lines.polys,
            text_det_params={
                "limit_side_len": pre.limit_side_len,
                "limit_type": pre.limit_type,
                "thresh": post.thresh,
                "max_side_limit": pre.max_side_limit,
                "box_thresh": post.box_thresh,
                "unclip_ratio": post.unclip_ratio,
            },
            text_type=self.spec.text_type,
            textline_orientation_angles=lines.angles,
            text_rec_score_thresh=threshold,
            rec_texts=[lines.texts[i].text for i in kept],
            rec_scores=[lines.texts[i].score for i in kept],
            rec_polys=[lines.polys[i] for i in kept],
            pdf=lines.page.pdf,
            line_images=[lines.crops[i] for i in kept] if options.keep_line_images else None,
        )

    def detection_settings(self, options: OCROptions) -> tuple[DetPreprocess, DetPostprocess]:
        """Pre- and postprocessing of a call: the model's, then the pipeline's, then the call's."""
        module, detector = self.spec.SubModules.TextDetection, self.models.detector
        pre_given = {name: getattr(module, name) for name in ("limit_side_len", "limit_type", "max_side_limit")}
        post_given = {name: getattr(module, name) for name in ("thresh", "box_thresh", "unclip_ratio")}
        pre_call = {name: getattr(options, f"text_det_{name}") for name in pre_given}
        names = (*post_given, "use_dilation", "score_mode", "box_type", "max_candidates")
        post_call = {name: getattr(options, f"text_det_{name}") for name in names}
        return _updated(detector.pre, pre_given, pre_call), _updated(detector.post, post_given, post_call)

    def _use_orientation(self, options: OCROptions) -> bool:
        asked = options.use_textline_orientation
        return self.spec.use_textline_orientation if asked is None else asked

    def _score_threshold(self, options: OCROptions) -> float:
        asked = options.text_rec_score_thresh
        return self.spec.SubModules.TextRecognition.score_thresh if asked is None else asked


def _updated(settings: Any, *layers: dict[str, Any]) -> Any:
    changes = {key: value for layer in layers for key, value in layer.items() if value is not None}
    return settings.model_copy(update=changes) if changes else settings
