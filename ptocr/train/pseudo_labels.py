"""Pseudo-labels: what a pipeline read, as a folder that trains and that PPOCRLabel opens for correction."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from ptocr.document.results import OCRResult
from ptocr.errors import TrainError
from ptocr.files import write_atomic

LABELS, CONFIRMED, SURE, LINES, REVIEW = "Label.txt", "fileState.txt", "sure.txt", "rec_gt.txt", "review.txt"


class LabelFolder:
    """A folder of pictures with what was read on them; a line is sure from `min_score` on.

    Label.txt: all pages, as PPOCRLabel has them; fileState.txt: those on which every line is sure, which PPOCRLabel
    shows as confirmed; sure.txt: their labels, for det training; rec_gt.txt, crop_img/: the sure lines of all pages,
    for rec training; review.txt: the doubtful lines, `picture<TAB>score<TAB>text`, the least sure first.
    """

    def __init__(self, path: Path, min_score: float) -> None:
        """Raises TrainError where the folder holds labels already."""
        there = [name for name in (LABELS, CONFIRMED, SURE, LINES, REVIEW) if (path / name).exists()]
        if there:
            raise TrainError(f"{path}: holds {', '.join(there)} already; choose another --output")
        self.path, self.min_score = path.absolute(), min_score
        self.pages = self.sure_pages = self.lines = 0
        self._doubtful: list[tuple[float, str, str]] = []
        self._names: dict[str, int] = {}
        (self.path / "crop_img").mkdir(parents=True, exist_ok=True)

    def add(self, result: OCRResult) -> None:
        """A page with everything that was read on it. result: of `predict(keep_line_images=True)`."""
        assert result.image is not None
        name = self._free_name(result.file_name().stem)
        rows = list(zip(result["rec_texts"], result["rec_scores"], result["rec_polys"], strict=True))
        _write_picture(self.path / f"{name}.png", result.image)
        entries = [{"transcription": t, "points": _points(poly), "difficult": False} for t, _, poly in rows]
        label = f"{self.path.name}/{name}.png\t{json.dumps(entries, ensure_ascii=False)}\n"
        self._append(LABELS, label)
        doubtful = [(float(score), f"{name}.png", text) for text, score, _ in rows if score < self.min_score]
        self._doubtful += doubtful
        if rows and not doubtful:
            self._append(CONFIRMED, f"{self.path / name}.png\t1\n")
            self._append(SURE, label)
            self.sure_pages += 1
        for number, ((text, score, _), crop) in enumerate(zip(rows, result.line_images or [], strict=True)):
            if score >= self.min_score and text.strip():
                file = f"crop_img/{name}_crop_{number}.png"
                _write_picture(self.path / file, crop)
                self._append(LINES, f"{file}\t{text}\n")
                self.lines += 1
        self.pages += 1

    def finish(self) -> str:
        """Write the list of doubtful lines; returns what was done, in words."""
        rows = [f"{name}\t{score:.4f}\t{text}\n" for score, name, text in sorted(self._doubtful)]
        self._append(REVIEW, "".join(rows))
        return (
            f"{self.pages} pages, {self.sure_pages} of them sure; {self.lines} sure lines in {LINES}; "
            f"{len(rows)} doubtful lines in {REVIEW}"
        )

    def _free_name(self, stem: str) -> str:
        """A name that no page has yet."""
        number = self._names[stem] = self._names.get(stem, 0) + 1
        name = stem if number == 1 else f"{stem}_{number}"
        return name if not (self.path / f"{name}.png").exists() else self._free_name(stem)

    def _append(self, name: str, text: str) -> None:
        with (self.path / name).open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(text)


def _points(poly: np.ndarray) -> list[list[int]]:
    return np.rint(np.asarray(poly, np.float64)).astype(int).tolist()


def _write_picture(path: Path, image: np.ndarray) -> None:
    write_atomic(path, cv2.imencode(".png", image)[1].tobytes())
