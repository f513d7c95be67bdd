"""What PaddleOCR 2.10's classes and our predictors make of the same pictures with the same weights, counted."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ptocr.checkpoint import Checkpoint
from ptocr.convert.convert import convert
from ptocr.errors import PtocrError
from ptocr.predictors import PREDICTORS
from ptocr.predictors.classification import Classifier
from ptocr.predictors.detection import TextDetector
from ptocr.predictors.enlarging import TextZoom
from ptocr.predictors.form_reading import FormReader, Lines
from ptocr.predictors.recognition import Decoding, TextRecognizer
from ptocr.predictors.spotting import TextSpotter
from ptocr.predictors.table_structure import TableRecognizer
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.runtime import Runtime
from ptocr.spec.model import load_spec

from .golden_outputs import MODELS
from .last_layer import rescaled
from .networks import _state
from .official import read_as_official
from .paddle_classes import ROWS, Paddle, Upstream, upstream_run

WRAPPED = ["<html>", "<body>", "<table>"], ["</table>", "</body>", "</html>"]  # what upstream puts around the tokens
POLYGON, SCORE = 1.0, 1e-3  # pixels that corners, and what scores, may differ by


@dataclass
class Tally:
    """Counts of one model. theirs, ours, polygons: found by either, and equal; far: the largest distance of corners of
    equal ones; lines, texts: read, and read alike; gap: the largest difference of scores (of levels of a picture)."""

    theirs: int = 0
    ours: int = 0
    polygons: int = 0
    far: float = 0.0
    lines: int = 0
    texts: int = 0
    gap: float = 0.0
    scored: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether something was compared, and nothing differs."""
        equal = self.theirs == self.ours == self.polygons and self.lines == self.texts
        return equal and self.theirs + self.lines > 0 and self.gap <= SCORE

    def polygon(self, theirs: Sequence[np.ndarray], ours: Sequence[np.ndarray], where: str) -> list[tuple[int, int]]:
        """Count polygons, in any order; which of theirs is which of ours."""
        self.theirs, self.ours = self.theirs + len(theirs), self.ours + len(ours)
        left, pairs = {number: np.asarray(poly, float) for number, poly in enumerate(ours)}, []
        for number, poly in enumerate(theirs):
            distances = {other: _distance(np.asarray(poly, float), left[other]) for other in left}
            best = min(distances, key=distances.__getitem__, default=-1)
            if best >= 0 and distances[best] <= POLYGON:
                self.far, self.polygons = max(self.far, distances[best]), self.polygons + 1
                pairs.append((number, best))
                del left[best]
            else:
                self.notes.append(f"{where}: no polygon near {np.asarray(poly).round(1).tolist()}")
        return pairs

    def text(self, theirs: str, ours: str, where: str) -> None:
        """Count a text."""
        self.lines, self.texts = self.lines + 1, self.texts + (theirs == ours)
        if theirs != ours:
            self.notes.append(f"{where}: {theirs!r}, ours {ours!r}")

    def score(self, theirs: float, ours: float, where: str) -> None:
        """Count a score."""
        self.scored, self.gap = self.scored + 1, max(self.gap, abs(theirs - ours))
        if abs(theirs - ours) > SCORE:
            self.notes.append(f"{where}: score {theirs:.6f}, ours {ours:.6f}")


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference in x or y of corners."""
    return float(np.abs(a - b).max()) if a.shape == b.shape else math.inf


def _det(predictor: Any, row: Upstream, found: list[Any], images: list[np.ndarray], tally: Tally) -> None:
    post = predictor.post.with_(**row.settings)
    for number, (theirs, image) in enumerate(zip(found, images, strict=True)):
        ours = predictor(image, None, post)
        scores = theirs.get("scores") if isinstance(theirs, dict) else None
        polys = theirs["points"] if isinstance(theirs, dict) else theirs
        pairs = tally.polygon(
            [_trimmed(poly) for poly in polys], [_trimmed(poly) for poly in ours.polys], row.pages[number]
        )
        if scores is not None:
            for one, other in pairs:
                tally.score(float(scores[one]), ours.scores[other], row.pages[number])


def _trimmed(poly: np.ndarray) -> np.ndarray:
    """A polygon without the repetitions of its last corner that upstream pads it with."""
    poly = np.asarray(poly).reshape(-1, 2)
    keep = len(poly)
    while keep > 1 and (poly[keep - 1] == poly[keep - 2]).all():
        keep -= 1
    return poly[:keep]


def _rec(predictor: Any, row: Upstream, found: list[Any], images: list[np.ndarray], tally: Tally) -> None:
    lines = predictor(images, Decoding(padding="paddle", batch_size=row.options.get("rec_batch_num", 1)))
    for number, (theirs, ours) in enumerate(zip(found, lines, strict=True)):
        text, score = theirs[0][:2] if isinstance(theirs[0], tuple | list) else theirs[:2]
        if row.most and len(ours.char_scores) == row.most:
            continue
        read = "".join(re.findall("[a-z0-9^]", ours.text.lower())) if row.plain else ours.text
        tally.text(text, read, f"line {number}")
        if ours.text and isinstance(score, float) and not math.isnan(score):
            tally.score(score, ours.score, f"line {number}")


def _e2e(predictor: Any, row: Upstream, found: list[Any], images: list[np.ndarray], tally: Tally) -> None:
    for number, (theirs, image) in enumerate(zip(found, images, strict=True)):
        ours = predictor(image, None, predictor.post.with_(**row.settings))
        pairs = tally.polygon([poly for poly, _ in theirs], [line.poly for line in ours], row.pages[number])
        for one, other in pairs:
            tally.text(theirs[one][1], ours[other].text.text, row.pages[number])


def _cls(predictor: Any, row: Upstream, found: list[Any], images: list[np.ndarray], tally: Tally) -> None:
    for number, (theirs, ours) in enumerate(zip(found, predictor(images), strict=True)):
        tally.text(theirs[0], ours.label, f"line {number}")
        tally.score(float(theirs[1]), ours.score, f"line {number}")


def _sr(predictor: Any, row: Upstream, found: list[Any], images: list[np.ndarray], tally: Tally) -> None:
    for number, (theirs, ours) in enumerate(zip(found, predictor(images), strict=True)):
        levels = (np.clip(theirs, 0, 1) * 255).transpose(1, 2, 0)[:, :, ::-1]
        away = np.abs(levels - ours - 0.5).max() - 0.5  # both cut off what is behind the point
        tally.text("", "" if away <= 1e-2 else "another picture", f"line {number}")
        tally.score(0.0, max(float(away), 0.0) / 255, f"line {number}")


def _table(predictor: Any, row: Upstream, found: list[Any], images: list[np.ndarray], tally: Tally) -> None:
    predictor.post = predictor.post.with_(**row.settings)
    for number, ((tokens, boxes), image) in enumerate(zip(found, images, strict=True)):
        ours = predictor(image)
        tally.text("".join(tokens), "".join(WRAPPED[0] + list(ours.tokens) + WRAPPED[1]), row.pages[number])
        tally.polygon([_corners(box) for box in boxes], list(ours.cells), row.pages[number])


def _kie(predictor: Any, row: Upstream, found: list[Any], images: list[np.ndarray], tally: Tally) -> None:
    for number, (theirs, image) in enumerate(zip(found, images, strict=True)):
        nodes, _ = predictor(image, _lines(row, number))
        for (label, score), line in zip(theirs, nodes, strict=True):
            tally.text(label, predictor.post.labels[line.argmax()], row.pages[number])
            tally.score(score, float(line.max()), row.pages[number])


def _lines(row: Upstream, number: int) -> Lines:
    """Regions and texts of the lines of a page."""
    lines = row.options["lines"][number]
    return [np.asarray(line["points"], float) for line in lines], [line["transcription"] for line in lines]


def _corners(box: np.ndarray) -> np.ndarray:
    """The corners (4, 2) of a cell, of which two or all four are given."""
    if len(box) == 8:
        return np.reshape(box, (4, 2))
    left, top, right, bottom = box
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


Count = Callable[[Any, Upstream, list[Any], list[np.ndarray], Tally], None]
COUNTS: dict[type, Count] = {
    Classifier: _cls,
    FormReader: _kie,
    TableRecognizer: _table,
    TextDetector: _det,
    TextRecognizer: _rec,
    TextSpotter: _e2e,
    TextZoom: _sr,
}
OF_LINES = (Classifier, TextRecognizer, TextZoom)


def filled_form(row: Upstream, model: str, corpus: Path) -> Upstream:
    """The row of a form's model with what is written on its pages, by truth.json, and the model's lists."""
    truth, spec = json.loads((corpus / "truth.json").read_text("utf-8")), load_spec(model)
    lines = [
        [
            {"transcription": line["text"], "points": _corners(line["box"]).tolist(), "key_cls": 0}
            for line in truth[f"pages/{page}"]["lines"]
        ]
        for page in row.pages
    ]
    lists = {"characters": list(spec.preprocess.characters), "labels": list(spec.postprocess.labels)}
    return replace(row, options={**row.options, **lists, "lines": lines})


def checkpoint_of(manifest: Mapping[str, Any], row: Upstream, picture: Path) -> Checkpoint:
    """The synthetic weights of a model, converted, with the last layer rescaled on a picture."""
    golden = manifest["model_name"]
    name = MODELS.get(golden, golden)
    with tempfile.TemporaryDirectory(prefix="ptocr-parity-") as folder:
        path = Path(folder) / f"{name}.pdparams"
        path.write_bytes(pickle.dumps(_state(dict(manifest)), protocol=4))
        checkpoint = convert(path, model=name)
    return rescaled(checkpoint, row.spreads, first_inputs(checkpoint, row, read_as_official(picture)))


def reader_of(checkpoint: Checkpoint, row: Upstream, options: RuntimeOptions) -> Any:
    """Our predictor, with the size of pictures that the row asks for."""
    predictor: Any = PREDICTORS[checkpoint.spec.task](Runtime(checkpoint, options))
    if row.before:
        predictor.pre = predictor.pre.with_(**row.before)
    return predictor


class Seen(Exception):
    """What a network is given; nothing is to be made of it."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self.arrays = [array[:1] for array in arrays]


