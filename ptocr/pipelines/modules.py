"""The models of a pipeline, each loaded when first used."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ptocr.errors import SpecError, WeightsError
from ptocr.pipelines.config import Module
from ptocr.predictors.classification import Classifier
from ptocr.predictors.detection import TextDetector
from ptocr.predictors.predictor import Predictor
from ptocr.predictors.recognition import TextRecognizer
from ptocr.predictors.unwarping import Unwarper
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import make_runtime
from ptocr.weights.listing import local_file

P = TypeVar("P", bound=Predictor)

# What to do without the weights of a module that can be switched off.
_WITHOUT = {
    "TextLineOrientation": "use_textline_orientation=False",
    "DocOrientationClassify": "use_doc_orientation_classify=False (the lines then say which way up a page is)",
    "DocUnwarping": "use_doc_unwarping=False",
}

_PROPERTIES = {
    "TextDetection": "detector",
    "TextRecognition": "recognizer",
    "TextLineOrientation": "line_classifier",
    "DocOrientationClassify": "page_classifier",
    "DocUnwarping": "unwarper",
}


class Models:
    """Loads each model once, whichever thread asks first."""

    def __init__(self, modules: Mapping[str, Module], options: RuntimeOptions) -> None:
        self.modules = dict(modules)
        self.options = options
        self._locks = {name: threading.Lock() for name in self.modules}
        self._loaded: dict[str, Predictor] = {}

    @property
    def detector(self) -> TextDetector:
        if not self._loaded:
            self._load_ahead()
        return self._get("TextDetection", TextDetector)

    def _load_ahead(self) -> None:
        """Load the recogniser meanwhile, which is wanted next; only one that is on this machine, ready to run."""
        module = self.modules.get("TextRecognition")
        ready = self.options.compile in ("off", "auto")
        if ready and module is not None and not module.model_dir and local_file(module.model_name):
            threading.Thread(target=self._try_recognizer, name="ptocr-load").start()

    def _try_recognizer(self) -> None:
        with contextlib.suppress(Exception):  # whoever needs it gets the error
            _ = self.recognizer

    @property
    def recognizer(self) -> TextRecognizer:
        return self._get("TextRecognition", TextRecognizer)

    @property
    def line_classifier(self) -> Classifier:
        return self._get("TextLineOrientation", Classifier)

    @property
    def page_classifier(self) -> Classifier:
        return self._get("DocOrientationClassify", Classifier)

    @property
    def unwarper(self) -> Unwarper:
        return self._get("DocUnwarping", Unwarper)

    def warm_up(self, names: Iterable[str]) -> None:
        """Load these modules' models and run each once."""
        for name in names:
            predictor: Predictor = getattr(self, _PROPERTIES[name])
            predictor.runtime.warm_up()

    def absent(self, names: Iterable[str]) -> list[str]:
        """Models of these modules that are neither loaded nor on this machine: they would be fetched on first use."""
        missing = [self.module(name) for name in names if name not in self._loaded]
        return [m.model_name for m in missing if not m.model_dir and local_file(m.model_name) is None]

    def batch_size(self, name: str) -> int:
        """Pictures per batch of a module."""
        return self.module(name).batch_size

    def module(self, name: str) -> Module:
        """The configuration of a module.

        Raises:
            SpecError: the pipeline has none of that name.
        """
        if name not in self.modules:
            raise SpecError(f"the pipeline has no {name}; add it to the SubModules of its YAML, or {_advice(name)}")
        return self.modules[name]

    def _get(self, name: str, kind: type[P]) -> P:
        loaded = self._loaded.get(name)
        if loaded is None:
            self.module(name)
            with self._locks[name]:
                loaded = self._loaded.get(name)
                if loaded is None:
                    loaded = self._loaded[name] = self._load(name, kind)
        assert isinstance(loaded, kind)
        return loaded

    def _load(self, name: str, kind: type[P]) -> P:
        module = self.module(name)
        try:
            runtime = make_runtime(
                module.model_dir or module.model_name,
                self.options,
                module.model_name or None,
                getattr(module, "charset", None),
            )
        except WeightsError as error:
            if name not in _WITHOUT:
                raise
            raise WeightsError(f"{error}\nTo go on without {name}: {_WITHOUT[name]}") from None
        return kind(runtime)

    def __getstate__(self) -> dict[str, Any]:
        """Models are loaded anew in the process that unpickles this."""
        return {"modules": self.modules, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["modules"], state["options"])  # type: ignore[misc]


def _advice(name: str) -> str:
    return f"go on without it: {_WITHOUT[name]}" if name in _WITHOUT else "take another pipeline"
