"""Vocabularies: class index <-> character, with the special tokens (blank, start, end, padding, unknown) of each kind
of decoder. No other place knows where these stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ptocr.errors import SpecError


@dataclass(frozen=True)
class Layout:
    """Where special tokens stand among the classes, and how texts are written with them (upstream: label_ops.py,
    rec_postprocess.py).

    before, behind: the special tokens before and behind the characters, in class order, by their roles: blank, start,
    end, pad, unknown; several roles of one token are separated by a space. listed: special tokens that the dictionary
    itself begins with. joint: what stands between the entries of a text. collapses: equal neighbours are one
    character unless a blank stands between them (CTC). framed: labels begin with start, where there is one, and end
    with end. stops: decoding ends at the first end; without it all special tokens are skipped, wherever they stand.
    ordered: what is read has the order of the text, not that of the classes.
    geometric: the score is the geometric mean of the characters and the end, not the mean of the characters.
    """

    before: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    joint: str = ""
    collapses: bool = False
    framed: bool = True
    stops: bool = True
    ordered: bool = True
    geometric: bool = False

    @property
    def special(self) -> int:
        """Number of special tokens."""
        return len(self.before) + len(self.behind)


# By the name that the postprocessing of a recogniser has in its spec; the first is the default.
LAYOUTS: dict[str, Layout] = {
    "ctc": Layout(before=("blank pad",), collapses=True, framed=False),
    # upstream's decoder never stops: it looks for the end among what it has already skipped
    "attention": Layout(before=("start pad",), behind=("end",), stops=False),
    "counts": Layout(before=("start pad",), behind=("end",), stops=False, ordered=False),
    "nrtr": Layout(before=("pad", "unknown", "start", "end")),
    "sar": Layout(behind=("unknown", "start end", "pad")),
    "srn": Layout(behind=("start", "end pad"), framed=False, stops=False),
    "abinet": Layout(before=("end pad",)),
    "visionlan": Layout(before=("end pad",), geometric=True),
    "vitstr": Layout(before=("start pad", "end")),
    "spin": Layout(before=("start pad", "end"), stops=False),
    "pren": Layout(before=("pad", "end", "unknown")),
    "seed": Layout(behind=("end", "pad", "unknown")),
    "can": Layout(listed=("end pad", "start"), joint=" "),
    "parseq": Layout(before=("end",), behind=("start", "pad")),
    # behind the roles stand marks of references, pictures and molecules, which formulas have not
    "unimernet": Layout(listed=("start", "pad", "end", "unknown", *(f"mark_{i}" for i in range(19)))),
    "pgnet": Layout(behind=("blank pad",), collapses=True, framed=False),
}
_LEFT_TO_RIGHT = re.compile("[a-zA-Z0-9 :*./%+-]")


@dataclass(frozen=True)
class Spans:
    """Where characters stand along a line: a line is `count` cells long (for CTC the time steps that cover it without
    its padding, not always a whole number), and character i fills cell `cells[i]`."""

    cells: np.ndarray
    count: float

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def fractions(self) -> np.ndarray:
        """Start and end of each character as fractions of the line's length, (n, 2) float64."""
        starts = np.asarray(self.cells, np.float64)
        return np.stack([starts, starts + 1], axis=1) / max(self.count, 1.0)

    @property
    def centers(self) -> np.ndarray:
        """The middle of each character as a fraction of the line's length, (n,) float64."""
        return (np.asarray(self.cells, np.float64) + 0.5) / max(self.count, 1.0)


@dataclass(frozen=True)
class Text:
    """One decoded line.

    text: the characters; score: mean probability of the kept classes (0.0 when empty); char_scores: (n,) float; spans:
    where they stand, None for decoders that do not say. An entry of several characters counts once in the last two.
    alternatives: other readings and their probabilities, the likeliest first, where they were asked for.
    """

    text: str
    score: float
    char_scores: np.ndarray
    spans: Spans | None = None
    alternatives: tuple[tuple[str, float], ...] = ()

    @property
    def columns(self) -> np.ndarray:
        """The cell of each character, (n,) int; empty where nothing is known of places."""
        return np.zeros(0, np.int64) if self.spans is None else self.spans.cells

    @property
    def steps(self) -> float:
        """Length of the line in the cells of its spans, 0 where nothing is known of places."""
        return 0.0 if self.spans is None else self.spans.count


