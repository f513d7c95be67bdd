"""The plan that Python writes is the one that the kernels read: fields and enumerations of the sources."""

from __future__ import annotations

import dataclasses
import re
from enum import IntEnum

import pytest

from ptocr.runtime.cpu import plan
from ptocr.runtime.cpu.library import SOURCES

CODE = re.sub(r"//[^\n]*", "", "".join(file.read_text() for file in sorted(SOURCES.iterdir())))


def _enum(name: str) -> dict[str, int]:
    """Names and numbers of an enumeration in C++."""
    match = re.search(rf"enum {name} {{(.*?)}};", CODE, re.DOTALL)
    assert match, name
    numbers, following = {}, 0
    for entry in match.group(1).split(","):
        key, _, value = (part.strip() for part in entry.partition("="))
        numbers[key] = int(value) if value else following
        following = numbers[key] + 1
    return numbers


@pytest.mark.parametrize("ours", [plan.Kind, plan.Added, plan.Act, plan.Extra])
def test_enumerations(ours: type[IntEnum]) -> None:
    assert {member.name: int(member) for member in ours} == _enum(ours.__name__)


def test_fields() -> None:
    match = re.search(r"struct Layer {\s*int64_t ([^;]*);", CODE)
    assert match
    theirs = [name.strip() for name in match.group(1).split(",")]
    ours = [{"inputs": "in", "outputs": "out"}.get(f.name, f.name) for f in dataclasses.fields(plan.PlanLayer)]
    assert ours == theirs
    assert len(ours) == plan.FIELDS
    assert f"sizeof(Layer) == {plan.FIELDS} * sizeof(int64_t)" in CODE


def test_limits() -> None:
    assert f"MOST_ROWS = {plan.MOST_ROWS};" in CODE


def test_there_and_back() -> None:
    layer = plan.PlanLayer(
        plan.Kind.DEPTHWISE, 8, 8, 3, 5, 2, 1, 1, 2, 1, 2, plan.Act.GELU, 16, 64, 128, plan.Added.OTHER
    )
    numbers = plan.packed(plan.Extra.HAS_OTHER, 2, [layer, plan.PlanLayer(plan.Kind.DENSE, 8, 4)])
    assert all(type(number) is int for number in numbers)
    (first, *size), (second, *same) = plan.layers_of(numbers, 20, 30)
    assert (first, second.outputs) == (layer, 4)
    assert (size, same) == ([10, 30], [10, 30])
