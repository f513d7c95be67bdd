"""YAML of specs and recipes: overrides, and messages that name key, value and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from ptocr.errors import SpecError
from ptocr.spec.settings import Settings
from ptocr.spec.yaml import explain, merged, override, read_extended


class First(Settings):
    name: Literal["first"] = "first"
    size: int = 1


class Second(Settings):
    name: Literal["second"] = "second"
    colour: str = "red"


class Both(Settings):
    part: Annotated[First | Second, Field(discriminator="name")]
    maybe: First | None = None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"part": {"name": "first", "size": "big"}}, "part.size: .*, got 'big'"),
        ({"part": {"name": "first", "colour": "red"}}, "part.colour: unknown key; allowed: name, size"),
        ({"part": {"name": "second", "size": 1}}, "part.size: unknown key; allowed: colour, name"),
        ({"part": {"name": "third"}}, "part: .*'third'.*'first', 'second'"),
        ({"part": {"name": "first"}, "maybe": {"shape": 1}}, "maybe.shape: unknown key; allowed: name, size"),
    ],
)
def test_messages_name_the_keys_of_the_file(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Both.model_validate(data)
    assert re.match(message, explain(error.value, Both))


def test_overrides_are_yaml() -> None:
    data: dict[str, Any] = {"optim": {"lr": 1.0}}
    override(data, ["optim.lr=1e-4", "run.epochs=3", "names=[a, b]"])
    assert data == {"optim": {"lr": 1e-4}, "run": {"epochs": 3}, "names": ["a", "b"]}
    for text, message in (("lr", "write key=value"), ("names.x=1", "'names' holds a value"), ("a=[", "no YAML")):
        with pytest.raises(SpecError, match=message):
            override(data, [text])


def test_groups_are_merged_and_lists_replaced() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merged(base, {"a": {"c": [3]}, "d": {"e": 1}}) == {"a": {"b": 1, "c": [3]}, "d": {"e": 1}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


def test_extends_names_what_it_cannot_take(tmp_path: Path) -> None:
    def beside(name: str, path: Path) -> Path:
        return path.with_name(f"{name}.yaml")

    (tmp_path / "a.yaml").write_text("extends: b\nx: 1\n")
    with pytest.raises(SpecError, match=r"b\.yaml: no such file"):
        read_extended(tmp_path / "a.yaml", beside)
    (tmp_path / "b.yaml").write_text("- 1\n")
    with pytest.raises(SpecError, match=r"b\.yaml: a mapping"):
        read_extended(tmp_path / "a.yaml", beside)
    (tmp_path / "b.yaml").write_text("extends: [a]\n")
    with pytest.raises(SpecError, match=r"b\.yaml: extends \['a'\]"):
        read_extended(tmp_path / "a.yaml", beside)
