"""Predictors: preprocessing, runtime and postprocessing of one task. Stateless: options come with each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from ptocr.document.results import Result
from ptocr.errors import SpecError
from ptocr.inputs.page import Page
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import ModelSpec, task_of
from ptocr.spec.settings import Settings
from ptocr.spec.tasks import TASKS

Reader: TypeAlias = Callable[[list[Page]], list[Result]]


class ModelOptions(Settings):
    """Base of what a call may ask of one model; None keeps what the model's spec says."""

    @property
    def given(self) -> dict[str, Any]:
        """The options that were set."""
        return {key: value for key, value in self if value is not None}


def origin(page: Page) -> dict[str, Any]:
    """What each result says of its page."""
    return {"input_path": page.input_path, "page_index": page.page_index, "image": page.image}


class Predictor:
    """What all predictors share: a runtime of the right task, which is that of the spec's class `kind`, and how a model
    of the task runs alone: the `options` that a call may give, and a `reader`."""

    kind: ClassVar[type[ModelSpec]]
    options: ClassVar[type[ModelOptions]] = ModelOptions

    def __init__(self, runtime: Runtime) -> None:
        spec = runtime.checkpoint.spec
        if not isinstance(spec, self.kind):
            needed = task_of(self.kind)
            raise SpecError(
                f"{spec.name} is a model for {spec.row.title} ({spec.task!r}), but one for {TASKS[needed].title} "
                f"({needed!r}) is needed here"
            )
        self.runtime = runtime
        self.spec = spec

    def reader(self, options: Any) -> Reader:
        """What makes a result of each page. options: of the class `options`."""
        raise NotImplementedError
