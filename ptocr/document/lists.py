"""PaddleX's parallel lists and the document tree: lists as views of a page, and a page of lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import numpy as np

from ptocr.document.base_result import boxes_of, point_array
from ptocr.document.tree import Line, Page, Piece
from ptocr.processing.geometry import is_turned

# lists that a call has to ask for
OPTIONAL = (
    "text_word", "char_boxes", "char_scores", "alternatives", "confidences", "known_script", "line_images",
    "polys_original",
)  # fmt: skip


class Lists(TypedDict, total=False):
    """The parallel lists of an OCR result. dt_polys, textline_orientation_angles: of all detected regions; the others
    of the lines that were kept, in the same order; `text_word` and `text_word_region` belong together."""

    dt_polys: Sequence[Any]
    textline_orientation_angles: Sequence[int]
    rec_texts: Sequence[str]
    rec_scores: Sequence[float]
    rec_polys: Sequence[Any]
    rec_boxes: Any
    text_word: Sequence[Sequence[str]] | None
    text_word_region: Sequence[Sequence[Any]] | None
    polys_original: Sequence[Any] | None
    char_boxes: Sequence[Any] | None
    char_scores: Sequence[Sequence[float]] | None
    alternatives: Sequence[Sequence[tuple[str, float]]] | None
    confidences: Sequence[float] | None
    known_script: Sequence[bool] | None
    line_images: Sequence[np.ndarray] | None


def regions_of(lists: Lists) -> list[Line]:
    """The regions of a page. A recognised polygon that was not detected comes behind those that were.

    Raises:
        ValueError: lists of the same lines differ in length.
    """
    detected = [point_array(poly) for poly in lists.get("dt_polys", ())]
    angles = list(lists.get("textline_orientation_angles", ()))
    if len(angles) != len(detected):
        angles = [-1] * len(detected)
    read = _read(lists)
    regions = []
    for poly, angle in zip(detected, angles, strict=True):
        if read and np.array_equal(read[0].poly, poly):
            line = read.pop(0)
            line.angle = int(angle)
        else:
            line = Line(poly, turned=is_turned(poly), angle=int(angle), kept=False)
        regions.append(line)
    return regions + read


def _read(lists: Lists) -> list[Line]:
    texts, scores, polys = lists.get("rec_texts", ()), lists.get("rec_scores", ()), lists.get("rec_polys", ())
    boxes = lists.get("rec_boxes")
    counts = {len(texts), len(scores), len(polys), len(polys if boxes is None else boxes)}
    if len(counts) > 1:
        raise ValueError(f"rec_texts, rec_scores, rec_polys and rec_boxes differ in length: {sorted(counts)}")
    lines = []
    for number, (text, score, points) in enumerate(zip(texts, scores, polys, strict=True)):
        poly = point_array(points)
        lines.append(Line(poly, str(text), float(score), is_turned(poly), **_parts(lists, number)))
    return lines


_PLAIN = ("alternatives", "confidence", "known_script")


def _parts(lists: Lists, number: int) -> dict[str, Any]:
    """What only some callers ask for, of one line."""
    parts: dict[str, Any] = {}
    words, regions = lists.get("text_word"), lists.get("text_word_region")
    if words is not None and regions is not None:
        parts["pieces"] = [Piece(*pair) for pair in zip(words[number], map(np.asarray, regions[number]), strict=True)]
    names = {"original": "polys_original", "char_quads": "char_boxes", "char_scores": "char_scores",
             "alternatives": "alternatives", "confidence": "confidences", "known_script": "known_script",
             "crop": "line_images"}  # fmt: skip
    for field, name in names.items():
        values: Any = lists.get(name)
        if values is not None:
            parts[field] = values[number] if field in _PLAIN else np.asarray(values[number])
    return parts


class ListViews:
    """PaddleX's parallel lists, each made from the page when it is asked for."""

    page: Page
    asked: frozenset[str]  # which of the OPTIONAL lists there are

    @property
    def kept(self) -> list[Line]:
        """The lines whose score reached `text_rec_score_thresh`, in the detector's order."""
        return [line for line in self.page.regions if line.kept]

    @property
    def dt_polys(self) -> list[np.ndarray]:
        """Corners of all detected regions."""
        return [point_array(line.poly) for line in self.page.regions]

    @property
    def textline_orientation_angles(self) -> list[int]:
        """Per detected region: 1 upside down, 0 upright, -1 not asked."""
        return [line.angle for line in self.page.regions]

    @property
    def rec_texts(self) -> list[str]:
        """Texts of the lines that were kept."""
        return [line.text for line in self.kept]

    @property
    def rec_scores(self) -> list[float]:
        """Mean probability of each text's characters."""
        return [float(line.score) for line in self.kept]

    @property
    def rec_polys(self) -> list[np.ndarray]:
        """Corners (n, 2) of the lines that were kept."""
        return [point_array(line.poly) for line in self.kept]

    @property
    def rec_boxes(self) -> np.ndarray:
        """Upright boxes (lines, 4)."""
        return boxes_of(self.rec_polys)

    @property
    def text_word(self) -> list[list[str]] | None:
        """Words of each line by upstream's rule, None unless asked for."""
        return self._list("text_word", lambda line: [piece.text for piece in line.pieces or ()])

    @property
    def text_word_region(self) -> list[list[np.ndarray]] | None:
        """Corners (4, 2) of those words."""
        return self._list("text_word", lambda line: [piece.quad for piece in line.pieces or ()])

    @property
    def text_word_boxes(self) -> list[np.ndarray] | None:
        """Upright boxes (n, 4) of those words."""
        return self._list("text_word", lambda line: boxes_of([piece.quad for piece in line.pieces or ()]))

    @property
    def char_boxes(self) -> list[np.ndarray] | None:
        """Corners (n, 4, 2) of the characters of each line, None unless asked for."""
        return self._list("char_boxes", lambda line: line.char_quads)

    @property
    def char_scores(self) -> list[list[float]] | None:
        """Probabilities of those characters."""
        return self._list("char_scores", lambda line: np.asarray(line.char_scores).tolist())

    @property
    def alternatives(self) -> list[list[tuple[str, float]]] | None:
        """Other readings of each line, None unless asked for."""
        return self._list("alternatives", lambda line: line.alternatives)

    @property
    def confidences(self) -> list[float] | None:
        """Calibrated probability that each text is right, None unless asked for."""
        return self._list("confidences", lambda line: float(line.confidence))

    @property
    def known_script(self) -> list[bool] | None:
        """Whether each text seems to be in a script that the recogniser knows."""
        return self._list("known_script", lambda line: bool(line.known_script))

    @property
    def line_images(self) -> list[np.ndarray] | None:
        """The lines as they were read, None unless asked for."""
        return self._list("line_images", lambda line: line.crop)

    @property
    def polys_original(self) -> list[np.ndarray] | None:
        """`rec_polys` in the user's own picture."""
        return self._list("polys_original", lambda line: line.original)

    def _list(self, name: str, view: Callable[[Line], Any]) -> list[Any] | None:
        return [view(line) for line in self.kept] if name in self.asked else None
