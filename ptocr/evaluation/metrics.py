"""Scores: detection by the ICDAR protocol, recognition by line and by character, classification by accuracy."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from ptocr.errors import DeviceError
from ptocr.evaluation.zoom_metric import ZoomMetric


class DetMetric:
    """Precision, recall, hmean over pages: one-to-one matches of IoU > 0.5 (ICDAR 2015 protocol, upstream DetMetric).

    Predictions that lie mostly on text marked as ignored count neither way.
    """

    def __init__(self, iou: float = 0.5, ignored_overlap: float = 0.5) -> None:
        self.iou, self.ignored_overlap = iou, ignored_overlap
        self.matched = self.predicted = self.labelled = 0

    def add(self, predicted: Sequence[np.ndarray], labelled: Sequence[np.ndarray], ignored: Sequence[bool]) -> None:
        """One page: polygons (n, 2) found and labelled, and which labels are to be ignored."""
        self.matched += len(self._match(predicted, labelled, ignored))

    def _match(
        self, predicted: Sequence[np.ndarray], labelled: Sequence[np.ndarray], ignored: Sequence[bool]
    ) -> list[tuple[int, int]]:
        """Counts a page's boxes; returns the pairs (predicted, labelled) that match."""
        found = {i: p for i, p in enumerate(map(_polygon, predicted)) if p is not None}
        labels = {i: p for i, p in enumerate(map(_polygon, labelled)) if p is not None}
        skip = [p for i, p in labels.items() if ignored[i]]
        care = {i: p for i, p in labels.items() if not ignored[i]}
        found = {i: p for i, p in found.items() if not any(_share(p, s) > self.ignored_overlap for s in skip)}
        self.predicted += len(found)
        self.labelled += len(care)
        pairs = []
        for label, shape in care.items():
            hit = next((i for i, p in found.items() if _iou(shape, p) > self.iou), None)
            if hit is not None:
                del found[hit]
                pairs.append((hit, label))
        return pairs

    def counts(self) -> tuple[int, ...]:
        """Numbers that add up over processes."""
        return self.matched, self.predicted, self.labelled

    def with_counts(self, counts: Sequence[float]) -> DetMetric:
        """This metric for the sum of several processes' `counts`."""
        self.matched, self.predicted, self.labelled = (int(c) for c in counts)
        return self

    def result(self) -> dict[str, float]:
        """precision, recall, hmean in 0..1."""
        precision = self.matched / self.predicted if self.predicted else 0.0
        recall = self.matched / self.labelled if self.labelled else 0.0
        total = precision + recall
        return {
            "hmean": 2 * precision * recall / total if total else 0.0,
            "precision": precision,
            "recall": recall,
        }


def _polygon(points: np.ndarray) -> Any:
    try:
        from shapely.geometry import Polygon
    except ImportError:
        raise _missing("shapely") from None
    points = np.asarray(points, np.float64)
    if len(points) < 3:
        return None
    shape = Polygon(points)
    if not shape.is_valid:
        shape = shape.buffer(0)  # crossing edges: the covered area counts
    return shape if shape.area > 0 else None


def _share(shape: Any, other: Any) -> float:
    return shape.intersection(other).area / shape.area


def _iou(a: Any, b: Any) -> float:
    overlap = a.intersection(b).area
    return overlap / (a.area + b.area - overlap)


class RecMetric:
    """Line accuracy, 1 - normalised edit distance, character accuracy (upstream RecMetric).

    1-NED: edit distance divided by the longer text, averaged over lines; char_acc: 1 - all edits / all labelled
    characters, not below 0.
    """

    def __init__(self, ignore_space: bool = False, ignore_case: bool = False) -> None:
        self.ignore_space, self.ignore_case = ignore_space, ignore_case
        self.lines = self.right = self.edits = self.characters = 0
        self.similarity = 0.0

    def folded(self, text: str) -> str:
        """The text without what does not count."""
        text = text.replace(" ", "") if self.ignore_space else text
        return text.lower() if self.ignore_case else text

    def add(self, predicted: str, labelled: str) -> None:
        """One line."""
        try:
            from rapidfuzz.distance import Levenshtein
        except ImportError:
            raise _missing("rapidfuzz") from None
        got, want = self.folded(predicted), self.folded(labelled)
        edits = Levenshtein.distance(got, want)
        self.lines += 1
        self.right += got == want
        self.edits += edits
        self.characters += len(want)
        self.similarity += 1 - edits / max(len(got), len(want), 1)

    def counts(self) -> tuple[float, ...]:
        """Numbers that add up over processes."""
        return self.lines, self.right, self.edits, self.characters, self.similarity

    def with_counts(self, counts: Sequence[float]) -> RecMetric:
        """This metric for the sum of several processes' `counts`."""
        self.lines, self.right, self.edits, self.characters = (int(c) for c in counts[:4])
        self.similarity = counts[4]
        return self

    def result(self) -> dict[str, float]:
        """acc, 1-NED and char_acc in 0..1."""
        return {
            "acc": self.right / max(self.lines, 1),
            "1-NED": self.similarity / max(self.lines, 1),
            "char_acc": max(0.0, 1 - self.edits / max(self.characters, 1)),
        }


