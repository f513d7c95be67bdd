"""The models of a pipeline, each loaded when first used."""

from __future__ import annotations

import threading
from typing import Any, TypeVar

from ptocr.errors import SpecError
from ptocr.pipelines.config import Module, PipelineSpec
from ptocr.predictors import Classifier, Predictor, TextDetector, TextRecognizer
from ptocr.runtime import RuntimeOptions, make_runtime

P = TypeVar("P", bound=Predictor)


class Models:
    """Loads each model once, whichever thread asks first."""

    def __init__(self, spec: PipelineSpec, options: RuntimeOptions) -> None:
        self.spec = spec
        self.options = options
        self._lock = threading.RLock()
        self._loaded: dict[str, Predictor] = {}

    @property
    def detector(self) -> TextDetector:
        return self._get("TextDetection", TextDetector)

    @property
    def recognizer(self) -> TextRecognizer:
        return self._get("TextRecognition", TextRecognizer)

    @property
    def line_classifier(self) -> Classifier:
        return self._get("TextLineOrientation", Classifier)

    def batch_size(self, name: str) -> int:
        """Pictures per batch of a module."""
        return self.module(name).batch_size

    def module(self, name: str) -> Module:
        """The configuration of a module.

        Raises:
            SpecError: the pipeline has none of that name.
        """
        module = getattr(self.spec.SubModules, name)
        if module is None:
            raise SpecError(f"the pipeline has no {name}; add it to SubModules of its YAML, or switch its option off")
        return module

    def _get(self, name: str, kind: type[P]) -> P:
        loaded = self._loaded.get(name)
        if loaded is None:
            with self._lock:
                loaded = self._loaded.get(name)
                if loaded is None:
                    module = self.module(name)
                    runtime = make_runtime(
                        module.model_dir or module.model_name,
                        self.options,
                        module.model_name or None,
                        getattr(module, "charset", None),
                    )
                    loaded = self._loaded[name] = kind(runtime)
        assert isinstance(loaded, kind)
        return loaded

    def __getstate__(self) -> dict[str, Any]:
        """Models are loaded anew in the process that unpickles this."""
        return {"spec": self.spec, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["spec"], state["options"])  # type: ignore[misc]
