"""The OCR pipeline: prepare the page, find lines, make them upright, read them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ptocr.document import tree
from ptocr.document.results import OCRResult
from ptocr.document.tree import Line
from ptocr.inputs.page import Page
from ptocr.inputs.read import iter_pages
from ptocr.pipelines import doubt
from ptocr.pipelines import orientation as direction
from ptocr.pipelines.config import PipelineSpec
from ptocr.pipelines.detect import find_in_tiles, looser, split, tile_size
from ptocr.pipelines.doc_preprocessor import Prepared, prepare, wanted
from ptocr.pipelines.modules import Models
from ptocr.pipelines.page_map import Turned
from ptocr.pipelines.pdf_lines import lines_of_pdf, without_lines
from ptocr.pipelines.predict_options import OCROptions
from ptocr.pipelines.reader import Reader
from ptocr.pipelines.scheduler import Scheduler
from ptocr.predictors.predictor import Predictor
from ptocr.processing.geometry import sort_boxes
from ptocr.processing.image import rotate
from ptocr.spec.settings import DBPostprocess

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ptocr.pipelines.keywords import Input, OCRKeywords


log = logging.getLogger(__name__)

_Reading = tuple[int, np.ndarray, list[Line]]  # by how much the page was turned, the turned picture, its lines


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
    """Reads pages. One object may serve many threads: options of a call never outlive it.

    languages: BCP 47 tags of what is read, where the user said so; else results carry what the recogniser reads.
    """

    options: ClassVar[type[OCROptions]] = OCROptions  # what a call of `predict` may ask

    def __init__(
        self,
        spec: PipelineSpec,
        models: Models,
        defaults: OCROptions | None = None,
        languages: tuple[str, ...] = (),
    ) -> None:
        self.spec = spec
        self.languages = languages
        self.models = models
        self.defaults = defaults or self.options()
        self.scheduler = Scheduler([models.options.device])

    def __repr__(self) -> str:
        """Its models and where they run."""
        names = [self.models.module(name) for name in self._modules(self._call(self.defaults))]
        models = ", ".join(module.model_name or str(module.model_dir) for module in names)
        return f"<{type(self).__name__} {self.spec.pipeline_name}: {models} on {self.models.options.device}>"

    @property
    def width(self) -> int:
        """How many pages at once suit the device."""
        return self.scheduler.width

    def predict(self, input: Input, **options: Unpack[OCRKeywords]) -> Iterator[OCRResult]:
        """Read everything in `input`, as a generator of its pages in order; several are in work at once.

        input: path, folder, glob, URL, PDF, ndarray (BGR), bytes, PIL image, `{"img": ...}`, or a list of those;
        options: see `OCROptions`, for this call only.

        Raises:
            InputError: an input cannot be read; with `on_error=callback` the callback gets it and the rest goes on.
            SpecError: unknown option, or one that needs a model the pipeline does not have.
        """
        settings = self.defaults.merged(dict(options))
        pages = iter_pages(input, **settings.reading())
        return self.scheduler.map(pages, lambda page: self.read(page, settings))

    __call__ = predict

    def warm_up(self, **options: Unpack[OCRKeywords]) -> None:
        """Load the models that `predict` with these options needs, and run each once: the first page waits for nothing.

        Raises:
            WeightsError, SpecError: a model is missing.
        """
        for name in self._modules(self._call(self.defaults.merged(dict(options)))):
            self.models.get(name, Predictor).runtime.warm_up()

    def absent(self, **options: Unpack[OCRKeywords]) -> list[str]:
        """Names of the models that `predict` with these options would have to fetch first.

        Raises:
            SpecError: unknown option, or one that needs a model the pipeline does not have.
        """
        return self.models.absent(self._modules(self._call(self.defaults.merged(dict(options)))))

    def read(self, page: Page, options: OCROptions) -> OCRResult:
        """Read one page: make it upright and flat if asked, find its lines, recognise them."""
        if self.spec.text_type == "seal" and options.text_det_box_type is None:
            options = options.merged({"text_det_box_type": "poly"})
        call = self._call(options)
        prepared = Prepared(page.image)
        if call.preprocess:
            prepared = prepare(page, self.models, call.orientation, call.unwarping)
        reader = Reader(self.models, options, call.line_orientation, self.spec.text_type == "seal")
        own = lines_of_pdf(page) if options.pdf_text != "never" and not call.preprocess else []
        readings: list[_Reading] = []
        for angle, image in _views(page, prepared, own, reader, readings, not call.orientation):
            tile = tile_size(options.text_det_tile, reader.pre, reader.post, image.shape[:2])
            doubtful: list[np.ndarray] = []
            if tile:
                polys = find_in_tiles(reader.detector, image, reader.post, tile)
            else:
                found = reader.detector(image, reader.pre, looser(reader.post, options))
                polys, doubtful = split(found, reader.post)
            reader.lap("det")
            lines = reader.recognise(image, [polys[i] for i in sort_boxes(polys)])
            readings.append((angle, image, reader.with_doubtful(image, lines, doubtful)))
        if own:
            readings = [(0, prepared.image, own + [line for *_, read in readings for line in read])]
        if len(readings) > 1 and not direction.reads_better(readings[1][2], readings[0][2]):
            readings.pop()
        return self._result(page, prepared, readings[-1], reader, call)

    def _modules(self, call: _Call) -> list[str]:
        """Names of the modules that a call needs."""
        optional = {
            "TextRecognitionDraft": "TextRecognitionDraft" in self.models.modules,
            "TextLineOrientation": call.line_orientation,
            "DocOrientationClassify": call.orientation,
            "DocUnwarping": call.unwarping,
        }
        return ["TextDetection", "TextRecognition", *(name for name, wanted in optional.items() if wanted)]

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

    def _result(self, page: Page, prepared: Prepared, reading: _Reading, reader: Reader, call: _Call) -> OCRResult:
        lines = _reported(reading, reader, call)
        for line in lines:
            line.original = prepared.map.back(line.poly)
        if complaint := doubt.warning(lines, reader.recognizer.spec.name if lines else ""):
            log.warning("%s: %s", page.input_path or "picture", complaint)
        return OCRResult(
            page=tree.Page(
                lines,
                prepared.image,
                page.input_path,
                page.page_index,
                reading[0],
                pdf=page.pdf,
                original=page.original,
                languages=self.languages or (reader.languages if lines else ()),
            ),
            asked=_asked(call),
            timings={**prepared.timings, **reader.timings},
            model_settings={
                "use_doc_preprocessor": call.preprocess,
                "use_textline_orientation": call.line_orientation,
            },
            doc_preprocessor_res=prepared.result,
            text_det_params=_detection_parameters(reader),
            text_type=self.spec.text_type,
            text_rec_score_thresh=call.score_thresh,
            return_word_box=call.word_boxes,
        )


def _detection_parameters(reader: Reader) -> dict[str, Any]:
    """The settings that were in force, in PaddleX's order."""
    pre, post = reader.pre, reader.post
    return {
        "limit_side_len": pre.limit_side_len,
        "limit_type": pre.limit_type,
        "thresh": post.thresh,
        "max_side_limit": pre.max_side_limit,
        "box_thresh": post.box_thresh,
        **({"unclip_ratio": post.unclip_ratio} if isinstance(post, DBPostprocess) else {}),
    }


