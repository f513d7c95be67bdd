"""Structure scores against other projects' scorers, and what they say of pages counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ptocr.document.tree import Block, Line, Page
from ptocr.evaluation.layout_scores import average_precision, matched
from ptocr.evaluation.structure_corpus import score_page
from ptocr.evaluation.text_metrics import from_latex, letters
from ptocr.processing.geometry import box_corners

pytest.importorskip("apted")
from ptocr.evaluation.teds import comparable, teds

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "structure_metrics.json").read_text("utf-8"))


@pytest.mark.parametrize("case", GOLDEN["tables"], ids=range(len(GOLDEN["tables"])))
def test_teds_is_that_of_its_authors(case: dict[str, Any]) -> None:
    assert teds(case["read"], case["truth"]) == pytest.approx(case["teds"], abs=1e-9)
    assert teds(case["read"], case["truth"], structure_only=True) == pytest.approx(case["structure"], abs=1e-9)


def test_average_precision_is_that_of_coco() -> None:
    pages = [
        ([tuple(found) for found in page["found"]], [tuple(label) for label in page["labelled"]])
        for page in GOLDEN["regions"]["pages"]
    ]
    assert average_precision(pages) == pytest.approx(GOLDEN["regions"]["AP"], abs=1e-9)


def test_tables_are_compared_without_what_a_reader_does_not_see() -> None:
    one = comparable("<table><thead><tr><th colspan=2>a <b>b</b><br>c</th></thead><tr><td>$ \\pm $ 1<td>$5</table>")
    assert one == '<table><tr><td colspan="2">abc</td></tr><tr><td>±1</td><td>$5</td></tr></table>'
    assert comparable("no table") == "" and teds("", "<table></table>") == 0.0 and teds("", "") == 1.0


def test_cells_have_one_partner_each() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10]])
    assert matched(boxes, boxes[:1]) == 1 and matched(boxes[:2], boxes) == 2 and matched(boxes[:0], boxes) == 0


def page(*lines: tuple[str, tuple[int, int, int, int]]) -> Any:
    """A result whose blocks are one line each."""
    read = Page(size=(200, 200))
    read.blocks = [Block([[Line(box_corners(box), text, 0.9)]]) for text, box in lines]
    return SimpleNamespace(page=read, regions=[])


BLOCKS = [
    {"label": "title", "bbox": [0, 0, 100, 20], "order": 1, "text": "The Title"},
    {"label": "text_block", "bbox": [0, 20, 100, 60], "order": 2, "text": "ab cd $\\alpha$"},
    {"label": "text_block", "bbox": [100, 20, 200, 60], "order": 3, "text": "efgh"},
    {"label": "header", "bbox": [0, 180, 200, 200], "order": None, "text": "page 1"},
    {"label": "table", "bbox": [0, 60, 200, 100], "order": 4, "html": "<table><tr><td>x</td></tr></table>"},
]


def test_a_page_read_well_has_no_edits() -> None:
    good = page(
        ("The-Title", (0, 2, 90, 18)), ("ab", (0, 22, 90, 38)), ("cd α", (0, 42, 90, 58)), ("efgh", (110, 22, 190, 38)),
        ("page i", (0, 182, 90, 198)),
    )  # fmt: skip
    assert score_page(good, BLOCKS) == {"text": 0.0, "order": 0.0, "page_tables": 0.0}


def test_what_is_wrong_on_a_page_is_counted() -> None:
    """A column read across (4 visits instead of 3: one edit), a letter wrong, a letter in no block."""
    bad = page(
        ("The Titel", (0, 2, 90, 18)), ("ab", (0, 22, 90, 38)), ("efgh", (110, 22, 190, 38)), ("cd α", (0, 42, 90, 58)),
        ("z", (10, 150, 20, 160)),
    )  # fmt: skip
    assert score_page(bad, BLOCKS) == {
        "text": pytest.approx(3 / (8 + 5 + 4 + 1)),
        "order": pytest.approx(1 / 4),
        "page_tables": 0.0,
    }


def test_formulas_in_texts_are_characters() -> None:
    assert from_latex("costs $5 and $10") == "costs $5 and $10"
    assert letters("x$_{2}$ = \\(\\mathrm{K} \\pm 3\\)，好") == "x2K3好"
