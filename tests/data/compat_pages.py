"""The pictures that other projects' readers and ours are compared on: docs/images and a few made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
PAGES = ("latin_page.png", "chinese_lines.png", "receipt.jpg", "rotated_line.png", "upside_down_line.png")
LINE = (30, 0, 860, 90)  # of latin_page.png: its heading


def bgr(name: str) -> np.ndarray:
    """A page of docs/images as (H, W, 3) uint8 BGR."""
    return np.ascontiguousarray(np.asarray(Image.open(IMAGES / name).convert("RGB"))[:, :, ::-1])


def heading() -> np.ndarray:
    """A strip with one line of text, BGR."""
    left, top, right, bottom = LINE
    return np.ascontiguousarray(bgr("latin_page.png")[top:bottom, left:right])


def blank() -> np.ndarray:
    """A page without text, BGR."""
    return np.full((240, 320, 3), 255, np.uint8)


def see_through() -> np.ndarray:
    """Black letters on nothing, (H, W, 4) uint8 BGRA: the letters alone are opaque."""
    ink = 255 - bgr("latin_page.png")[:150].min(axis=2)
    return np.dstack([np.zeros((*ink.shape, 3), np.uint8), ink])


def large() -> np.ndarray:
    """A page of more than 2000 pixels a side, BGR."""
    page = Image.open(IMAGES / "receipt.jpg").convert("RGB")
    factor = 2300 / max(page.size)
    enlarged = page.resize((round(page.width * factor), round(page.height * factor)), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(enlarged)[:, :, ::-1])


def write_document(path: Path) -> None:
    """A PDF of two pages: the heading of the Latin page, and nothing."""
    first = Image.open(IMAGES / "latin_page.png").convert("RGB").crop((0, 0, 860, 150))
    first.save(path, save_all=True, append_images=[Image.new("RGB", (430, 75), "white")])
