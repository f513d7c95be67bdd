"""The example pictures: present, small, readable by our own reader, and listed with their texts."""

from __future__ import annotations

import json
from pathlib import Path

from ptocr.inputs.read import iter_pages


def test_pictures_and_their_texts(checkout: Path) -> None:
    folder = checkout / "docs" / "images"
    texts = json.loads((checkout / "tests" / "data" / "docs_images.json").read_text(encoding="utf-8"))
    assert set(texts) <= {path.name for path in folder.iterdir()}
    assert len(texts) >= 5
    for name, lines in texts.items():
        assert (folder / name).stat().st_size < 150_000
        (page,) = iter_pages(folder / name)
        assert page.image.std() > 10
        assert lines and all(lines)
