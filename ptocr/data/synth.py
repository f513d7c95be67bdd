"""Labelled pictures from fonts: text lines, pages, and line directions, for tests, demonstrations and pre-training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ptocr.document.fonts import system_fonts
from ptocr.errors import InputError
from ptocr.files import write_atomic


@dataclass(frozen=True)
class Style:
    """How text is drawn. fonts: files; size: range of font sizes in pixels; clean: black on white, nothing else."""

    fonts: tuple[Path, ...]
    size: tuple[int, int] = (20, 44)
    clean: bool = False


def find_fonts(names: Sequence[str] = ()) -> tuple[Path, ...]:
    """Font files of this machine whose name contains one of `names` (all when empty), sorted.

    Raises:
        InputError: none.
    """
    chosen = tuple(p for p in system_fonts() if not names or any(n.lower() in p.name.lower() for n in names))
    if not chosen:
        wanted = f" called {' or '.join(names)}" if names else ""
        raise InputError(f"no fonts{wanted} on this machine; name font files")
    return chosen


def random_text(
    alphabet: Sequence[str], length: tuple[int, int], rng: np.random.Generator, spaces: float = 0.12
) -> str:
    """Characters drawn at random, never beginning, ending or doubling a space. length: least and most characters."""
    count = int(rng.integers(length[0], length[1] + 1))
    out: list[str] = []
    for place in range(count):
        inside = 0 < place < count - 1 and out[-1] != " "
        out.append(" " if inside and rng.random() < spaces else str(alphabet[int(rng.integers(len(alphabet)))]))
    return "".join(out)


def draw_line(text: str, style: Style, rng: np.random.Generator) -> np.ndarray:
    """A line of text in a random font, size and colours: BGR uint8 (H, W, 3)."""
    path = style.fonts[int(rng.integers(len(style.fonts)))]
    font = ImageFont.truetype(str(path), int(rng.integers(style.size[0], style.size[1] + 1)))
    left, top, right, bottom = font.getbbox(text)
    pad = int(rng.integers(2, 8))
    size = max(1, int(right - left)) + 2 * pad, max(1, int(bottom - top)) + 2 * pad
    paper, ink = _colors(style.clean, rng)
    picture = Image.new("RGB", size, paper)
    ImageDraw.Draw(picture).text((pad - left, pad - top), text, font=font, fill=ink)
    image = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR)
    return image if style.clean else _worn(image, rng)


def _colors(clean: bool, rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if clean:
        return (255, 255, 255), (0, 0, 0)
    paper, ink = rng.integers(170, 256, 3), rng.integers(0, 100, 3)
    pair = tuple(int(v) for v in paper), tuple(int(v) for v in ink)
    return pair if rng.random() < 0.85 else pair[::-1]


def _worn(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur and noise of a camera."""
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (3, 3), float(rng.uniform(0.3, 1.0)))
    grain = rng.normal(0, rng.uniform(0, 8), image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def draw_page(
    texts: Sequence[str], style: Style, size: tuple[int, int], rng: np.random.Generator, tilt: float = 6.0
) -> tuple[np.ndarray, list[dict[str, object]]]:
    """A page of (width, height) with texts at free places: BGR picture and PaddleOCR's label entries.

    tilt: most degrees that a text is turned; a text that finds no place is left out.
    """
    shade = int(rng.integers(200, 256))
    page = np.full((size[1], size[0], 3), shade, np.uint8)
    taken: list[np.ndarray] = []
    entries: list[dict[str, object]] = []
    for text in texts:
        line = draw_line(text, style, rng)
        height, width = line.shape[:2]
        matrix = cv2.getRotationMatrix2D((0, 0), float(rng.uniform(-tilt, tilt)), 1.0)
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ matrix[:, :2].T
        low, reach = corners.min(0), np.ceil(np.ptp(corners, axis=0)).astype(int) + 1
        if (reach >= size).any():
            continue
        for _ in range(40):
            at = np.array([rng.integers(size[0] - reach[0]), rng.integers(size[1] - reach[1])])
            box = np.concatenate([at - 4, at + reach + 4])
            if not any((box[:2] < b[2:]).all() and (b[:2] < box[2:]).all() for b in taken):
                taken.append(box)
                matrix[:, 2] = at - low
                cv2.warpAffine(line, matrix, size, dst=page, borderMode=cv2.BORDER_TRANSPARENT)
                points = np.round(corners + at - low).astype(int).tolist()
                entries.append({"transcription": text, "points": points})
                break
    return page, entries


def write_lines(folder: Path, texts: Sequence[str], style: Style, seed: int = 0) -> Path:
    """One picture per text and `rec_gt.txt`; returns the label file."""
    rng = np.random.default_rng(seed)
    rows = []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        name = f"images/{number:06d}.png"
        _save(folder / name, draw_line(text, style, rng))
        rows.append(f"{name}\t{text}\n")
    return _written(folder / "rec_gt.txt", rows)


def write_pages(
    folder: Path, texts: Sequence[Sequence[str]], style: Style, size: tuple[int, int] = (640, 480), seed: int = 0
) -> Path:
    """One page per list of texts and `Label.txt`; returns the label file."""
    rng = np.random.default_rng(seed)
    rows = []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, page_texts in enumerate(texts):
        name = f"images/{number:06d}.png"
        page, entries = draw_page(page_texts, style, size, rng)
        _save(folder / name, page)
        rows.append(f"{name}\t{json.dumps(entries, ensure_ascii=False)}\n")
    return _written(folder / "Label.txt", rows)


def write_directions(folder: Path, texts: Sequence[str], style: Style, labels: Sequence[str], seed: int = 0) -> Path:
    """Lines turned by the angle that each label begins with, evenly, and `cls_gt.txt`; returns the label file."""
    rng = np.random.default_rng(seed)
    rows = []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        label = labels[number % len(labels)]
        name = f"images/{number:06d}.png"
        image = draw_line(text, style, rng)
        _save(folder / name, np.rot90(image, int(label.split("_")[0]) // 90))
        rows.append(f"{name}\t{label}\n")
    return _written(folder / "cls_gt.txt", rows)


def _save(path: Path, image: np.ndarray) -> None:
    write_atomic(path, cv2.imencode(path.suffix, image)[1].tobytes())  # imwrite says nothing of a full disk


def _written(path: Path, rows: Sequence[str]) -> Path:
    write_atomic(path, "".join(rows).encode("utf-8"))
    return path
