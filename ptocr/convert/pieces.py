"""Pieces of tensors: programs that use a part of a parameter at a time, as attention does with its projections."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from ptocr.convert.graph import Shape


class Piece(NamedTuple):
    """Places `start` to `stop` of an axis of a tensor, in Paddle's layout."""

    whole: str
    axis: int
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.whole}[{self.axis}:{self.start}:{self.stop}]"

    def shape_in(self, shape: Shape) -> Shape:
        """Of the piece, from that of the whole."""
        return (*shape[: self.axis], self.stop - self.start, *shape[self.axis + 1 :])

    def of(self, array: np.ndarray) -> np.ndarray:
        """The piece of the whole's values."""
        return np.take(array, np.arange(self.start, self.stop), self.axis)


def piece_of(name: str) -> Piece | None:
    """What a piece is called, read back; None for names of whole tensors."""
    found = re.fullmatch(r"(.*)\[(\d+):(\d+):(\d+)\]", name)
    return None if found is None else Piece(found[1], *map(int, found.groups()[1:]))


def with_pieces(tensors: Mapping[str, np.ndarray], names: Iterable[str]) -> dict[str, np.ndarray]:
    """The tensors, with the pieces that are used in place of the wholes that they make up."""
    pieces: dict[str, set[Piece]] = defaultdict(set)
    for piece in map(piece_of, names):
        if piece is not None and piece.whole in tensors:
            pieces[piece.whole].add(piece)
    out = dict(tensors)
    for whole, parts in pieces.items():
        out |= {str(piece): piece.of(tensors[whole]) for piece in parts}
        if _complete(parts, tensors[whole].shape):
            del out[whole]
    return out


def joined(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, Shape]) -> dict[str, np.ndarray]:
    """Whole tensors in place of those pieces that make up one. shapes: of the wholes, by name."""
    pieces: dict[str, list[Piece]] = defaultdict(list)
    for piece in map(piece_of, arrays):
        if piece is not None:
            pieces[piece.whole].append(piece)
    out = {name: array for name, array in arrays.items() if piece_of(name) is None}
    for whole, parts in pieces.items():
        if _complete(parts, shapes[whole]):
            parts.sort(key=lambda piece: piece.start)
            out[whole] = np.concatenate([arrays[str(piece)] for piece in parts], axis=parts[0].axis)
    return out


def _complete(parts: Iterable[Piece], shape: Shape) -> bool:
    """Whether pieces cover the whole of a tensor, each place once."""
    ordered = sorted(parts, key=lambda piece: piece.start)
    axis = ordered[0].axis
    ends = [0, *(piece.stop for piece in ordered)]
    touching = all(piece.start == end for piece, end in zip(ordered, ends[:-1], strict=True))
    return touching and ends[-1] == shape[axis] and all(piece.axis == axis for piece in ordered)
