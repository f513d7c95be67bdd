"""HTML report of a diagnosis: what was found, rejected and read on a page, and what would have helped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from ptocr.document.diagnosis import Diagnosis

COLOURS = {"found": "#0a0", "text_det_box_thresh": "#e60", "text_det_thresh": "#06d", "min_size": "#c0c"}
STYLE = """body{font:15px/1.5 sans-serif;margin:2em auto;max-width:1200px;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left;vertical-align:middle}
svg{max-width:100%;height:auto;border:1px solid #ccc}img.line{max-height:40px;max-width:360px}li b{font-weight:600}"""


def to_report(found: Diagnosis, name: str) -> str:
    """One HTML document without anything outside it. name: of the page, for the heading."""
    result = found.result
    width, height = result.page_size or (1, 1)
    rows, columns = found.resized.shape[:2]
    boxes = [("found", poly) for poly in result.dt_polys] + [(r.reason, r.poly) for r in found.rejected]
    heat = cv2.applyColorMap(np.asarray(np.clip(found.prob * 255, 0, 255), np.uint8), cv2.COLORMAP_VIRIDIS)
    blend = cv2.addWeighted(cv2.resize(found.resized, heat.shape[1::-1]), 0.45, heat, 0.55, 0)
    seconds = "".join(
        f"<tr><td>{html.escape(k)}</td><td>{v * 1000:.0f} ms</td></tr>" for k, v in result.timings.items()
    )
    settings = ", ".join(f"{k}={v}" for k, v in {**result.text_det_params, **result.model_settings}.items())
    legend = " ".join(f'<b style="color:{colour}">&#9632; {_e(key)}</b>' for key, colour in COLOURS.items())
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{_e(name)}</title><style>{STYLE}</style>'
            '<link rel="icon" href="data:,"></head><body>',
            f"<h1>{_e(name)}</h1><p>{width} x {height} px; detector input {columns} x {rows} px; "
            f"{len(result.dt_polys)} regions found, {len(result.rec_texts)} lines kept, "
            f"{len(found.rejected)} rejected</p>",
            "<h2>What would have helped</h2><ul>",
            *(f"<li>{_e(line)}</li>" for line in found.advice),
            "</ul><h2>Settings</h2><p><code>",
            _e(settings),
            f"</code></p><h2>Times</h2><table>{seconds}</table>",
            f"<h2>Regions</h2><p>{legend}</p>{_overlay(found.resized, boxes, (width, height))}",
            f"<h2>Probability map</h2>{_overlay(blend, [], (columns, rows))}",
            "<h2>Rejected regions</h2>",
            _table(
                ("by", "mean probability", "would read", "score"),
                ((r.reason, f"{r.score:.3f}", r.read.text, f"{r.read.score:.3f}") for r in found.rejected),
            ),
            "<h2>Lines and their direction</h2>",
            _votes(found),
            "</body></html>",
        ]
    )


def _votes(found: Diagnosis) -> str:
    rows = [
        (
            _picture(vote.crop, "line"),
            _e(f"{vote.label or '-'} ({vote.probability:.2f})"),
            _e(f"{vote.upright.text} ({vote.upright.score:.3f})"),
            _e(f"{vote.turned.text} ({vote.turned.score:.3f})"),
            "turned" if vote.kept_turned else "as it is",
        )
        for vote in found.votes
    ]
    return _table(("line", "classifier", "as it is", "turned by 180", "kept"), rows, escaped=True)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], escaped: bool = False) -> str:
    body = "".join(
        "<tr>" + "".join(f"<td>{cell if escaped else _e(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f"<table><tr>{''.join(f'<th>{_e(cell)}</th>' for cell in head)}</tr>{body}</table>" if body else "<p>none</p>"
    )


def _overlay(image: np.ndarray, boxes: Iterable[tuple[str, np.ndarray]], size: tuple[int, int]) -> str:
    """A picture with outlines; boxes are in a page of `size` (width, height)."""
    shapes = "".join(
        f'<polygon points="{" ".join(f"{x},{y}" for x, y in poly.tolist())}" fill="none" stroke="{COLOURS[kind]}" '
        'stroke-width="2" vector-effect="non-scaling-stroke"/>'
        for kind, poly in boxes
    )
    data = _data(image)
    return (
        f'<svg viewBox="0 0 {size[0]} {size[1]}" width="{min(size[0], 1100)}" xmlns="http://www.w3.org/2000/svg">'
        f'<image href="{data}" width="{size[0]}" height="{size[1]}" preserveAspectRatio="none"/>{shapes}</svg>'
    )


def _picture(image: np.ndarray, kind: str) -> str:
    return f'<img class="{kind}" alt="" src="{_data(image)}">'


def _data(image: np.ndarray) -> str:
    encoded = base64.b64encode(cv2.imencode(".jpg", image)[1].tobytes()).decode()
    return f"data:image/jpeg;base64,{encoded}"


def _e(text: str) -> str:
    return html.escape(text)
