"""Lines of a page that a PDF says itself, and the picture of what it does not say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ptocr.document.tree import Line
from ptocr.inputs.page import Page, PdfLine
from ptocr.processing.geometry import box_corners

_STEPS = 1000.0  # of a line, in which the places of its characters are given


def lines_of_pdf(page: Page) -> list[Line]:
    """The lines of a page's text layer, each as sure as can be; empty for pages without one."""
    return [_line(line) for line in page.pdf.lines if line.text.strip()] if page.pdf else []


def _line(line: PdfLine) -> Line:
    boxes = np.array(line.boxes, np.float64).reshape(-1, 4)
    x0, y0 = np.floor(boxes[:, :2].min(axis=0)).astype(int)
    x1, y1 = np.ceil(boxes[:, 2:].max(axis=0)).astype(int)
    centers = (boxes[:, 0] + boxes[:, 2]) / 2 - x0
    made = Line(box_corners((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))), line.text, 1.0, confidence=1.0)
    made.columns, made.steps = centers / max(x1 - x0, 1) * _STEPS - 0.5, _STEPS
    made.char_scores = np.ones(len(line.text))
    return made


def without_lines(image: np.ndarray, lines: Sequence[Line]) -> np.ndarray:
    """A copy of a picture with lines painted over in the colour around them. image: (H, W, 3) uint8 BGR."""
    out = image.copy()
    height, width = image.shape[:2]
    for line in lines:
        x0, y0, x1, y1 = line.box
        x0, y0, x1, y1 = max(0, x0 - 1), max(0, y0 - 1), min(width, x1 + 1), min(height, y1 + 1)
        if x1 > x0 and y1 > y0:
            edge = np.concatenate([out[y0, x0:x1], out[y1 - 1, x0:x1]])
            out[y0:y1, x0:x1] = np.median(edge, axis=0).astype(np.uint8)
    return out
