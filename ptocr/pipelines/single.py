"""Single models with PaddleX's `create_model(name).predict(...)`."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

from ptocr.document.results import Result
from ptocr.errors import SpecError
from ptocr.inputs.page import Page
from ptocr.inputs.read import iter_pages
from ptocr.pipelines.predict_options import ReadingOptions
from ptocr.predictors import PREDICTORS
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime, make_runtime


class ModelPredictor:
    """A model that takes what pipelines take and yields one result per picture."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.spec = runtime.checkpoint.spec
        self._predictor = PREDICTORS[self.spec.task](runtime)

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
        kind = self._predictor.options
        unknown = sorted(set(options) - set(kind.model_fields))
        if unknown:
            known = ", ".join((*kind.model_fields, *ReadingOptions.model_fields))
            raise SpecError(f"{self.spec.name}: unknown option {unknown[0]!r}; allowed: {known}")
        if batch_size < 1:
            raise SpecError(f"{self.spec.name}: batch_size={batch_size}; it is at least 1")
        read = self._predictor.reader(kind().with_(**options))
        pages = iter_pages(input, **settings.reading())
        chunks = iter(functools.partial(_next, pages, batch_size), [])
        return (result for chunk in chunks for result in read(chunk))

    __call__ = predict


def _next(pages: Iterator[Page], size: int) -> list[Page]:
    return list(itertools.islice(pages, size))


def create_model(
    model_name: str | None = None,
    model_dir: str | None = None,
    *,
    device: str | None = "auto",
    compile: str = "off",
    dtype: str = "float32",
    engine: str | None = "auto",
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
    options = RuntimeOptions(device or "auto", dtype, compile, engine or "auto", threads)  # type: ignore[arg-type]
    return ModelPredictor(make_runtime(model_dir or str(model_name), options, model_name, charset))
