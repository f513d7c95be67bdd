"""Parts of a line: its words and characters, and where they are on the page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptocr.pipelines.reader import Line
from ptocr.processing.geometry import rectangle, text_quad
from ptocr.processing.words import word_boxes


@dataclass(frozen=True)
class Words:
    """Words of a line and their regions (n, 4, 2)."""

    texts: list[str]
    regions: np.ndarray


def words(line: Line) -> Words:
    """Words by upstream's rule, in the page as it was read; those of an upside-down line run the other way."""
    text = line.text
    quad = rectangle(line.poly)
    if not text.text or line.read.steps <= 0:
        return Words([], np.zeros((0, 4, 2), np.asarray(line.poly).dtype))
    characters, columns = _per_column(line)
    texts, regions = word_boxes(characters, columns, line.read.steps, quad, line.tall)
    if line.upside_down:
        center = np.asarray(quad).min(axis=0) + np.asarray(quad).max(axis=0)
        regions = center - regions
    return Words(texts, regions)


def character_boxes(line: Line) -> np.ndarray:
    """Quads (n, 4, 2) float32 of the characters, along the line's own slant; corners from the text's top left.

    A character reaches half-way to its neighbours' columns, at most one and a half times its usual width.
    """
    _, columns = _per_column(line)
    if len(columns) == 0 or line.read.steps <= 0:
        return np.zeros((0, 4, 2), np.float32)
    centers = (np.asarray(columns, np.float64) + 0.5) / line.read.steps
    usual = float(np.median(np.diff(centers))) if len(centers) > 1 else 1.0
    middles = (centers[1:] + centers[:-1]) / 2
    starts = np.maximum(np.concatenate([[0.0], middles]), centers - 0.75 * usual)
    ends = np.minimum(np.concatenate([middles, [1.0]]), centers + 0.75 * usual)
    quad = text_quad(line.poly, line.tall, line.upside_down)
    top, bottom = quad[1] - quad[0], quad[2] - quad[3]
    a, b = np.clip(starts, 0, 1)[:, None], np.clip(ends, 0, 1)[:, None]
    corners = (quad[0] + top * a, quad[0] + top * b, quad[3] + bottom * b, quad[3] + bottom * a)
    return np.stack(corners, axis=1).astype(np.float32)


def _per_column(line: Line) -> tuple[list[str], list[int]]:
    """Characters and columns, equally many: dictionary entries of several characters share their column."""
    text, columns = line.text.text, [int(c) for c in line.text.columns]
    if len(text) == len(columns):
        return list(text), columns
    if not columns:
        return [], []
    places = np.linspace(0, len(columns) - 1, len(text)).round().astype(int)
    return list(text), [columns[i] for i in places]
