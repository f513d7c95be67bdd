"""Predictors: preprocessing, runtime and postprocessing of one task. Stateless: options come with each call."""

from __future__ import annotations

from typing import ClassVar

from ptocr.errors import SpecError
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import ModelSpec, task_of
from ptocr.spec.tasks import TASKS


class Predictor:
    """What all predictors share: a runtime of the right task, which is that of the spec's class `kind`."""

    kind: ClassVar[type[ModelSpec]]

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
