"""Single models with PaddleX's `create_model(name).predict(...)`."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ptocr.document.results import ClsResult, DetResult, RecResult, Result, UnwarpResult
from ptocr.document.structure_results import LayoutResult, TableStructureResult
from ptocr.errors import SpecError
from ptocr.inputs.page import Page
from ptocr.inputs.read import iter_pages
from ptocr.pipelines.predict_options import ReadingOptions
from ptocr.predictors.classification import Classifier
from ptocr.predictors.detection import TextDetector
from ptocr.predictors.layout_detection import LayoutDetector
from ptocr.predictors.recognition import Decoding, TextRecognizer
from ptocr.predictors.table_structure import TableRecognizer
from ptocr.predictors.unwarping import Unwarper
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime, make_runtime
from ptocr.spec.settings import LimitType, Positive, Ratio, Settings, Shape, Share, SideLimit


class ModelOptions(Settings):
    """Base of what a call may ask of one model; None keeps what the model's spec says."""

    @property
    def given(self) -> dict[str, Any]:
        """The options that were set."""
        return {key: value for key, value in self if value is not None}


class DetOptions(ModelOptions):
    """Options of detectors."""

    limit_side_len: Positive | None = None
    limit_type: LimitType | None = None
    max_side_limit: SideLimit | None = None
    thresh: Share | None = None
    box_thresh: Share | None = None
    unclip_ratio: Ratio | None = None
    use_dilation: bool | None = None
    score_mode: Literal["fast", "slow"] | None = None
    box_type: Literal["quad", "poly"] | None = None


class RecOptions(ModelOptions):
    """Options of recognisers; see `Decoding`."""

    allow: str | None = None
    deny: str | None = None
    lexicon: str | None = None
    alternatives: int | None = Field(default=None, ge=0, le=50)
    padding: Literal["invariant", "paddle"] | None = None
    image_shape: Shape | None = None


class ClsOptions(ModelOptions):
    """Options of classifiers. topk: so many classes, the likeliest first."""

    topk: Positive | None = None
    image_shape: Shape | None = None


class LayoutOptions(ModelOptions):
    """Options of layout models."""

    threshold: Share | None = None
    nms_threshold: Share | None = None


def _detect(runtime: Runtime, options: DetOptions) -> Callable[[list[Page]], list[Result]]:
    detector, given = TextDetector(runtime), options.given
    pre = detector.pre.with_(**{key: given.pop(key) for key in list(given) if key in type(detector.pre).model_fields})
    post = detector.post.with_(**given)

    def read(pages: list[Page]) -> list[Result]:
        found = [detector(page.image, pre, post) for page in pages]
        return [
            DetResult(**_origin(p), dt_polys=f.polys, dt_scores=f.scores) for p, f in zip(pages, found, strict=True)
        ]

    return read


def _recognise(runtime: Runtime, options: RecOptions) -> Callable[[list[Page]], list[Result]]:
    recognizer = TextRecognizer(runtime)
    recognizer.pre.with_(**{key: value for key, value in options.given.items() if key == "image_shape"})

    def read(pages: list[Page]) -> list[Result]:
        lines = recognizer([p.image for p in pages], Decoding(**options.given, batch_size=len(pages)))
        return [
            RecResult(
                **_origin(page),
                rec_text=line.text,
                rec_score=line.score,
                alternatives=list(line.alternatives) or None,
            )
            for page, line in zip(pages, lines, strict=True)
        ]

    return read


def _classify(runtime: Runtime, options: ClsOptions) -> Callable[[list[Page]], list[Result]]:
    classifier, given = Classifier(runtime), options.given
    topk = given.pop("topk", 1)
    pre = classifier.pre.with_(**given)

    def result(page: Page, probs: np.ndarray) -> Result:
        best = probs.argsort()[::-1][:topk]
        return ClsResult(
            **_origin(page),
            class_ids=[int(i) for i in best],
            scores=[float(probs[i]) for i in best],
            label_names=[_label(classifier.spec.name, classifier.post.labels[i]) for i in best],
        )

    def read(pages: list[Page]) -> list[Result]:
        probs = classifier.probabilities([page.image for page in pages], len(pages), pre)
        return [result(page, row) for page, row in zip(pages, probs, strict=True)]

    return read


