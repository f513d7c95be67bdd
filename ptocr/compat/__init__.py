"""Scripts written for PaddleOCR 2.x and 3.x and for RapidOCR: their classes over our pipelines.

`from ptocr.compat import PaddleOCR, RapidOCR, draw_ocr`, and for RapidOCR's enumerations
`from ptocr.compat.rapidocr import EngineType, LangDet, LangRec, ModelType, OCRVersion, RapidOCR`. Scripts of the older
package `rapidocr_onnxruntime` take `from ptocr.compat.rapidocr_onnxruntime import RapidOCR`. Loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptocr.compat.arguments import IgnoredOption
    from ptocr.compat.paddleocr import PaddleOCR, draw_ocr
    from ptocr.compat.rapidocr import RapidOCR

# public name -> the module that has it
_PUBLIC = {
    "IgnoredOption": "ptocr.compat.arguments",
    "PaddleOCR": "ptocr.compat.paddleocr",
    "RapidOCR": "ptocr.compat.rapidocr",
    "draw_ocr": "ptocr.compat.paddleocr",
}

__all__ = ["IgnoredOption", "PaddleOCR", "RapidOCR", "draw_ocr"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ptocr.compat' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
