"""Single models with PaddleX's `create_model(name).predict(...)`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ptocr.document.results import ClsResult, DetResult, RecResult, Result, UnwarpResult
from ptocr.errors import SpecError
from ptocr.inputs.page import Page
from ptocr.inputs.read import iter_pages
from ptocr.pipelines.config import Detection
from ptocr.pipelines.detect import detection_settings
from ptocr.pipelines.options import OCROptions, ReadingOptions
from ptocr.pipelines.recognise import Decoding, read_lines
from ptocr.predictors.predictor import Classifier, TextDetector, TextRecognizer, Unwarper
from ptocr.runtime.runtime import Runtime, RuntimeOptions, make_runtime
from ptocr.spec.model import ClsPreprocess

_DET = (
    "limit_side_len", "limit_type", "max_side_limit", "thresh", "box_thresh", "unclip_ratio", "use_dilation",
    "score_mode", "box_type",
)  # fmt: skip


class ModelPredictor:
    """A model that takes what pipelines take and yields one result per picture."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.spec = runtime.checkpoint.spec
        kinds: dict[str, Callable[[], Callable[..., list[Result]]]] = {
            "det": self._detector,
            "rec": self._recognizer,
            "cls": self._classifier,
            "unwarp": self._unwarper,
        }
        self._read = kinds[self.spec.task]()

    def predict(self, input: Any, batch_size: int = 1, **options: Any) -> Iterator[Result]:
        """Results for everything in `input`, as a generator.

        batch_size: so many pictures are read ahead and go through a line reader or classifier together; answers do
        not depend on it, but for `padding="paddle"`. options: how inputs are read (`ReadingOptions`); det:
        limit_side_len, limit_type, max_side_limit, thresh, box_thresh, unclip_ratio, use_dilation, score_mode,
        box_type; rec: allow, deny, lexicon, alternatives, padding, image_shape; cls: topk, image_shape.

        Raises:
            InputError: an input cannot be read. SpecError: unknown option.
        """
        reading = {k: options.pop(k) for k in list(options) if k in ReadingOptions.model_fields}
        settings = ReadingOptions().merged(reading)
        read = self._read
        check = _CHECKS[self.spec.task]
        unknown = sorted(set(options) - set(check))
        if unknown:
            known = ", ".join((*check, *ReadingOptions.model_fields))
            raise SpecError(f"{self.spec.name}: unknown option {unknown[0]!r}; allowed: {known}")
        if batch_size < 1:
            raise SpecError(f"{self.spec.name}: batch_size={batch_size}; it is at least 1")
        pages = iter_pages(input, **settings.reading())
        return (result for chunk in _chunks(pages, batch_size) for result in read(chunk, **options))

    __call__ = predict

    def _detector(self) -> Callable[..., list[Result]]:
        detector = TextDetector(self.runtime)
        module = Detection(model_name=self.spec.name)

        def read(pages: list[Page], **given: Any) -> list[Result]:
            options = OCROptions().merged({f"text_det_{key}": value for key, value in given.items()})
            settings = detection_settings(detector, module, options)
            found = [detector(page.image, *settings) for page in pages]
            return [
                DetResult(**_origin(page), dt_polys=regions.polys, dt_scores=regions.scores)
                for page, regions in zip(pages, found, strict=True)
            ]

        return read

    def _recognizer(self) -> Callable[..., list[Result]]:
        recognizer = TextRecognizer(self.runtime)

        def read(pages: list[Page], **given: Any) -> list[Result]:
            lines = read_lines(recognizer, [p.image for p in pages], Decoding(**given, batch_size=max(len(pages), 1)))
            return [
                RecResult(
                    **_origin(page),
                    rec_text=line.text.text,
                    rec_score=line.text.score,
                    alternatives=list(line.alternatives) or None,
                )
                for page, line in zip(pages, lines, strict=True)
            ]

        return read

    def _classifier(self) -> Callable[..., list[Result]]:
        classifier = Classifier(self.runtime)

        def read(
            pages: list[Page], topk: int | None = None, image_shape: tuple[int, int, int] | None = None
        ) -> list[Result]:
            shape = classifier.pre.image_shape if image_shape is None else image_shape
            pre = ClsPreprocess.model_validate({**classifier.pre.model_dump(), "image_shape": shape})
            probs = classifier.probabilities([page.image for page in pages], len(pages), pre)
            return [self._class(page, row, topk or 1, classifier) for page, row in zip(pages, probs, strict=True)]

        return read

    def _class(self, page: Page, probs: np.ndarray, topk: int, classifier: Classifier) -> ClsResult:
        best = probs.argsort()[::-1][:topk]
        return ClsResult(
            **_origin(page),
            class_ids=[int(i) for i in best],
            scores=[float(probs[i]) for i in best],
            label_names=[_label(self.spec.name, classifier.post.labels[i]) for i in best],
        )

    def _unwarper(self) -> Callable[..., list[Result]]:
        unwarper = Unwarper(self.runtime)
        return lambda pages: [UnwarpResult(**_origin(page), doctr_img=unwarper(page.image)) for page in pages]


def _chunks(pages: Iterator[Page], size: int) -> Iterator[list[Page]]:
    while chunk := list(itertools.islice(pages, size)):
        yield chunk


_CHECKS = {
    "det": _DET,
    "rec": ("allow", "deny", "lexicon", "alternatives", "padding", "image_shape"),
    "cls": ("topk", "image_shape"),
    "unwarp": (),
}


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
