"""What `RapidOCR(...)` returns: RapidOCR 3.x's result classes with their fields and methods."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np

from ptocr.document import draw
from ptocr.files import write_atomic

Word = tuple[str, float, list[list[int]]]  # text, score, four corners
NO_WORDS: tuple[Any, ...] = (("", 1.0, None),)  # RapidOCR's word_results where nothing was read
_SAME_LINE = 0.5  # of the lower box's height, which boxes on one line share
_NEW_PARAGRAPH = 0.8  # of the higher line's height, between lines
_MOST_SPACES = 12  # between two boxes of a line


def _saved(picture: np.ndarray, path: str | Path | None) -> np.ndarray:
    """The picture (H, W, 3) BGR, written to `path` if one is given."""
    if path is not None:
        suffix = Path(path).suffix or ".png"
        write_atomic(Path(path), cv2.imencode(suffix, picture)[1].tobytes())
    return picture


def _bgr(picture: Any) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])


@dataclass
class RapidOCROutput:
    """Boxes with their texts. boxes: (n, 4, 2) float32; None fields: nothing was found."""

    img: np.ndarray | None = None
    boxes: np.ndarray | None = None
    txts: tuple[str, ...] | None = None
    scores: tuple[float, ...] | None = None
    word_results: tuple[Any, ...] = NO_WORDS
    elapse_list: list[float | None] = field(default_factory=list)
    elapse: float = field(init=False)

    def __post_init__(self) -> None:
        self.elapse = sum(v for v in self.elapse_list if v is not None)

    def __len__(self) -> int:
        return 0 if self.txts is None else len(self.txts)

    def __iter__(self) -> NoReturn:
        raise TypeError(
            "a result of RapidOCR 3.x is no pair; for `result, elapse = engine(img)` of rapidocr_onnxruntime: "
            "from ptocr.compat.rapidocr_onnxruntime import RapidOCR"
        )

    def to_json(self) -> list[dict[str, Any]] | None:
        """`[{"box": corners, "txt": text, "score": score}, ...]`, None where nothing was found."""
        if self.boxes is None or self.txts is None or self.scores is None:
            return None
        rows = zip(self.boxes, self.txts, self.scores, strict=True)
        return [{"box": box.tolist(), "txt": text, "score": score} for box, text, score in rows]

    def to_markdown(self) -> str:
        """The texts in the places they have on the page: lines of text, empty lines between paragraphs."""
        if self.boxes is None or self.txts is None:
            return ""
        return _placed(self.boxes, self.txts)

    def vis(self, save_path: str | Path | None = None) -> np.ndarray | None:
        """The page beside its texts (H, 2 W, 3) BGR, also as a file; None where nothing was found."""
        if self.img is None or self.boxes is None or self.txts is None:
            return None
        words = [word for line in self.word_results if line for word in line]
        regions = [np.asarray(corners) for _, _, corners in words] if words else list(self.boxes)
        texts = [text for text, _, _ in words] if words else list(self.txts)
        return _saved(_bgr(draw.draw_ocr(self.img, regions, texts)), save_path)


@dataclass
class TextDetOutput:
    """Boxes alone. boxes: (n, 4, 2) float32."""

    img: np.ndarray | None = None
    boxes: np.ndarray | None = None
    scores: list[float] | None = None
    elapse: float = 0.0

    def __len__(self) -> int:
        return 0 if self.boxes is None else len(self.boxes)

    def vis(self, save_path: str | Path | None = None) -> np.ndarray | None:
        """The page with its boxes, BGR, also as a file."""
        if self.img is None or self.boxes is None:
            return None
        return _saved(_bgr(draw.draw_boxes(self.img, list(self.boxes))), save_path)


@dataclass
class TextRecOutput:
    """Texts of line pictures alone."""

    imgs: list[np.ndarray] | None = None
    txts: tuple[str, ...] | None = None
    scores: tuple[float, ...] = ()
    word_results: tuple[Any, ...] = NO_WORDS
    elapse: float | None = None

    def __len__(self) -> int:
        return 0 if self.txts is None else len(self.txts)

    def vis(self, save_path: str | Path | None = None) -> np.ndarray | None:
        """The lines with their texts below, one under the other, BGR, also as a file."""
        if self.imgs is None or self.txts is None:
            return None
        return _saved(_captioned(self.imgs, [f"{t} ({s:.4f})" for t, s in zip(self.txts, self.scores, strict=True)]),
                      save_path)  # fmt: skip


@dataclass
class TextClsOutput:
    """Directions of line pictures alone. img_list: the pictures upright; cls_res: ("0" or "180", score) of each."""

    img_list: list[np.ndarray] | None = None
    cls_res: list[tuple[str, float]] | None = None
    elapse: float | None = None

    def __len__(self) -> int:
        return 0 if self.img_list is None else len(self.img_list)

    def vis(self, save_path: str | Path | None = None) -> np.ndarray | None:
        """The lines with their directions below, BGR, also as a file."""
        if self.img_list is None or self.cls_res is None:
            return None
        return _saved(_captioned(self.img_list, [f"{label} {score:.2f}" for label, score in self.cls_res]), save_path)


def _captioned(images: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    pictures = [_bgr(draw.draw_caption(i, text)) for i, text in zip(images, captions, strict=True)]
    width = max(picture.shape[1] for picture in pictures)
    wide = [cv2.copyMakeBorder(p, 0, 0, 0, width - p.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255))
            for p in pictures]  # fmt: skip
    return np.concatenate(wide)


def _placed(boxes: np.ndarray, texts: Sequence[str]) -> str:
    """Texts as lines: boxes whose heights overlap stand on one line, as many spaces apart as there is room between."""
    spans = [(box[:, 0].min(), box[:, 1].min(), box[:, 0].max(), box[:, 1].max()) for box in boxes]
    rows: list[list[int]] = []
    for i in sorted(range(len(spans)), key=lambda i: spans[i][1] + spans[i][3]):
        top, bottom = spans[i][1], spans[i][3]
        for row in rows:
            low, high = max(top, spans[row[0]][1]), min(bottom, spans[row[0]][3])
            if high - low > _SAME_LINE * min(bottom - top, spans[row[0]][3] - spans[row[0]][1]):
                row.append(i)
                break
        else:
            rows.append([i])
    lines: list[str] = []
    for n, row in enumerate(rows):
        row.sort(key=lambda i: spans[i][0])
        if n:
            above = rows[n - 1]
            gap = min(spans[i][1] for i in row) - max(spans[i][3] for i in above)
            if gap > _NEW_PARAGRAPH * max(spans[i][3] - spans[i][1] for i in (*row, *above)):
                lines.append("")
        line = texts[row[0]]
        for left, right in itertools.pairwise(row):
            character = (spans[right][3] - spans[right][1]) / 2
            room = (spans[right][0] - spans[left][2]) / max(character, 1.0)
            line += " " * int(np.clip(round(room), 1, _MOST_SPACES)) + texts[right]
        lines.append(line)
    return "\n".join(lines)
