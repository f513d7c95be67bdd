"""A pipeline that reads what it is told, so that tests of inputs and outputs take no time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ptocr.document.results import OCRResult
from ptocr.inputs.read import iter_pages

BOX = np.array([[2, 2], [58, 2], [58, 18], [2, 18]], np.int32)
LOW = BOX + np.array([0, 20], np.int32)


class Reader:
    """Reads "NAME PAGE" (score 0.9) and "smudge" (0.3) on every page."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def predict(self, input: Any, **options: Any) -> Iterator[OCRResult]:
        self.calls.append(options)
        for page in iter_pages(input, on_error=options.get("on_error")):
            name = f"{Path(page.input_path or '-').name} {(page.page_index or 0) + 1}"
            name = name.encode(errors="replace").decode()
            yield OCRResult(
                input_path=page.input_path,
                page_index=page.page_index,
                image=page.image,
                pdf=page.pdf,
                original=page.original,
                dt_polys=[BOX, LOW],
                rec_texts=[name, "smudge"],
                rec_scores=[0.9, 0.3],
                rec_polys=[BOX, LOW],
            )


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Reader:
    """The pipeline of every command, and an empty working folder."""
    made = Reader()
    monkeypatch.setattr("ptocr.cli.ocr.make_pipeline", lambda args: made)
    monkeypatch.chdir(tmp_path)
    return made


def picture(path: str | Path, pages: int = 1) -> Path:
    """A small picture, or a document of several pages."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (60, 40), "white")
    more = {"save_all": True, "append_images": [image] * (pages - 1)} if pages > 1 else {}
    image.save(path, **more)
    return path
