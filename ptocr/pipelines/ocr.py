"""The OCR pipeline: prepare the page, find lines, make them upright, read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ptocr.document.results import OCRResult
from ptocr.inputs.ahead import read_ahead
from ptocr.inputs.page import Page
from ptocr.inputs.read import iter_pages
from ptocr.pipelines import orientation as direction
from ptocr.pipelines.config import PipelineSpec
from ptocr.pipelines.doc_preprocessor import Prepared, prepare, wanted
from ptocr.pipelines.modules import Models
from ptocr.pipelines.options import OCROptions
from ptocr.pipelines.page_map import PageMap, Turned
from ptocr.pipelines.parts import character_boxes, words
from ptocr.pipelines.reader import Line, PageLines, PageReader
from ptocr.processing.image import rotate


@dataclass(frozen=True)
class _Call:
    """What one call decided, from the pipeline's settings and its own options."""

    options: OCROptions
    preprocess: bool
    orientation: bool
    unwarping: bool
    line_orientation: bool
    score_thresh: float
    word_boxes: bool


class OCRPipeline:
    """Reads pages. One object may serve many threads: options of a call never outlive it."""

    def __init__(self, spec: PipelineSpec, models: Models, defaults: OCROptions | None = None) -> None:
        self.spec = spec
        self.models = models
        self.defaults = defaults or OCROptions()

    def predict(self, input: Any, **options: Any) -> Iterator[OCRResult]:
        """Read everything in `input`, page by page, as a generator.

        input: path, folder, glob, URL, PDF, ndarray (BGR), bytes, PIL image, `{"img": ...}`, or a list of those;
        options: see `OCROptions`, for this call only.

        Raises:
            InputError: an input cannot be read; with `on_error=callback` the callback gets it and the rest goes on.
            SpecError: unknown option, or one that needs a model the pipeline does not have.
        """
        settings = self.defaults.merged(options)
        return self._predict(input, settings)

    __call__ = predict

    def warm_up(self, **options: Any) -> None:
        """Load the models that `predict` with these options needs, and run each once: the first page waits for nothing.

        Raises:
            WeightsError, SpecError: a model is missing.
        """
        call = self._call(self.defaults.merged(options))
        optional = {
            "TextLineOrientation": call.line_orientation,
            "DocOrientationClassify": call.orientation,
            "DocUnwarping": call.unwarping,
        }
        names = ["TextDetection", "TextRecognition", *(name for name, wanted in optional.items() if wanted)]
        self.models.warm_up(names)

    def _predict(self, input: Any, options: OCROptions) -> Iterator[OCRResult]:
        for page in read_ahead(iter_pages(input, **options.reading())):
            yield self.read(page, options)

    def read(self, page: Page, options: OCROptions) -> OCRResult:
        """Read one page."""
        if self.spec.text_type == "seal" and options.text_det_box_type is None:
            options = options.merged({"text_det_box_type": "poly"})
        call = self._call(options)
        if call.preprocess:
            prepared = prepare(page, self.models, call.orientation, call.unwarping)
        else:
            prepared = Prepared(page.image)
        reader = PageReader(self.models, options, call.line_orientation)
        lines = reader.read(prepared.image, dict(prepared.timings))
        if call.line_orientation and options.textline_orientation == "evidence" and not call.orientation:
            lines = _upright(reader, lines)
        return self._result(page, prepared, lines, reader, call)

    def _call(self, options: OCROptions) -> _Call:
        spec, rec = self.spec, self.spec.SubModules.TextRecognition
        asked = (options.use_doc_orientation_classify, options.use_doc_unwarping)
        preprocess = any(asked) if any(v is not None for v in asked) else spec.use_doc_preprocessor
        sub = None if spec.SubPipelines is None else spec.SubPipelines.DocPreprocessor
        orientation, unwarping = wanted(sub, options) if preprocess else (False, False)
        lines, score, words = options.use_textline_orientation, options.text_rec_score_thresh, options.return_word_box
        return _Call(
            options,
            preprocess,
            orientation,
            unwarping,
            spec.use_textline_orientation if lines is None else lines,
            rec.score_thresh if score is None else score,
            rec.return_word_box if words is None else words,
        )

    def _result(self, page: Page, prepared: Prepared, found: PageLines, reader: PageReader, call: _Call) -> OCRResult:
        kept = [line for line in found.lines if line.text.score >= call.score_thresh]
        # A page that was turned because its lines said so is reported in the picture that went in, each polygon from
        # the top left of its text.
        turn = PageMap((Turned(found.angle, found.image.shape[:2]),)) if found.angle else PageMap()
        polys = [turn.back(line.poly) for line in kept]
        return OCRResult(
            input_path=page.input_path,
            page_index=page.page_index,
            image=prepared.image,
            timings=found.timings,
            model_settings={
                "use_doc_preprocessor": call.preprocess,
                "use_textline_orientation": call.line_orientation,
            },
            doc_preprocessor_res=prepared.result,
            dt_polys=[turn.back(line.poly) for line in found.lines],
            text_det_params=_detection_parameters(reader),
            text_type=self.spec.text_type,
            textline_orientation_angles=[int(n.upside_down) if call.line_orientation else -1 for n in found.lines],
            text_rec_score_thresh=call.score_thresh,
            return_word_box=call.word_boxes,
            rec_texts=[line.text.text for line in kept],
            rec_scores=[line.text.score for line in kept],
            rec_polys=polys,
            page_angle=found.angle,
            polys_original=[prepared.map.back(poly) for poly in polys],
            pdf=page.pdf,
            line_images=[line.crop for line in kept] if call.options.keep_line_images else None,
            **_parts(kept, turn, call),
        )


def _detection_parameters(reader: PageReader) -> dict[str, Any]:
    """The settings that were in force, in PaddleX's order."""
    pre, post = reader.pre, reader.post
    return {
        "limit_side_len": pre.limit_side_len,
        "limit_type": pre.limit_type,
        "thresh": post.thresh,
        "max_side_limit": pre.max_side_limit,
        "box_thresh": post.box_thresh,
        "unclip_ratio": post.unclip_ratio,
    }


def _parts(kept: Sequence[Line], turn: PageMap, call: _Call) -> dict[str, Any]:
    """The fields of a result that a call has to ask for."""
    fields: dict[str, Any] = {}
    if call.word_boxes:
        found = [words(line) for line in kept]
        fields["text_word"] = [entry.texts for entry in found]
        fields["text_word_region"] = [list(turn.back(entry.regions)) for entry in found]
    if call.options.return_char_box:
        fields["char_boxes"] = [turn.back(character_boxes(line)) for line in kept]
        fields["char_scores"] = [line.text.char_scores.tolist() for line in kept]
    if call.options.text_rec_alternatives:
        fields["alternatives"] = [list(line.read.alternatives) for line in kept]
    return fields


def _upright(reader: PageReader, lines: PageLines) -> PageLines:
    """The page turned as its lines say, if it reads well that way."""
    angle = direction.page_turn(lines.lines)
    if not angle or (angle == 90 and reader.in_columns(lines.lines)):
        return lines
    turned = reader.read(rotate(lines.image, angle), lines.timings)
    turned.angle = angle
    return turned if direction.reads_better(turned.lines, lines.lines) else lines
