"""HTML report of a diagnosis: what was found, rejected and read on a page, and what would have helped."""

from __future__ import annotations

from html import escape

import cv2
import numpy as np

from ptocr.document.diagnosis import Diagnosis
from ptocr.document.structure_results import StructureResult
from ptocr.document.writers.report_parts import Shape, overlay, picture, table_of_rows
from ptocr.document.writers.structure_report import structure_sections

COLOURS = {"found": "#0a0", "text_det_box_thresh": "#e60", "text_det_thresh": "#06d", "min_size": "#c0c"}
STYLE = """body{font:15px/1.5 sans-serif;margin:2em auto;max-width:1200px;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left;vertical-align:middle}
svg{max-width:100%;height:auto;border:1px solid #ccc}img.line{max-height:40px;max-width:360px}li b{font-weight:600}
svg text{font:bold 14px sans-serif;paint-order:stroke;stroke:#fff;stroke-width:3px}"""


def to_report(found: Diagnosis, name: str) -> str:
    """One HTML document without anything outside it. name: of the page, for the heading."""
    result = found.result
    width, height = result.page_size or (1, 1)
    rows, columns = found.resized.shape[:2]
    boxes = [Shape(COLOURS["found"], poly) for poly in result.dt_polys]
    boxes += [Shape(COLOURS[r.reason], r.poly) for r in found.rejected]
    heat = cv2.applyColorMap(np.asarray(np.clip(found.prob * 255, 0, 255), np.uint8), cv2.COLORMAP_VIRIDIS)
    blend = cv2.addWeighted(cv2.resize(found.resized, heat.shape[1::-1]), 0.45, heat, 0.55, 0)
    seconds = "".join(f"<tr><td>{escape(k)}</td><td>{v * 1000:.0f} ms</td></tr>" for k, v in result.timings.items())
    settings = ", ".join(f"{k}={v}" for k, v in {**result.text_det_params, **result.model_settings}.items())
    legend = " ".join(f'<b style="color:{colour}">&#9632; {escape(key)}</b>' for key, colour in COLOURS.items())
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(name)}</title><style>{STYLE}</style>'
            '<link rel="icon" href="data:,"></head><body>',
            f"<h1>{escape(name)}</h1><p>{width} x {height} px; detector input {columns} x {rows} px; "
            f"{len(result.dt_polys)} regions found, {len(result.rec_texts)} lines kept, "
            f"{len(found.rejected)} rejected</p>",
            "<h2>What would have helped</h2><ul>",
            *(f"<li>{escape(line)}</li>" for line in found.advice),
            "</ul><h2>Settings</h2><p><code>",
            escape(settings),
            f"</code></p><h2>Times</h2><table>{seconds}</table>",
            f"<h2>Regions</h2><p>{legend}</p>{overlay(found.resized, boxes, (width, height))}",
            f"<h2>Probability map</h2>{overlay(blend, [], (columns, rows))}",
            "<h2>Rejected regions</h2>",
            table_of_rows(
                ("by", "mean probability", "would read", "score"),
                ((r.reason, f"{r.score:.3f}", r.read.text, f"{r.read.score:.3f}") for r in found.rejected),
            ),
            "<h2>Lines and their direction</h2>",
            _votes(found),
            *(structure_sections(result) if isinstance(result, StructureResult) else ()),
            "</body></html>",
        ]
    )


def _votes(found: Diagnosis) -> str:
    rows = [
        (
            picture(vote.crop, "line"),
            escape(f"{vote.label or '-'} ({vote.probability:.2f})"),
            escape(f"{vote.upright.text} ({vote.upright.score:.3f})"),
            escape(f"{vote.turned.text} ({vote.turned.score:.3f})"),
            "turned" if vote.kept_turned else "as it is",
        )
        for vote in found.votes
    ]
    return table_of_rows(("line", "classifier", "as it is", "turned by 180", "kept"), rows, escaped=True)
