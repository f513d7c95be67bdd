"""The document model: Page > Block > Line > Word, with geometry and confidence at every level.

    Page    one picture: its size, every region that was detected, and its blocks in reading order
    Block   lines that belong together, of one kind ("text", "title", "table", ...); rows of lines, or a `content`
    Line    one text line, the same object from the detector to the writers: region, turn, text, scores, words
    Word    a piece of a line between spaces

All coordinates are pixels of `Page.image`. PaddleX's parallel lists and every output format are views of this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from ptocr.document.invisible_font import width_of
from ptocr.document.order import reading_order
from ptocr.inputs.page import Original, PdfPage
from ptocr.processing.geometry import box_of, text_quad
from ptocr.processing.words import per_character

MIN_SCORE = 0.5  # confidence below which a line is left out of what people read; JSON and Python keep all

Box = tuple[int, int, int, int]  # x0, y0, x1, y1


class Piece(NamedTuple):
    """A word by upstream's rule (`return_word_box`): a run of letters, one ideograph, a run of signs and spaces."""

    text: str
    quad: np.ndarray


@dataclass(frozen=True, eq=False)
class Word:
    """A piece of a line between spaces. quad: (4, 2) corners, clockwise from the top left of its text; score: the mean
    of its characters' scores."""

    text: str
    quad: np.ndarray
    score: float

    def __repr__(self) -> str:
        """Text, score and box."""
        return f"<Word {self.text!r} {self.score:.2f} at {self.box}>"

    @property
    def box(self) -> Box:
        """Upright box around the word."""
        return box_of([self.quad])


@dataclass(eq=False)
class Line:
    """One text line. What is not known yet, or was not asked for, is None or empty.

    poly: (n, 2) whole pixels, clockwise from the upper left in the picture. turned: it was turned a quarter to the left
    to be read. angle: 1 read upside down, 0 as it stands, -1 not asked. kept: its score reached
    `text_rec_score_thresh`. columns: (m,) time steps at which the recogniser found the characters; steps: how many
    cover the line, may be fractional; char_scores: (m,) their confidence. char_quads: (len(text), 4, 2). pieces: words
    by upstream's rule. alternatives: other readings with their probabilities, best first. confidence: calibrated
    probability that the text is right; known_script: False where it seems to be in a script that the recogniser does
    not know. original: poly in the user's own picture. crop: (h, w, 3) uint8 BGR, the line as it was read.
    """

    poly: np.ndarray
    text: str = ""
    score: float = 0.0
    turned: bool = False
    angle: int = -1
    kept: bool = True
    columns: np.ndarray | None = None
    steps: float = 0.0
    char_scores: np.ndarray | None = None
    char_quads: np.ndarray | None = None
    pieces: list[Piece] | None = None
    alternatives: list[tuple[str, float]] = field(default_factory=list)
    confidence: float = 0.0
    known_script: bool = True
    original: np.ndarray | None = None
    crop: np.ndarray | None = None

    def __repr__(self) -> str:
        """Text, score and box."""
        return f"<Line {self.text!r} {self.score:.2f} at {self.box}>"

    @property
    def upside_down(self) -> bool:
        """Whether the line was turned by 180 degrees to be read."""
        return self.angle == 1

    @cached_property
    def quad(self) -> np.ndarray:
        """(4, 2) corners in reading direction: top left, top right, bottom right, bottom left of the text."""
        return text_quad(self.poly, self.turned, self.upside_down)

    @property
    def box(self) -> Box:
        """Upright box around the line."""
        return box_of([self.quad])

    @property
    def height(self) -> float:
        """Size across the reading direction, in pixels."""
        return float(np.linalg.norm(self.quad[3] - self.quad[0]) + np.linalg.norm(self.quad[2] - self.quad[1])) / 2

    @cached_property
    def words(self) -> list[Word]:
        """The words with their places: from the pieces where those were asked for, else by usual widths of letters."""
        spans = self._measured() or self._guessed()
        return [Word(self.text[a:b], self._part(start, end), self._score(a, b)) for a, b, start, end in spans]

    @cached_property
    def measured(self) -> bool:
        """Whether the places of the words come from the recogniser."""
        return bool(self._measured())

    def mapped(self, back: Callable[[np.ndarray], np.ndarray]) -> Line:
        """This line in another picture; back: points (..., 2) of this one -> points of the other."""
        pieces = None if self.pieces is None else [Piece(text, back(quad)) for text, quad in self.pieces]
        quads = None if self.char_quads is None else back(self.char_quads)
        return replace(self, poly=back(self.poly), pieces=pieces, char_quads=quads)

    # ---- words: (first character, one behind the last, start and end as fractions of the line's length) ----

    def _word_ranges(self) -> Iterator[tuple[int, int]]:
        position = 0
        for word in self.text.split():
            begin = self.text.index(word, position)
            position = begin + len(word)
            yield begin, position

    def _guessed(self) -> list[tuple[int, int, float, float]]:
        total = max(width_of(self.text), 1e-6)
        return [
            (a, b, width_of(self.text[:a]) / total, width_of(self.text[:b]) / total) for a, b in self._word_ranges()
        ]

    def _measured(self) -> list[tuple[int, int, float, float]]:
        """Empty where there are no pieces, or those of another text."""
        spans = self._piece_spans()
        words = []
        for begin, end in self._word_ranges() if spans else ():
            inside = [span for span in spans if begin <= span[0] and span[1] <= end]
            if not inside:
                return []
            words.append((begin, end, min(span[2] for span in inside), max(span[3] for span in inside)))
        return words

    def _piece_spans(self) -> list[tuple[int, int, float, float]]:
        """Which characters each piece holds, and where it lies; pieces follow each other as the characters do."""
        direction, origin = self.quad[1] - self.quad[0], self.quad[0]
        scale = float(direction @ direction)
        inked = [i for i, character in enumerate(self.text) if not character.isspace()]
        pieces = [("".join(piece.text.split()), piece.quad) for piece in self.pieces or ()]
        if scale == 0 or "".join(text for text, _ in pieces) != "".join(self.text[i] for i in inked):
            return []
        spans, count = [], 0
        for text, quad in pieces:
            if text:
                along = np.clip((np.asarray(quad, np.float64).reshape(-1, 2) - origin) @ direction / scale, 0, 1)
                spans.append((inked[count], inked[count + len(text) - 1] + 1, float(along.min()), float(along.max())))
                count += len(text)
        return spans

    def _part(self, start: float, end: float) -> np.ndarray:
        a, b, c, d = self.quad
        return np.array([a + (b - a) * start, a + (b - a) * end, d + (c - d) * end, d + (c - d) * start])

    def _score(self, begin: int, end: int) -> float:
        if self.char_scores is None or len(self.char_scores) == 0:
            return self.score
        return float(np.mean(per_character(self.text, self.char_scores)[begin:end]))


