"""Parts of HTML reports: tables, and pictures with outlines, inside the file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

import cv2
import numpy as np


class Shape(NamedTuple):
    """An outline: colour as CSS has it, (n, 2) pixels, what stands at its upper left."""

    colour: str
    poly: np.ndarray
    caption: str = ""


def table_of_rows(head: Sequence[str], rows: Iterable[Sequence[str]], escaped: bool = False) -> str:
    """A table, or "none" without rows. escaped: the cells are HTML already."""
    body = "".join(
        "<tr>" + "".join(f"<td>{cell if escaped else escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    return f"<table><tr>{top}</tr>{body}</table>" if body else "<p>none</p>"


def overlay(image: np.ndarray, shapes: Iterable[Shape], size: tuple[int, int]) -> str:
    """A picture with outlines; they are in a page of `size` (width, height)."""
    drawn = "".join(map(_shape, shapes))
    return (
        f'<svg viewBox="0 0 {size[0]} {size[1]}" width="{min(size[0], 1100)}" xmlns="http://www.w3.org/2000/svg">'
        f'<image href="{_data(image)}" width="{size[0]}" height="{size[1]}" preserveAspectRatio="none"/>{drawn}</svg>'
    )


def _shape(shape: Shape) -> str:
    points = " ".join(f"{x:g},{y:g}" for x, y in np.asarray(shape.poly).tolist())
    outline = (
        f'<polygon points="{points}" fill="none" stroke="{shape.colour}" stroke-width="2" '
        'vector-effect="non-scaling-stroke"/>'
    )
    x, y = np.asarray(shape.poly).min(axis=0).tolist()
    text = f'<text x="{x:g}" y="{y:g}" fill="{shape.colour}" dy="-2">{escape(shape.caption)}</text>'
    return outline + (text if shape.caption else "")


def picture(image: np.ndarray, kind: str) -> str:
    """A picture of a CSS class."""
    return f'<img class="{kind}" alt="" src="{_data(image)}">'


def _data(image: np.ndarray) -> str:
    encoded = base64.b64encode(cv2.imencode(".jpg", image)[1].tobytes()).decode()
    return f"data:image/jpeg;base64,{encoded}"
