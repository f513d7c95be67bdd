"""Plans: what a chain of layers is, as the kernels read it (src/layers.h): two numbers and the layers' fields.

The numbers of the enumerations and the order of the fields are those of layers.h; a test compares them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag

MOST_ROWS = 16  # of a kernel
FIELDS = 16


class Extra(IntFlag):
    """Further tensors of the operator: the first number of a plan."""

    HAS_OTHER = 1
    HAS_GATES = 2


class Kind(IntEnum):
    """Kinds of layers."""

    DENSE = 0
    DEPTHWISE = 1
    TRANSPOSED = 2
    MIXED = 3
    SCALED = 4
    POOL = 5


class Added(IntEnum):
    """The residual that is added to a layer before its activation."""

    NOTHING = 0
    OTHER = 1
    ENTERING = 2
    DOUBLED = 3


class Act(IntEnum):
    """Activations."""

    NONE = 0
    RELU = 1
    HARDSWISH = 2
    HARDSIGMOID = 3
    SIGMOID = 4
    SWISH = 5
    GELU = 6


@dataclass
class PlanLayer:
    """One layer, field by field as struct Layer: channels, kernel, strides, padding, what follows, addresses.

    weight, bias: places in the chain's parameters, in bytes.
    """

    kind: Kind
    inputs: int
    outputs: int
    kh: int = 1
    kw: int = 1
    sh: int = 1
    sw: int = 1
    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0
    act: Act = Act.NONE
    lanes: int = 8
    weight: int = 0
    bias: int = 0
    added: Added = Added.NOTHING

    def pack(self) -> list[int]:
        """The fields as plain numbers."""
        return [int(value) for value in dataclasses.astuple(self)]

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output for an input of that size."""
        if self.kind == Kind.TRANSPOSED:
            return 2 * height, 2 * width
        rows = (height + self.top + self.bottom - self.kh) // self.sh + 1
        return rows, (width + self.left + self.right - self.kw) // self.sw + 1


def packed(extra: Extra, count: int, layers: list[PlanLayer]) -> list[int]:
    """A plan. count: of layers, a transposed one (four of `layers`) counts once."""
    return [int(extra), count, *(number for layer in layers for number in layer.pack())]


def layers_of(plan: list[int], height: int, width: int) -> Iterator[tuple[PlanLayer, int, int]]:
    """The layers of a plan, and the height and width of each one's output."""
    for layer in _unpacked(tuple(plan)):
        height, width = layer.size_of(height, width)
        yield layer, height, width


@functools.lru_cache(maxsize=4096)
def _unpacked(plan: tuple[int, ...]) -> tuple[PlanLayer, ...]:
    """The layers of a plan; a network's are asked for with every picture."""
    found = []
    for begin in range(2, 2 + FIELDS * plan[1], FIELDS):
        kind, inputs, outputs, *others = plan[begin : begin + FIELDS]
        found.append(PlanLayer(Kind(kind), inputs, outputs, *others))
    return tuple(found)