def _unwarp(runtime: Runtime, options: ModelOptions) -> Callable[[list[Page]], list[Result]]:
    unwarper = Unwarper(runtime)
    return lambda pages: [UnwarpResult(**_origin(page), doctr_img=unwarper(page.image)) for page in pages]


def _find_layout(runtime: Runtime, options: LayoutOptions) -> Callable[[list[Page]], list[Result]]:
    detector = LayoutDetector(runtime)
    post = detector.post.with_(**options.given)
    return lambda pages: [LayoutResult(**_origin(page), regions=detector(page.image, post)) for page in pages]


def _recognise_table(runtime: Runtime, options: ModelOptions) -> Callable[[list[Page]], list[Result]]:
    recognizer = TableRecognizer(runtime)
    return lambda pages: [TableStructureResult(**_origin(page), structure=recognizer(page.image)) for page in pages]


@dataclass(frozen=True)
class Single:
    """How the models of a task run alone: the options of a call, and what makes results of pages with them."""

    options: type[ModelOptions]
    reader: Callable[[Runtime, Any], Callable[[list[Page]], list[Result]]]


SINGLE: dict[str, Single] = {
    "det": Single(DetOptions, _detect),
    "rec": Single(RecOptions, _recognise),
    "cls": Single(ClsOptions, _classify),
    "unwarp": Single(ModelOptions, _unwarp),
    "layout": Single(LayoutOptions, _find_layout),
    "table": Single(ModelOptions, _recognise_table),
}


class ModelPredictor:
    """A model that takes what pipelines take and yields one result per picture."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.spec = runtime.checkpoint.spec
        self._row = SINGLE[self.spec.task]
        self._row.reader(runtime, self._row.options())  # what is missing is said now, not with the first picture

    def predict(self, input: Any, batch_size: int = 1, **options: Any) -> Iterator[Result]:
        """Results for everything in `input`, as a generator.

        batch_size: so many pictures are read ahead and go through a line reader or classifier together; answers do
        not depend on it, but for `padding="paddle"`. options: how inputs are read (`ReadingOptions`), and those of the
        model's task: `DetOptions`, `RecOptions`, `ClsOptions`.

        Raises:
            InputError: an input cannot be read. SpecError: unknown option or impossible value.
        """
        reading = {k: options.pop(k) for k in list(options) if k in ReadingOptions.model_fields}
        settings = ReadingOptions().merged(reading)
        unknown = sorted(set(options) - set(self._row.options.model_fields))
        if unknown:
            known = ", ".join((*self._row.options.model_fields, *ReadingOptions.model_fields))
            raise SpecError(f"{self.spec.name}: unknown option {unknown[0]!r}; allowed: {known}")
        if batch_size < 1:
            raise SpecError(f"{self.spec.name}: batch_size={batch_size}; it is at least 1")
        read = self._row.reader(self.runtime, self._row.options().with_(**options))
        pages = iter_pages(input, **settings.reading())
        chunks = iter(functools.partial(_next, pages, batch_size), [])
        return (result for chunk in chunks for result in read(chunk))

    __call__ = predict


def _next(pages: Iterator[Page], size: int) -> list[Page]:
    return list(itertools.islice(pages, size))


def _label(name: str, label: str) -> str:
    """PaddleX names the classes of its line classifiers 0_degree and 180_degree, those of pages 0 to 270."""
    return f"{label}_degree" if name.endswith("_textline_ori") else label


def _origin(page: Page) -> dict[str, Any]:
    return {"input_path": page.input_path, "page_index": page.page_index, "image": page.image}


def create_model(
    model_name: str | None = None,
    model_dir: str | None = None,
    *,
    device: str | None = "auto",
    compile: str = "off",
    dtype: str = "float32",
    engine: str | None = "torch",
    threads: int | None = None,
    charset: str | None = None,
) -> ModelPredictor:
    """One model by name, or by the folder or file of its weights, with `predict(input, ...)`.

    charset: a recogniser's dictionary file, one character per line; None: the weights' own.

    Raises:
        SpecError: unknown model. WeightsError: no weights for it. DeviceError: no such device.
    """
    if model_name is None and model_dir is None:
        raise SpecError("create_model: give model_name or model_dir")
    options = RuntimeOptions(device or "auto", dtype, compile, engine or "torch", threads)  # type: ignore[arg-type]
    return ModelPredictor(make_runtime(model_dir or str(model_name), options, model_name, charset))
