"""Comparison with the official PaddleOCR 2.x, box by box, from a file of what it read and with which settings.

The file: `{"settings": {...}, "pages": {name: {variant: [line, ...]}}, "lines": {name: line}}`, where a line is
`{"poly", "text", "score"}` (no poly for cropped lines) and a variant is a key of `VARIANTS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ptocr.errors import InputError
from ptocr.evaluation.corpus import Lines
from ptocr.evaluation.reading import read_line, result_lines, upright
from ptocr.pipelines import OCRPipeline

CORNER_TOLERANCE = 2.0  # pixels, in x and in y, for each corner
SCORE_TOLERANCE = 1e-3
# How cropped lines were read is not in the file: both ways are compared, and reported side by side.
LINES_OFF, LINES_ON = LINES = ("cropped lines, classifier off", "cropped lines, classifier on")
VARIANTS = {"with_angle": True, "without_angle": False}  # name in the file -> with the 0/180 classifier

MODELS = {
    "text_detection_model_name": "PP-OCRv4_mobile_det",
    "text_recognition_model_name": "PP-OCRv4_mobile_rec",
    "textline_orientation_model_name": "ch_ppocr_mobile_v2.0_cls",
}
# Upstream's batches, and the classifier's word alone for which way up a line is.
AS_OFFICIAL: dict[str, Any] = {"rec_padding": "paddle", "textline_orientation": "paddle"}
# PaddleOCR 2.x argument -> option of our pipeline
_OPTIONS = {
    "det_limit_side_len": "text_det_limit_side_len",
    "det_limit_type": "text_det_limit_type",
    "det_db_thresh": "text_det_thresh",
    "det_db_box_thresh": "text_det_box_thresh",
    "det_db_unclip_ratio": "text_det_unclip_ratio",
    "rec_batch_num": "text_recognition_batch_size",
    "drop_score": "text_rec_score_thresh",
}


@dataclass(frozen=True)
class Difference:
    """One thing in which we differ. kind: missing | extra | text | score | text+score."""

    page: str
    kind: str
    box: tuple[int, ...]  # x_min, y_min, x_max, y_max; empty for a cropped line
    official: str = ""
    ours: str = ""
    note: str = ""


@dataclass(frozen=True)
class Tally:
    """Counts of one page or, added up, of many."""

    official: int = 0
    ours: int = 0
    matched: int = 0
    texts: int = 0
    scores: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def compare_folder(
    pipeline: OCRPipeline, folder: Path, reference: Mapping[str, Any], variant: str, only: str = ""
) -> Iterator[tuple[str, Tally, list[Difference]]]:
    """Read `folder/pages` and `folder/lines` as the official system did; yields picture by picture, then `LINES`.

    reference: the file's content. variant: a key of `VARIANTS`. only: no picture without this in its name.
    """
    for name, page in reference["pages"].items():
        if only in name:
            image = read_as_official(folder / "pages" / name)
            result = next(pipeline.predict(image, **AS_OFFICIAL, use_textline_orientation=VARIANTS[variant]))
            yield name, *compare_page(name, page[variant], result_lines(result))
    lines = {name: line for name, line in reference["lines"].items() if only in name}
    images = {name: read_as_official(folder / "lines" / name) for name in lines}
    read = {name: _read(pipeline, image) for name, image in images.items()}
    yield LINES_OFF, *compare_lines(lines, read)
    for name, image in images.items():
        if (turned := upright(pipeline.models, image)) is not image:
            read[name] = _read(pipeline, turned)
    yield LINES_ON, *compare_lines(lines, read)


def _read(pipeline: OCRPipeline, image: np.ndarray) -> dict[str, Any]:
    text, score = read_line(pipeline.models, image, "paddle")
    return {"text": text, "score": score}


def pipeline_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `create_pipeline` that reproduce these PaddleOCR 2.x settings, with 2.10's default models."""
    return MODELS | {ours: settings[theirs] for theirs, ours in _OPTIONS.items() if theirs in settings}


def read_as_official(path: Path) -> np.ndarray:
    """The pixels that PaddleOCR 2.x sees, (h, w, 3) uint8 BGR: alpha dropped, 16 bits cut to 8, first frame only."""
    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise InputError(f"{path}: OpenCV cannot decode it")
    return image


