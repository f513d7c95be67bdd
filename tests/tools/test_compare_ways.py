"""Pages of mixed kinds come as the same bytes by every way that ptocr reads them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tools.compare_ways import MODELS, WAYS, compare, make_pages, text_of

WEIGHTS = pytest.mark.weights(*MODELS.values())


def test_pages_are_of_all_kinds_and_always_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, other = make_pages(tmp_path / "a", 8), make_pages(tmp_path / "b", 8)
    assert {path.suffix for path in one} == {".png", ".jpg", ".tif", ".pdf"} and len(one) == 7
    assert [a.read_bytes() for a in one[:5]] == [b.read_bytes() for b in other[:5]]


def test_a_page_that_differs_or_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = {"a": text_of([{"input_path": "in/a", "rec_texts": ["x"]}]), "b": text_of([])}
    monkeypatch.setitem(WAYS, "one", lambda paths: right)
    monkeypatch.setitem(WAYS, "batch", lambda paths: {"a": right["a"].replace("x", "y")})
    assert compare([Path("in/a"), Path("in/b")], ["one", "batch"]) == {"one": (1, []), "batch": (1, ["a", "b"])}


@WEIGHTS
def test_a_few_pages_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}
    read = WAYS["one"]
    monkeypatch.setitem(WAYS, "one", lambda paths: seen.update(read(paths)) or seen)
    ways = ["one", "window", "threads"]
    assert compare(make_pages(tmp_path, 5), ways) == dict.fromkeys(ways, (6, []))
    lines = [line for text in seen.values() for page in json.loads(text) for line in page["rec_texts"]]
    assert len(lines) >= 5 and len(set(lines)) >= 4  # there is something to differ in


@WEIGHTS
@pytest.mark.slow
def test_two_hundred_pages_by_every_way(tmp_path: Path) -> None:
    ways = [way for way in WAYS if way != "ray" or importlib.util.find_spec("ray")]
    assert compare(make_pages(tmp_path, 200), ways) == dict.fromkeys(ways, (200, []))