class WordMetric(RecMetric):
    """Word accuracy by the standard protocol of scene text recognition (IIIT5k, SVT, IC13, IC15, SVTP, CUTE80).

    Only the characters of `PROTOCOLS` count; accents are taken off. Labels of which nothing is left, and those of more
    than 25 characters, are left out (deep-text-recognition-benchmark, PARSeq).
    """

    def __init__(self, protocol: str) -> None:
        super().__init__()
        self.characters_that_count, self.lower = PROTOCOLS[protocol]

    def folded(self, text: str) -> str:
        text = unicodedata.normalize("NFKD", text)
        return "".join(c for c in (text.lower() if self.lower else text) if c in self.characters_that_count)

    def add(self, predicted: str, labelled: str) -> None:
        if len(labelled.replace(" ", "")) <= LONGEST_WORD and self.folded(labelled):
            super().add(predicted, labelled)


# Characters that count, and whether texts are compared in lower case, by protocol of scene text recognition.
PROTOCOLS = {
    "36": (string.digits + string.ascii_lowercase, True),
    "62": (string.digits + string.ascii_letters, False),
    "94": (string.digits + string.ascii_letters + string.punctuation, False),
}
LONGEST_WORD = 25


class EndToEndMetric(DetMetric):
    """As DetMetric, but a match counts only where the text is right as well."""

    def __init__(self, ignore_space: bool = False, ignore_case: bool = False) -> None:
        super().__init__()
        self.fold = RecMetric(ignore_space, ignore_case).folded

    def add_read(
        self,
        predicted: Sequence[np.ndarray],
        texts: Sequence[str],
        labelled: Sequence[np.ndarray],
        truths: Sequence[str],
        ignored: Sequence[bool],
    ) -> None:
        """One page with what was read."""
        pairs = self._match(predicted, labelled, ignored)
        self.matched += sum(self.fold(texts[i]) == self.fold(truths[k]) for i, k in pairs)


class ClsMetric:
    """Share of pictures given the right class."""

    def __init__(self) -> None:
        self.pictures = self.right = 0

    def add(self, predicted: int, labelled: int) -> None:
        """One picture."""
        self.pictures += 1
        self.right += predicted == labelled

    def counts(self) -> tuple[int, ...]:
        """Numbers that add up over processes."""
        return self.pictures, self.right

    def with_counts(self, counts: Sequence[float]) -> ClsMetric:
        """This metric for the sum of several processes' `counts`."""
        self.pictures, self.right = (int(c) for c in counts)
        return self

    def result(self) -> dict[str, float]:
        """acc in 0..1."""
        return {"acc": self.right / max(self.pictures, 1)}


class StructureMetric:
    """Tables whose HTML tokens are all right, and 1 - edits / tokens of the longer, averaged (upstream TableMetric has
    the first alone)."""

    def __init__(self) -> None:
        self.tables = self.right = 0
        self.similarity = 0.0

    def add(self, predicted: Sequence[str], labelled: Sequence[str]) -> None:
        """One table."""
        try:
            from rapidfuzz.distance import Levenshtein
        except ImportError:
            raise _missing("rapidfuzz") from None
        self.tables += 1
        self.right += list(predicted) == list(labelled)
        self.similarity += Levenshtein.normalized_similarity(predicted, labelled)

    def counts(self) -> tuple[float, ...]:
        """Numbers that add up over processes."""
        return self.tables, self.right, self.similarity

    def with_counts(self, counts: Sequence[float]) -> StructureMetric:
        """This metric for the sum of several processes' `counts`."""
        self.tables, self.right, self.similarity = int(counts[0]), int(counts[1]), counts[2]
        return self

    def result(self) -> dict[str, float]:
        """acc and 1-NED in 0..1."""
        return {"acc": self.right / max(self.tables, 1), "1-NED": self.similarity / max(self.tables, 1)}


class FieldMetric:
    """F1 of lines' classes, the mean over all classes but the unscored ones (upstream KIEMetric). A class that occurs
    nowhere counts as 0, as upstream."""

    def __init__(self, classes: int, unscored: Sequence[int] = ()) -> None:
        self.table: np.ndarray = np.zeros((classes, classes), np.int64)  # labelled, predicted
        self.unscored = list(unscored)

    def add(self, predicted: Sequence[int], labelled: Sequence[int]) -> None:
        """The lines of one page."""
        np.add.at(self.table, (list(labelled), list(predicted)), 1)

    def counts(self) -> tuple[int, ...]:
        """Numbers that add up over processes."""
        return tuple(self.table.reshape(-1).tolist())

    def with_counts(self, counts: Sequence[float]) -> FieldMetric:
        """This metric for the sum of several processes' `counts`."""
        self.table = np.array(counts).astype(np.int64).reshape(self.table.shape)
        return self

    def result(self) -> dict[str, float]:
        """hmean, acc in 0..1."""
        right = np.diag(self.table)
        f1 = 2 * right / np.maximum(self.table.sum(0) + self.table.sum(1), 1)
        return {
            "hmean": float(np.delete(f1, self.unscored).mean()),
            "acc": float(right.sum() / max(self.table.sum(), 1)),
        }


def _missing(package: str) -> DeviceError:
    return DeviceError(f'scores need {package}; install it with `pip install "ptocr[eval]"`')


Metric = DetMetric | RecMetric | ClsMetric | StructureMetric | FieldMetric | ZoomMetric
