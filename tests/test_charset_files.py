"""The dictionaries in configs/charsets hold as many characters as the official models have classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ptocr import paths
from ptocr.charset import Charset
from ptocr.spec import list_specs, load_spec


@pytest.mark.parametrize("name", list_specs("rec"))
def test_classes_of_the_official_checkpoint(name: str, shared: Path) -> None:
    manifest = shared / "parity" / name / "manifest.json"
    if not manifest.is_file():
        pytest.skip(f"no reference data for {name}")
    assert load_spec(name).classes == json.loads(manifest.read_text(encoding="utf-8"))["classes"]["ctc"]


@pytest.mark.parametrize("path", sorted((paths.configs() / "charsets").glob("*.txt")), ids=lambda p: p.stem)
def test_every_line_is_a_character(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "\r" not in text and "\ufeff" not in text
    lines = text.removesuffix("\n").split("\n")
    assert all(lines)
    assert len(Charset.load(path, space=False).characters) == len(lines)


def test_dictionary_with_a_space_still_gets_the_space_class() -> None:
    """Upstream appends the space whatever the dictionary holds; en_dict's 95 lines make 97 classes."""
    charset = Charset.from_lines(["a", " "], space=True)
    assert charset.characters == ("a", " ", " ")
    assert charset.encode("a a") == [1, 3, 1]