def _reported(reading: _Reading, reader: Reader, call: _Call) -> list[Line]:
    """The lines of a reading as a call wants them, in the picture that went in.

    A page that was turned because its lines said so keeps its picture; each polygon starts at the top left of its text.
    """
    angle, image, lines = reading
    for line in lines:
        line.kept = line.score >= call.score_thresh
        if call.word_boxes:
            reader.add_words(line)
        if call.options.return_char_box:
            reader.add_characters(line)
        if not call.options.keep_line_images:
            line.crop = None
    return [line.mapped(Turned(angle, image.shape[:2]).back) for line in lines] if angle else lines


def _asked(call: _Call) -> frozenset[str]:
    """The lists of a result that a call has to ask for."""
    wanted = {
        "polys_original": True,
        "text_word": call.word_boxes,
        "char_boxes": call.options.return_char_box,
        "char_scores": call.options.return_char_box,
        "alternatives": call.options.text_rec_alternatives > 0,
        "confidences": call.options.return_confidence,
        "known_script": call.options.return_confidence,
        "line_images": call.options.keep_line_images,
    }
    return frozenset(name for name, asked in wanted.items() if asked)


def _views(
    page: Page, prepared: Prepared, own: list[Line], reader: Reader, readings: list[_Reading], turnable: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """The pictures to read, and by how many degrees each was turned: the page as it is, then as the lines that were
    read say; of a page with text of its own the pictures on it, if any."""
    if not own:
        for angle in _angles(reader, readings, turnable):
            yield angle, rotate(prepared.image, angle) if angle else prepared.image
    elif page.pdf is not None and page.pdf.pictures and reader.options.pdf_text == "auto":
        yield 0, without_lines(prepared.image, own)


def _angles(reader: Reader, readings: list[_Reading], turnable: bool) -> Iterator[int]:
    """By how many degrees to turn the page for each reading: as it is, then as the lines that were read say."""
    yield 0
    if turnable and reader.orientation and reader.options.textline_orientation == "evidence":
        _, _, lines = readings[0]
        angle = direction.page_turn(lines)
        if angle and not (angle == 90 and reader.in_columns(lines)):
            yield angle