@dataclass(frozen=True)
class Vocabulary:
    """The characters of a recogniser and the special tokens around them.

    A "character" is a string of any length: some dictionaries hold combined glyphs, some an empty line, which is a
    class like any other and reads as nothing. layout: a key of `LAYOUTS`. right_to_left: the script runs from the
    right, so that what stands in the picture from left to right is read backwards, but for runs of Latin letters and
    digits.
    """

    characters: tuple[str, ...]
    layout: str = "ctc"
    right_to_left: bool = False
    _index: dict[str, int] = field(init=False, repr=False, compare=False, hash=False)
    _tokens: dict[str, int] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise SpecError(f"vocabulary: unknown layout {self.layout!r}; known: {', '.join(LAYOUTS)}")
        layout, index = LAYOUTS[self.layout], {}
        for number, character in enumerate(self.characters, start=len(layout.before)):
            if not isinstance(character, str):
                entry = number - len(layout.before) + 1
                raise SpecError(f"charset: entry {entry} is {character!r}; every entry must be a string")
            index[character] = number  # of a repeated character the last class encodes, as upstream
        behind = len(layout.before) + len(self.characters)
        places = [*enumerate(layout.before), *enumerate(layout.listed), *enumerate(layout.behind, behind)]
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "_tokens", {role: place for place, roles in places for role in roles.split()})

    @classmethod
    def from_lines(cls, lines: Iterable[str], space: bool, layout: str = "ctc") -> Vocabulary:
        """Dictionary lines in class order, blank ones included; `space` appends ' ', even after one that is there.

        Both as upstream (BaseRecLabelDecode): the number of lines is the number of classes the weights were made for.
        """
        characters = [line.strip("\r\n") for line in lines]
        if space:
            characters.append(" ")
        return cls(tuple(characters), layout)

    @classmethod
    def load(cls, path: str | Path, space: bool = True, layout: str = "ctc") -> Vocabulary:
        """A dictionary file: UTF-8, one character per line (a byte-order mark is no character)."""
        try:
            text = Path(path).read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            raise SpecError(f"{path}: there is no such character dictionary") from None
        except OSError as error:
            raise SpecError(f"{path}: not a character dictionary ({error.strerror or error})") from None
        except UnicodeDecodeError as error:
            raise SpecError(f"{path}: not a UTF-8 character dictionary ({error.reason})") from None
        # str.splitlines() would also split at exotic separators, which some dictionaries contain as characters
        return cls.from_lines(text.removesuffix("\n").split("\n") if text else [], space, layout)

    def with_layout(self, layout: str) -> Vocabulary:
        """The same characters among other special tokens."""
        return replace(self, layout=layout)

    @property
    def classes(self) -> int:
        """Number of classes: special tokens and characters."""
        return len(self.characters) + LAYOUTS[self.layout].special

    @property
    def counts(self) -> dict[str, int]:
        """Number of classes of these characters in every layout, by its name."""
        return {name: len(self.characters) + layout.special for name, layout in LAYOUTS.items()}

    @property
    def first(self) -> int:
        """Class of the first character."""
        return len(LAYOUTS[self.layout].before)

    @property
    def frame(self) -> int:
        """Places of a label that its text does not take: those of start and end, where the layout writes them."""
        return self._starts + LAYOUTS[self.layout].framed

    @property
    def _starts(self) -> bool:
        """Whether labels begin with the start token."""
        layout = LAYOUTS[self.layout]
        return layout.framed and "start" in self._tokens and not layout.listed

    def token(self, role: str) -> int:
        """Class of a special token: blank, start, end, pad or unknown.

        Raises:
            SpecError: the layout has none.
        """
        if role not in self._tokens:
            raise SpecError(f"vocabulary: layout {self.layout!r} has no {role!r}; it has {', '.join(self._tokens)}")
        return self._tokens[role]

    def __contains__(self, character: object) -> bool:
        return character in self._index

    def encode(self, text: str) -> list[int]:
        """Classes of a text; characters that are lacking are dropped (upstream: BaseRecLabelEncode)."""
        return [self._index[entry] for entry in self._entries(text) if entry in self._index]

    def _entries(self, text: str) -> Sequence[str]:
        """What a text is made of: characters, or what stands between joints."""
        return text.split() if LAYOUTS[self.layout].joint else text

    def rewritten(self, text: str) -> str:
        """A text as one that reads it without fault writes it: spaces between entries single, entries in the order of
        their classes where what is read has none."""
        layout, entries = LAYOUTS[self.layout], self._entries(text)
        if not layout.ordered:
            entries = sorted(entries, key=lambda entry: self._index.get(entry, len(self._index)))
        return layout.joint.join(entries)

    def label(self, text: str, length: int) -> list[int] | None:
        """A text as a label of `length` classes: between start and end where the layout says so, then padding.

        None for texts that do not fit, or of which no character is known (upstream: the __call__ of label encoders).
        """
        classes, framed = self.encode(text), LAYOUTS[self.layout].framed
        before = [self._tokens["start"]] if self._starts else []
        behind = [self.token("end")] if framed else []
        if not classes or len(self._entries(text)) > length or len(before) + len(classes) + len(behind) > length:
            return None
        classes = [*before, *classes, *behind]
        return classes + [self.token("pad")] * (length - len(classes))

    def decode(
        self, classes: Sequence[int] | np.ndarray, probs: Sequence[float] | np.ndarray, share: float = 1.0
    ) -> Text:
        """The text of one line from the best class of every step and its probability, (T,) each.

        share: part of the width that the line fills; the rest is padding. Special tokens read as nothing; upstream
        writes `<UKN>` and the like into the text, and averages an empty line's score to NaN.
        """
        steps = np.asarray(classes)
        probs = np.asarray(probs, dtype=np.float32)
        places = np.flatnonzero(self._kept(steps))
        if self.right_to_left:
            places = places[_logical_order([self.characters[i] for i in steps[places] - self.first])]
        char_scores = probs[places]
        text = LAYOUTS[self.layout].joint.join(self.characters[i] for i in steps[places] - self.first)
        score = self._score(probs, places) if len(places) else 0.0
        spans = Spans(places, len(steps) * share) if LAYOUTS[self.layout].collapses else None
        return Text(text, score, char_scores, spans)

    def _score(self, probs: np.ndarray, places: np.ndarray) -> float:
        """The score of a line whose characters stand at these steps (n,), n > 0."""
        if not LAYOUTS[self.layout].geometric:
            return float(probs[places].mean())
        read = probs[: places[-1] + 2]  # with the end
        return float(np.exp(np.log(read).sum() / (len(read) + 1e-6)))  # upstream: VLLabelDecode

    def _kept(self, steps: np.ndarray) -> np.ndarray:
        """Which steps give a character, (T,) bool."""
        layout = LAYOUTS[self.layout]
        first = self.first + len(layout.listed)
        keep: np.ndarray = (steps >= first) & (steps < self.first + len(self.characters))
        if layout.collapses:
            keep[1:] &= steps[1:] != steps[:-1]
        elif layout.stops:
            ends = np.flatnonzero(steps == self.token("end"))
            keep[ends[0] if len(ends) else len(steps) :] = False
        return keep


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
