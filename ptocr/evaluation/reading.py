"""Reading a corpus folder with one of our pipelines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ptocr.document.results import OCRResult
from ptocr.errors import InputError
from ptocr.evaluation.corpus import Lines
from ptocr.inputs.read import iter_pages
from ptocr.pipelines.modules import Models
from ptocr.pipelines.ocr import OCRPipeline
from ptocr.predictors.classification import Classifier
from ptocr.predictors.recognition import Decoding, RecPadding, TextRecognizer


def read_corpus(
    pipeline: OCRPipeline,
    folder: Path,
    keys: Iterable[str],
    on_error: Callable[[InputError], None],
    padding: RecPadding = "invariant",
    **options: Any,
) -> Iterator[tuple[str, Lines]]:
    """Read the files that `keys` (`pages/NAME`, `pages/NAME.pdf#NUMBER`, `lines/NAME`) name, each file once.

    Yields predictions by key. Of an animation or a TIFF with several frames only the first counts. `options` are those
    of `predict`, for pages; a file that cannot be read goes to `on_error` and is left out.
    """
    for name in dict.fromkeys(key.partition("#")[0] for key in keys):
        try:
            if name.startswith("lines/"):
                page = next(iter_pages(folder / name))
                text, score = read_line(pipeline.models, upright(pipeline.models, page.image), padding)
                yield name, [{"text": text, "score": score}]
                continue
            is_pdf = name.lower().endswith(".pdf")
            for result in pipeline.predict(folder / name, rec_padding=padding, **options):
                yield f"{name}#{(result.page_index or 0) + 1}" if is_pdf else name, result_lines(result)
                if not is_pdf:
                    break
        except InputError as error:
            on_error(error)


def upright(models: Models, image: np.ndarray) -> np.ndarray:
    """A cropped line, (h, w, 3) uint8 BGR, turned by 180 degrees where the classifier is sure; else `image` itself."""
    classifier = models.get("TextLineOrientation", Classifier)
    found = classifier([image])[0]
    turned = found.label.startswith("180") and found.score > classifier.post.threshold
    return cv2.rotate(image, cv2.ROTATE_180) if turned else image


def read_line(models: Models, image: np.ndarray, padding: RecPadding) -> tuple[str, float]:
    """Text and score of one cropped line, (h, w, 3) uint8 BGR, as it stands."""
    read = models.get("TextRecognition", TextRecognizer)([image], Decoding(padding, gap_spaces=padding == "invariant"))[
        0
    ]
    return read.text, float(read.score)


def result_lines(result: OCRResult) -> Lines:
    """The lines of a result in the form that predictions files have."""
    return [
        {
            "text": line.text,
            "score": round(float(line.score), 6),
            "confidence": round(float(line.confidence), 6),
            "box": np.asarray(line.poly).astype(float).tolist(),
        }
        for line in result.kept
    ]