def first_inputs(checkpoint: Checkpoint, row: Upstream, image: np.ndarray) -> list[np.ndarray]:
    """What a model's network is given of a picture."""
    predictor = reader_of(checkpoint, row, RuntimeOptions(device="cpu", engine="torch"))

    def stop(*arrays: np.ndarray) -> list[np.ndarray]:
        raise Seen(arrays)

    predictor.runtime.session.run = predictor.runtime.run = stop
    try:
        if isinstance(predictor, FormReader):
            predictor(image, _lines(row, 0))
        else:
            predictor([image]) if isinstance(predictor, OF_LINES) else predictor(image)
    except Seen as seen:
        return seen.arrays
    raise PtocrError(f"{checkpoint.spec.name}: no network ran")


def run_once(run: Callable[..., list[np.ndarray]]) -> Callable[..., list[np.ndarray]]:
    """A session's run that gives the same outputs again for the same inputs: upstream's are mostly those of ours."""
    known: dict[bytes, list[np.ndarray]] = {}

    def remember(*arrays: np.ndarray) -> list[np.ndarray]:
        key = hashlib.sha256(b"".join(str(array.shape).encode() + array.tobytes() for array in arrays)).digest()
        if key not in known:
            known[key] = list(run(*arrays))
        return [output.copy() for output in known[key]]

    return remember


