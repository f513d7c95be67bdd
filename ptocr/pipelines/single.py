"""Single models with PaddleX's `create_model(name).predict(...)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

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

_DET = ("limit_side_len", "limit_type", "max_side_limit", "thresh", "box_thresh", "unclip_ratio")


class ModelPredictor:
    """A model that takes what pipelines take and yields one result per picture."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.spec = runtime.checkpoint.spec
        kinds: dict[str, Callable[[], Callable[..., Result]]] = {
            "det": self._detector,
            "rec": self._recognizer,
            "cls": self._classifier,
            "unwarp": self._unwarper,
        }
        self._read = kinds[self.spec.task]()

    def predict(self, input: Any, batch_size: int = 1, **options: Any) -> Iterator[Result]:
        """Results for everything in `input`, as a generator.

        batch_size: taken for PaddleX's sake; answers do not depend on it. options: how inputs are read
        (`ReadingOptions`); det: limit_side_len, limit_type, max_side_limit, thresh, box_thresh, unclip_ratio; rec:
        allow, deny, lexicon, alternatives; cls: topk.

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
        return (read(page, **options) for page in iter_pages(input, **settings.reading()))

    __call__ = predict

    def _detector(self) -> Callable[..., Result]:
        detector = TextDetector(self.runtime)
        module = Detection(model_name=self.spec.name)

        def read(page: Page, **given: Any) -> Result:
            options = OCROptions().merged({f"text_det_{key}": value for key, value in given.items()})
            found = detector(page.image, *detection_settings(detector, module, options))
            return DetResult(**_origin(page), dt_polys=found.polys, dt_scores=found.scores)

        return read

    def _recognizer(self) -> Callable[..., Result]:
        recognizer = TextRecognizer(self.runtime)

        def read(page: Page, **given: Any) -> Result:
            line = read_lines(recognizer, [page.image], Decoding(**given))[0]
            found = list(line.alternatives) if line.alternatives else None
            return RecResult(**_origin(page), rec_text=line.text.text, rec_score=line.text.score, alternatives=found)

        return read

    def _classifier(self) -> Callable[..., Result]:
        classifier = Classifier(self.runtime)

        def read(page: Page, topk: int | None = None) -> Result:
            probs = classifier.probabilities([page.image])[0]
            best = probs.argsort()[::-1][: topk or 1]
            return ClsResult(
                **_origin(page),
                class_ids=[int(i) for i in best],
                scores=[float(probs[i]) for i in best],
                label_names=[_label(self.spec.name, classifier.post.labels[i]) for i in best],
            )

        return read

    def _unwarper(self) -> Callable[..., Result]:
        unwarper = Unwarper(self.runtime)
        return lambda page: UnwarpResult(**_origin(page), doctr_img=unwarper(page.image))


_CHECKS = {"det": _DET, "rec": ("allow", "deny", "lexicon", "alternatives"), "cls": ("topk",), "unwarp": ()}


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
) -> ModelPredictor:
    """One model by name, or by the folder or file of its weights, with `predict(input, ...)`.

    Raises:
        SpecError: unknown model. WeightsError: no weights for it. DeviceError: no such device.
    """
    if model_name is None and model_dir is None:
        raise SpecError("create_model: give model_name or model_dir")
    options = RuntimeOptions(device or "auto", dtype, compile, engine or "torch", threads)  # type: ignore[arg-type]
    return ModelPredictor(make_runtime(model_dir or str(model_name), options, model_name))
