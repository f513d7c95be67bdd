"""Programs: a whole network as a flat list of numbers that the kernels run by one call (src/program.cpp)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, auto
from typing import Protocol

import numpy as np


class Op(IntEnum):
    """Kinds of instructions, numbered as in src/program.cpp; a test compares them."""

    INPUT = 0
    CONVS = auto()
    MEAN = auto()
    UNARY = auto()
    BINARY = auto()
    CONCAT = auto()
    ENLARGE = auto()
    POOLING = auto()
    SHUFFLE = auto()
    NORM = auto()
    ATTENTION = auto()
    SOFTMAX = auto()
    GREEDY = auto()
    ROWS = auto()
    MAP = auto()
    OUTPUT = auto()


class Unary(IntEnum):
    """Elementwise functions after the activations of `plan.Act`: x * a + b; x between a and b."""

    SCALE = 7
    CLAMP = 8


class Binary(IntEnum):
    """Elementwise functions of two maps, or of a map and a vector of channels."""

    ADD = 0
    MULTIPLY = 1
    SUBTRACT = 2


class Form(IntEnum):
    """What a result is to the caller, whose memory is always (N, H, W, C)."""

    MAP = 0  # (N, C, H, W)
    ROWS = 1  # (N, L, C)
    VECTOR = 2  # (N, C)


class CannotLower(Exception):
    """The network holds something that programs have no instruction for."""


class Parameters(Protocol):
    """Weights as the kernels want them."""

    def joined(self) -> np.ndarray:
        """All bytes, one after the other."""
        ...


@dataclass
class Program:
    """Instructions and parameters. outputs: the form of each result, None of the two of greedy CTC, (N, L) each."""

    code: list[int]
    buffer: Parameters
    outputs: list[Form | None] = field(default_factory=list)

    def add(self, op: Op, sources: Sequence[int] = (), args: Sequence[int] = (), result: bool = True) -> int:
        """The number of the value that a new instruction makes; -1 if it makes none."""
        made = self.code[0] if result else -1
        self.code[0] += result
        self.code += [4 + len(sources) + len(args), op, made, len(sources), *sources, *args]
        return made


def bits(value: float) -> int:
    """A float32 number in an instruction."""
    return struct.unpack("<i", struct.pack("<f", value))[0]