def compare(manifest: Mapping[str, Any], corpus: Path, paddle: Paddle, pages: int, lines: int) -> Tally:
    """Read pages or lines, as the model's task is, both ways."""
    name = manifest["model_name"]
    row, model, corpus = ROWS[name], MODELS.get(name, name), corpus.resolve()
    kind = PREDICTORS[load_spec(model).task]
    row = replace(row, pages=row.pages[:pages])
    if kind is FormReader:
        row = filled_form(row, model, corpus)
    of_lines = issubclass(kind, OF_LINES)
    folder = sorted((corpus / "lines").iterdir())[::3][:lines] if of_lines else []
    files = folder or [corpus / "pages" / page for page in row.pages]
    checkpoint = checkpoint_of(manifest, row, files[0])
    predictor = reader_of(checkpoint, row, RuntimeOptions(device="cpu"))
    predictor.runtime.run = predictor.runtime.session.run = run_once(predictor.runtime.run)
    found = paddle.read(row, files, upstream_run(name, predictor.runtime))
    tally = Tally()
    COUNTS[kind](predictor, row, found, [read_as_official(file) for file in files], tally)
    return tally


def table(tallies: Mapping[str, Tally]) -> str:
    """Markdown."""
    head = ["model", "polygons (theirs, ours, equal)", "worst corner", "texts equal", "worst score", ""]
    rows = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, t in tallies.items():
        polygons = f"{t.theirs}, {t.ours}, {t.polygons}" if t.theirs + t.ours else "-"
        cells = [name, polygons, f"{t.far:.2f} px" if t.polygons else "-", f"{t.texts}/{t.lines}" if t.lines else "-"]
        cells += [f"{t.gap:.1e}" if t.scored else "-", "ok" if t.same else "DIFFERS"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)
