"""PP-OCR as native PyTorch. Public names are loaded on first use: `import ptocr` imports neither torch nor OpenCV."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptocr.document.results import OCRResult
    from ptocr.errors import DeviceError, InputError, PtocrError, SpecError, WeightsError
    from ptocr.pipelines import create_model, create_pipeline
    from ptocr.runtime.runtime import load_model
    from ptocr.spec.model import list_specs as list_models
    from ptocr.weights.store import build_model

    __version__: str

# public name -> (module, name there)
_PUBLIC = {
    "DeviceError": ("ptocr.errors", "DeviceError"),
    "InputError": ("ptocr.errors", "InputError"),
    "OCRResult": ("ptocr.document.results", "OCRResult"),
    "PtocrError": ("ptocr.errors", "PtocrError"),
    "SpecError": ("ptocr.errors", "SpecError"),
    "WeightsError": ("ptocr.errors", "WeightsError"),
    "build_model": ("ptocr.weights.store", "build_model"),
    "create_model": ("ptocr.pipelines", "create_model"),
    "create_pipeline": ("ptocr.pipelines", "create_pipeline"),
    "list_models": ("ptocr.spec.model", "list_specs"),
    "load_model": ("ptocr.runtime.runtime", "load_model"),
}

__all__ = [
    "DeviceError",
    "InputError",
    "OCRResult",
    "PtocrError",
    "SpecError",
    "WeightsError",
    "__version__",
    "build_model",
    "create_model",
    "create_pipeline",
    "list_models",
    "load_model",
]


if not TYPE_CHECKING:  # so that type checkers refuse unknown names

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("ptocr")
        if name not in _PUBLIC:
            raise AttributeError(f"module 'ptocr' has no attribute {name!r}; public names: {', '.join(__all__)}")
        module, attribute = _PUBLIC[name]
        value = getattr(importlib.import_module(module), attribute)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
