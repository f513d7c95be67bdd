"""The dictionaries in configs/charsets hold as many characters as the official models have classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ptocr import paths
from ptocr.spec.model import list_specs, load_spec
from ptocr.spec.vocabulary import Vocabulary


def test_classes_of_the_official_checkpoints(shared: Path) -> None:
    ours, official = {}, {}
    for name in list_specs("rec"):
        manifest = shared / "parity" / name / "manifest.json"
        if manifest.is_file():
            ours[name] = load_spec(name).classes
            official[name] = json.loads(manifest.read_text(encoding="utf-8"))["classes"]["ctc"]
    assert len(ours) > 10
    assert ours == official


@pytest.mark.parametrize("path", sorted((paths.configs() / "charsets").glob("*.txt")), ids=lambda p: p.stem)
def test_every_line_is_a_character(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "\r" not in text and "\ufeff" not in text
    lines = text.removesuffix("\n").split("\n")
    assert all(lines)
    assert len(Vocabulary.load(path, space=False).characters) == len(lines)


def test_dictionary_with_a_space_still_gets_the_space_class() -> None:
    """Upstream appends the space whatever the dictionary holds; en_dict's 95 lines make 97 classes."""
    charset = Vocabulary.from_lines(["a", " "], space=True)
    assert charset.characters == ("a", " ", " ")
    assert charset.encode("a a") == [1, 3, 1]