class Content(Protocol):
    """What a block holds where it is more than rows of text: a table's cells, a formula, a figure."""

    @property
    def lines(self) -> list[Line]:
        """The text lines in it, in reading order."""
        ...

    def above(self, min_score: float) -> Content:
        """The same without the lines that score less."""
        ...


@dataclass(eq=False)
class Block:
    """Lines that belong together. kind: "text" unless a layout model says more. rows: from top to bottom, each a list
    of lines from left to right (cells of a row); empty where `content` holds the lines. poly: (n, 2), the region that a
    layout model found, else None."""

    rows: list[list[Line]] = field(default_factory=list)
    kind: str = "text"
    poly: np.ndarray | None = None
    content: Content | None = None

    def __repr__(self) -> str:
        """Kind and number of lines."""
        return f"<Block {self.kind}: {len(self.lines)} lines>"

    @property
    def lines(self) -> list[Line]:
        """All lines in reading order."""
        return self.content.lines if self.content is not None else [line for row in self.rows for line in row]

    @property
    def box(self) -> Box:
        """Upright box around the block."""
        return box_of([self.poly] if self.poly is not None else [line.quad for line in self.lines])

    def above(self, min_score: float) -> Block:
        """The block without the lines that score less."""
        rows = [[line for line in row if line.score >= min_score] for row in self.rows]
        content = None if self.content is None else self.content.above(min_score)
        return replace(self, rows=[row for row in rows if row], content=content)


@dataclass(eq=False)
class Page:
    """One picture and what stands on it.

    regions: every region that was detected, in the detector's order; those with `kept` and a text are the `lines`.
    image: (H, W, 3) uint8 BGR, by reference. source: the input as the user gave it, None from memory. index: 0-based
    page number in it, None for single pictures. angle: degrees counter-clockwise by which the page was turned to be
    read. size: (width, height) in pixels where there is no image. pdf: set for pages of a PDF. original: the
    PDF or JPEG file that the picture comes from. languages: ISO 639
    codes that the recogniser reads, or the user's choice.
    """

    regions: list[Line] = field(default_factory=list)
    image: np.ndarray | None = None
    source: str | None = None
    index: int | None = None
    angle: int = 0
    size: tuple[int, int] | None = None
    pdf: PdfPage | None = None
    original: Original | None = field(default=None, repr=False)
    languages: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Source, size and number of regions."""
        return f"<Page {self.source or 'from memory'} {self.size}: {len(self.regions)} regions>"

    def __post_init__(self) -> None:
        """The size is that of the image."""
        if self.size is None and self.image is not None:
            self.size = (int(self.image.shape[1]), int(self.image.shape[0]))

    @cached_property
    def blocks(self) -> list[Block]:
        """The blocks in reading order: by geometry alone, unless a pipeline that knows more has set them."""
        lines = [line for line in self.regions if line.kept and line.text.strip()]
        return [Block(rows) for rows in reading_order(lines, self.angle, self.extent)]

    @property
    def lines(self) -> list[Line]:
        """All lines in reading order."""
        return [line for block in self.blocks for line in block.lines]

    @property
    def extent(self) -> tuple[int, int]:
        """(width, height): the size, or what the lines take up where that is not known."""
        if self.size is not None or not self.regions:
            return self.size or (1, 1)
        _, _, x1, y1 = box_of([line.quad for line in self.regions])
        return max(1, x1), max(1, y1)

    def above(self, min_score: float = MIN_SCORE) -> Page:
        """The page without the lines that score less, for writers. The order of the others stays."""
        page = replace(self, regions=[line for line in self.regions if line.score >= min_score])
        blocks = [block.above(min_score) for block in self.blocks]
        page.blocks = [block for block in blocks if block.rows or block.content is not None]
        return page
