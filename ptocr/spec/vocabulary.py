"""Character sets: class index <-> character. The CTC blank (class 0) and the space live here only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ptocr.errors import SpecError

# How classes are laid out, by name: what stands before and behind the characters.
LAYOUTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {"ctc": (("blank",), ())}
BLANK = 0
_LEFT_TO_RIGHT = re.compile("[a-zA-Z0-9 :*./%+-]")


@dataclass(frozen=True)
class CTCText:
    """One decoded line.

    text: the characters; score: mean probability of the kept steps (0.0 when empty); columns: time step of each
    character, (n,) int; char_scores: (n,) float.
    """

    text: str
    score: float
    columns: np.ndarray
    char_scores: np.ndarray


@dataclass(frozen=True)
class Charset:
    """The characters of classes 1..n of a recogniser; class 0 is the CTC blank.

    A "character" is a string of any length: some dictionaries hold combined glyphs, some an empty line, which is a
    class like any other and reads as nothing. right_to_left: the script runs from the right, so that what stands in
    the picture from left to right is read backwards, but for runs of Latin letters and digits.
    """

    characters: tuple[str, ...]
    right_to_left: bool = False
    _index: dict[str, int] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        index: dict[str, int] = {}
        for number, character in enumerate(self.characters, start=1):
            if not isinstance(character, str):
                raise SpecError(f"charset: entry {number} is {character!r}; every entry must be a string")
            index[character] = number  # of a repeated character the last class encodes, as upstream
        object.__setattr__(self, "_index", index)

    @classmethod
    def from_lines(cls, lines: Iterable[str], space: bool) -> Charset:
        """Dictionary lines in class order, blank ones included; `space` appends ' ', even after one that is there.

        Both as upstream (BaseRecLabelDecode): the number of lines is the number of classes the weights were made for.
        """
        characters = [line.strip("\r\n") for line in lines]
        if space:
            characters.append(" ")
        return cls(tuple(characters))

    @classmethod
    def load(cls, path: str | Path, space: bool = True) -> Charset:
        """A dictionary file: UTF-8, one character per line (a byte-order mark is no character)."""
        try:
            text = Path(path).read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            raise SpecError(f"{path}: there is no such character dictionary") from None
        except UnicodeDecodeError as error:
            raise SpecError(f"{path}: not a UTF-8 character dictionary ({error.reason})") from None
        # str.splitlines() would also split at exotic separators, which some dictionaries contain as characters
        return cls.from_lines(text.removesuffix("\n").split("\n") if text else [], space)

    @property
    def classes(self) -> int:
        """Number of classes of the CTC layer: the blank and every character."""
        return len(self.characters) + 1

    def __contains__(self, character: object) -> bool:
        return character in self._index

    def encode(self, text: str) -> list[int]:
        """Class indices of a text; characters that the set lacks are dropped (upstream's BaseRecLabelEncode)."""
        return [self._index[c] for c in text if c in self._index]

    def decode_ctc(self, indices: Sequence[int] | np.ndarray, probs: Sequence[float] | np.ndarray) -> CTCText:
        """Greedy CTC decoding of one line (upstream: CTCLabelDecode).

        indices, probs: (T,) best class and its probability per time step.
        """
        steps = np.asarray(indices)
        probs = np.asarray(probs, dtype=np.float32)
        keep = steps != BLANK
        keep[1:] &= steps[1:] != steps[:-1]
        columns = np.flatnonzero(keep)
        if self.right_to_left:
            columns = columns[_logical_order([self.characters[i - 1] for i in steps[columns]])]
        char_scores = probs[columns]
        text = "".join(self.characters[i - 1] for i in steps[columns])
        score = float(char_scores.mean()) if len(columns) else 0.0
        return CTCText(text, score, columns, char_scores)


def _logical_order(characters: Sequence[str]) -> list[int]:
    """Places of the characters of a right-to-left line in the order they are read (upstream: pred_reverse)."""
    groups: list[list[int]] = []
    was_left_to_right = False
    for place, character in enumerate(characters):
        left_to_right = _LEFT_TO_RIGHT.search(character) is not None
        if left_to_right and was_left_to_right:
            groups[-1].append(place)
        else:
            groups.append([place])
        was_left_to_right = left_to_right
    return [place for group in reversed(groups) for place in group]
