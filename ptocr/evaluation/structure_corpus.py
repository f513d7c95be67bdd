"""Scores of a structure pipeline on tables and pages with truth: `truth.json` beside the folders with the pictures.

`tables`: `file`, `html`, perhaps `cells` with `bbox`. `pages`: `file`, `blocks` with `label`, `bbox`, and for text also
`text` and `order`; tables `html`. Labels are OmniDocBench's or PubLayNet's; boxes x0, y0, x1, y1 pixels.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ptocr.document.structure_results import StructureResult
from ptocr.document.table import Table
from ptocr.document.tree import Line
from ptocr.document.writers.elements import joined
from ptocr.errors import InputError
from ptocr.evaluation.layout_scores import Found, Labelled, average_precision, box_iou, matched
from ptocr.evaluation.teds import comparable, teds
from ptocr.evaluation.text_metrics import edits, letters

Scores = dict[str, float]
Read = Callable[[Path, bool], StructureResult]  # picture, whether it is a table alone -> what was read
# Truth's names of regions -> those of layout models; others have no counterpart there.
LABELS = {
    "text_block": "text", "title": "title", "figure": "figure", "figure_caption": "figure_caption", "table": "table",
    "table_caption": "table_caption", "header": "header", "footer": "footer", "equation_isolated": "equation",
    "text": "text", "list": "text", "reference": "reference",
}  # fmt: skip
_NOT_TEXT = ("table", "figure", "equation_isolated")  # what is in them has scores of its own, or none


@dataclass(eq=False)
class StructureScores:
    """Scores by file, and the average precision of regions over all pages."""

    tables: dict[str, Scores] = field(default_factory=dict)
    pages: dict[str, Scores] = field(default_factory=dict)
    regions: Scores = field(default_factory=dict)

    def summary(self) -> Scores:
        """Means over files, and over classes."""
        return {
            **_means(self.tables.values(), ("teds", "structure", "cells")),
            **_means(self.pages.values(), ("text", "order", "page_tables")),
            **({"mAP": float(np.mean(list(self.regions.values())))} if self.regions else {}),
        }


def score_structure(read: Read, folder: Path) -> StructureScores:
    """Read every picture that the truth in a folder names.

    Raises:
        InputError: no truth there.
    """
    try:
        truth = json.loads((folder / "truth.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'truth.json'}: {error}") from error
    scores = StructureScores()
    for entry in truth.get("tables", []):
        scores.tables[entry["file"]] = score_table(read(folder / entry["file"], True), entry)
    regions: list[tuple[list[Found], list[Labelled]]] = []
    for entry in truth.get("pages", []):
        result = read(folder / entry["file"], False)
        scores.pages[entry["file"]] = score_page(result, entry["blocks"])
        regions.append(region_pairs(result, entry["blocks"]))
    scores.regions = average_precision(regions) if regions else {}
    return scores


def score_table(result: StructureResult, entry: Mapping[str, Any]) -> Scores:
    """`teds` and `structure` of the HTML, and which share of the `cells` with text is where the truth has them."""
    read = result.tables[0].to_html() if result.tables else ""
    one, other = comparable(read), comparable(entry["html"])
    scores = {"teds": teds(one, other), "structure": teds(one, other, structure_only=True)}
    boxes = [cell["bbox"] for cell in entry.get("cells", []) if cell["bbox"] and cell["text"]]
    if boxes:
        found = [text_box(cell.lines) for table in result.tables for cell in table.cells if cell.lines]
        scores["cells"] = matched(np.array(found), np.array(boxes)) / len(boxes)
    return scores


def text_box(lines: Sequence[Line]) -> list[int]:
    """Upright box around lines: what truths of tables call the box of a cell."""
    boxes = np.array([line.box for line in lines])
    return [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]


def score_page(result: StructureResult, blocks: Sequence[Mapping[str, Any]]) -> Scores:
    """`text` and `order`: edits per letter and per block, 0 is best; `page_tables`: TEDS of the tables on the page.

    A line counts for the smallest block that its middle lies in; lines in no block are too much, in blocks without
    order (headers, page numbers) they count nowhere.
    """
    scores: Scores = {}
    homes = [(line, _home(line, blocks)) for line in result.page.lines]
    if any(block.get("text") for block in blocks):
        scores["text"] = _text_edits(homes, blocks)
        scores["order"] = _order_edits([home for _, home in homes if home is not None], blocks)
    labelled = [block for block in blocks if block["label"] == "table" and block.get("html")]
    if labelled:
        found = [(b.content, b.box) for b in result.page.blocks if isinstance(b.content, Table)]
        scores["page_tables"] = float(np.mean([_table_on_page(found, block) for block in labelled]))
    return scores


def _table_on_page(found: Sequence[tuple[Table, Sequence[float]]], block: Mapping[str, Any]) -> float:
    table = box_iou(np.array([box for _, box in found]), np.array([block["bbox"]]))
    if not table.size or table.max() < 0.5:
        return 0.0
    content, _ = found[int(table.argmax())]
    return teds(comparable(content.to_html()), comparable(block["html"]))


def _home(line: Line, blocks: Sequence[Mapping[str, Any]]) -> int | None:
    x, y = line.quad.mean(axis=0)
    holding = [
        ((x1 - x0) * (y1 - y0), i)
        for i, (x0, y0, x1, y1) in enumerate(block["bbox"] for block in blocks)
        if x0 <= x <= x1 and y0 <= y <= y1
    ]
    return min(holding)[1] if holding else None


def _text_edits(homes: Sequence[tuple[Line, int | None]], blocks: Sequence[Mapping[str, Any]]) -> float:
    wrong = total = 0
    for number, block in enumerate(blocks):
        if block.get("order") is None or block["label"] in _NOT_TEXT or not block.get("text"):
            continue
        read = letters(joined([line for line, home in homes if home == number]))
        truth = letters(block["text"])
        wrong += edits(read, truth)
        total += max(len(read), len(truth))
    stray = sum(len(letters(line.text)) for line, home in homes if home is None)
    return (wrong + stray) / max(total + stray, 1)


def _order_edits(homes: Sequence[int], blocks: Sequence[Mapping[str, Any]]) -> float:
    """Edits between the blocks as they were visited and as they should be, over the longer list."""
    ranks = [blocks[home]["order"] for home in homes if blocks[home].get("order") is not None]
    visited = [rank for rank, _ in itertools.groupby(ranks)]
    wanted = sorted(set(ranks))
    return edits(visited, wanted) / max(len(visited), len(wanted), 1)


def region_pairs(result: StructureResult, blocks: Sequence[Mapping[str, Any]]) -> tuple[list[Found], list[Labelled]]:
    """What was found on a page, and the regions that are there, of the classes that layout models know."""
    found = [(region.label, region.score, region.box.tolist()) for region in result.regions]
    return found, [(LABELS[b["label"]], b["bbox"]) for b in blocks if b["label"] in LABELS]


def markdown_tables(scores: StructureScores) -> str:
    """Three tables: by table, by page, by class."""
    parts = [
        _markdown("table", scores.tables, ("teds", "structure", "cells")),
        _markdown("page", scores.pages, ("text", "order", "page_tables")),
        _markdown("regions", {name: {"AP": value} for name, value in scores.regions.items()}, ("AP",)),
    ]
    return "\n\n".join(part for part in parts if part)


def _markdown(title: str, rows: Mapping[str, Scores], columns: Sequence[str]) -> str:
    if not rows:
        return ""
    lines = [f"| {title} | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    groups = dict[str, list[Scores]]()
    for name, row in rows.items():
        lines.append(_row(Path(name).stem, row, columns))
        if "_" in Path(name).stem and "/" in name:
            groups.setdefault(Path(name).stem.partition("_")[0], []).append(row)
    named = {f"**{name} ({len(group)})**": group for name, group in groups.items() if len(group) > 1}
    for name, group in {**named, f"**all ({len(rows)})**": list(rows.values())}.items():
        lines.append(_row(name, _means(group, columns), columns))
    return "\n".join(lines)


def _row(name: str, row: Scores, columns: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(f'{row[c]:.4f}' if c in row else '-' for c in columns)} |"


def _means(rows: Any, columns: Sequence[str]) -> Scores:
    rows = list(rows)
    values = {column: [row[column] for row in rows if column in row] for column in columns}
    return {column: float(np.mean(found)) for column, found in values.items() if found}
