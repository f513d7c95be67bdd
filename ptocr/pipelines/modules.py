"""The models of a pipeline, each loaded when first used."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ptocr.errors import SpecError, WeightsError
from ptocr.pipelines.config import ModuleConfig, advice
from ptocr.predictors import PREDICTORS
from ptocr.predictors.predictor import Predictor
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import make_runtime
from ptocr.weights import store

P = TypeVar("P", bound=Predictor)


class Models:
    """Loads each model once, whichever thread asks first."""

    def __init__(self, modules: Mapping[str, ModuleConfig], options: RuntimeOptions) -> None:
        self.modules = dict(modules)
        self.options = options
        self._locks = {name: threading.Lock() for name in self.modules}
        self._loaded: dict[str, Predictor] = {}
        self._ahead: set[str] = set()

    def get(self, name: str, kind: type[P]) -> P:
        """The predictor of a module, which is one of this kind.

        Raises:
            SpecError: the pipeline has no such module, or its model is for another task. WeightsError: no weights.
        """
        loaded = self._loaded.get(name)
        if loaded is None:
            module = self.module(name)
            with self._locks[name]:
                loaded = self._loaded.get(name)
                if loaded is None:
                    loaded = self._loaded[name] = self._load(name, module)
        return loaded if isinstance(loaded, kind) else kind(loaded.runtime)  # which says what is wrong with it

    def load_ahead(self, name: str) -> None:
        """Begin to load a module that is wanted soon, if it is on this machine and ready to run."""
        module = self.modules.get(name)
        ready = self.options.compile in ("off", "auto")
        if name in self._loaded or name in self._ahead or not ready or module is None or module.model_dir:
            return
        self._ahead.add(name)
        if store.local_file(module.model_name):
            threading.Thread(target=self._try, args=(name,), name="ptocr-load").start()

    def _try(self, name: str) -> None:
        with contextlib.suppress(Exception):  # whoever needs it gets the error
            self.get(name, Predictor)

    def absent(self, names: Iterable[str]) -> list[str]:
        """Models of these modules that are neither loaded nor on this machine: they would be fetched on first use."""
        missing = [self.module(name) for name in names if name not in self._loaded]
        return [m.model_name for m in missing if not m.model_dir and store.local_file(m.model_name) is None]

    def batch_size(self, name: str) -> int:
        """Pictures per batch of a module."""
        return self.module(name).batch_size

    def module(self, name: str) -> ModuleConfig:
        """The configuration of a module.

        Raises:
            SpecError: the pipeline has none of that name.
        """
        if name not in self.modules:
            how = advice(name)
            without = f"go on without it: {how}" if how else "take another pipeline"
            raise SpecError(f"the pipeline has no {name}; add it to the SubModules of its YAML, or {without}")
        return self.modules[name]

    def _load(self, name: str, module: ModuleConfig) -> Predictor:
        try:
            runtime = make_runtime(
                module.model_dir or module.model_name, self.options, module.model_name or None, module.dictionary
            )
        except (WeightsError, SpecError) as error:
            how = advice(name)
            if how is None:
                raise
            raise type(error)(f"{error}\nTo go on without {name}: {how}") from None
        return PREDICTORS[runtime.checkpoint.spec.task](runtime)

    def __getstate__(self) -> dict[str, Any]:
        """Models are loaded anew in the process that unpickles this."""
        return {"modules": self.modules, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["modules"], state["options"])  # type: ignore[misc]