def compare_page(name: str, official: Lines, ours: Lines) -> tuple[Tally, list[Difference]]:
    """Match boxes one to one, nearest first, and compare the texts and scores of those that match.

    official: lines with "poly"; ours: lines with "box"; both (4, 2) corners clockwise from the top left, in pixels.
    """
    theirs = [np.asarray(line["poly"], float) for line in official]
    mine = [np.asarray(line["box"], float) for line in ours]
    pairs = match(theirs, mine)
    differences = [
        Difference(name, "missing", _bounds(theirs[i]), official[i]["text"], note=_nearest(theirs[i], mine))
        for i in range(len(official))
        if i not in pairs
    ]
    found = set(pairs.values())
    differences += [
        Difference(name, "extra", _bounds(mine[j]), ours=ours[j]["text"], note=_nearest(mine[j], theirs))
        for j in range(len(ours))
        if j not in found
    ]
    texts = scores = 0
    for i, j in pairs.items():
        same_text, same_score, difference = _compare_line(name, _bounds(theirs[i]), official[i], ours[j])
        texts, scores = texts + same_text, scores + same_score
        differences += difference
    return Tally(len(official), len(ours), len(pairs), texts, scores), differences


def compare_lines(official: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[Tally, list[Difference]]:
    """The same for cropped lines by name: `{name: {"text", "score"}}` on both sides."""
    total, differences = Tally(), []
    for name, line in official.items():
        if name not in ours:
            differences.append(Difference(name, "missing", (), line["text"], note="not read"))
            total += Tally(official=1)
            continue
        same_text, same_score, difference = _compare_line(name, (), line, ours[name])
        differences += difference
        total += Tally(1, 1, 1, int(same_text), int(same_score))
    return total, differences


def match(theirs: Sequence[np.ndarray], mine: Sequence[np.ndarray]) -> dict[int, int]:
    """Pairs of quads (4, 2) whose corners all lie within `CORNER_TOLERANCE`: index in `theirs` -> index in `mine`."""
    close = ((corner_distance(a, b), i, j) for i, a in enumerate(theirs) for j, b in enumerate(mine))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(row for row in close if row[0] <= CORNER_TOLERANCE):
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return pairs


def corner_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference in x or y between corners of two quads; infinite for different numbers of corners."""
    return float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")


def table(rows: Mapping[str, Tally]) -> str:
    """A markdown table of the tallies by name."""
    head = ["page", "boxes (official)", "boxes (ours)", "matched", "texts identical", "scores within 0.001"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, t in rows.items():
        cells = [name, str(t.official), str(t.ours), _share(t.matched, t.official)]
        cells += [_share(t.texts, t.matched), _share(t.scores, t.matched)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def difference_table(differences: Iterable[Difference]) -> str:
    """A markdown table of all differences."""
    head = ["page", "difference", "box", "official", "ours", "note"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for d in differences:
        cells = [d.page, d.kind, " ".join(map(str, d.box)), _code(d.official), _code(d.ours), d.note]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _compare_line(
    name: str, box: tuple[int, ...], official: Mapping[str, Any], ours: Mapping[str, Any]
) -> tuple[bool, bool, list[Difference]]:
    gap = abs(float(official["score"]) - float(ours["score"]))
    same_text, same_score = official["text"] == ours["text"], gap <= SCORE_TOLERANCE
    kind = "+".join(what for what, same in (("text", same_text), ("score", same_score)) if not same)
    note = f"score {official['score']:.4f} / {ours['score']:.4f}"
    return same_text, same_score, [Difference(name, kind, box, official["text"], ours["text"], note)] if kind else []


def _bounds(quad: np.ndarray) -> tuple[int, ...]:
    return tuple(round(float(v)) for v in (*quad.min(0), *quad.max(0)))


def _nearest(quad: np.ndarray, others: Sequence[np.ndarray]) -> str:
    distance = min((corner_distance(quad, other) for other in others), default=float("inf"))
    return f"nearest box {distance:.0f} px off" if distance < 100 else "no box near"


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / whole:.2f} %)" if whole else "-"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""
