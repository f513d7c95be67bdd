"""Which files are read, under which key, and what happens to broken ones; with a pipeline that knows its answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from ptocr.document.results import OCRResult
from ptocr.errors import InputError
from ptocr.evaluation.reading import read_corpus, read_line, upright
from ptocr.predictors.classification import Classification
from ptocr.predictors.recognition import Decoding
from ptocr.spec.vocabulary import Text


class FakeModels:
    """Calls a picture upside down when its last pixel is black, and reads its first pixel's blue."""

    post = SimpleNamespace(threshold=0.9)

    def get(self, name: str, kind: type) -> Any:
        return self if name == "TextLineOrientation" else self.recognizer

    def __call__(self, images: list[np.ndarray]) -> list[Classification]:
        turned = [int(image[-1, -1].max() == 0) for image in images]
        return [Classification(t, ("0", "180")[t], 0.95) for t in turned]

    @staticmethod
    def recognizer(images: list[np.ndarray], how: Decoding) -> list[Text]:
        nothing = np.zeros(0)
        return [Text(f"{how.padding} {image[0, 0, 0]}", 0.5, nothing) for image in images]


class FakePipeline:
    def __init__(self) -> None:
        self.models = FakeModels()
        self.calls: list[tuple[Path, dict[str, Any]]] = []

    def predict(self, input: Path, **options: Any) -> Iterator[OCRResult]:
        self.calls.append((input, options))
        if "broken" in input.name:
            raise InputError(f"{input}: broken")
        for page in range(2):
            yield OCRResult(
                input_path=str(input),
                page_index=page,
                rec_texts=[f"page {page}"],
                rec_scores=[0.25],
                rec_polys=[np.array([[0, 0], [4, 0], [4, 2], [0, 2]])],
            )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lines").mkdir()
    image = np.full((8, 9, 3), 200, np.uint8)
    image[0, 0] = 7
    cv2.imwrite(str(tmp_path / "lines" / "up.png"), image)
    cv2.imwrite(str(tmp_path / "lines" / "down.png"), cv2.rotate(np.where(image == 7, 0, image), cv2.ROTATE_180))
    return tmp_path


def test_keys_of_pages_and_lines(folder: Path) -> None:
    keys = ["pages/d.pdf#1", "pages/d.pdf#2", "pages/anim.gif", "pages/broken.png", "lines/up.png"]
    pipeline, failed = FakePipeline(), []
    read = dict(read_corpus(pipeline, folder, keys, failed.append, "paddle", pdf_dpi=150))
    assert list(read) == ["pages/d.pdf#1", "pages/d.pdf#2", "pages/anim.gif", "lines/up.png"]
    assert read["pages/d.pdf#2"] == [
        {"text": "page 1", "score": 0.25, "confidence": 0.0, "box": [[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0]]}
    ]
    assert read["pages/anim.gif"][0]["text"] == "page 0"
    assert read["lines/up.png"] == [{"text": "paddle 7", "score": 0.5}]
    assert [str(error) for error in failed] == [f"{folder / 'pages' / 'broken.png'}: broken"]
    assert [path.name for path, _ in pipeline.calls] == ["d.pdf", "anim.gif", "broken.png"]
    assert pipeline.calls[0][1] == {"rec_padding": "paddle", "pdf_dpi": 150}


def test_a_line_upside_down_is_turned_only_when_sure(folder: Path) -> None:
    models: Any = FakeModels()
    image = cv2.imread(str(folder / "lines" / "down.png"))
    assert read_line(models, image, "invariant") == ("invariant 200", 0.5)
    assert read_line(models, upright(models, image), "invariant") == ("invariant 0", 0.5)  # the dark pixel comes first
    models.post = SimpleNamespace(threshold=0.96)
    assert upright(models, image) is image
