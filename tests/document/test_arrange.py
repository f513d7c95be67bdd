"""Reading order of pages with regions and tables, and that no line is lost or read twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ptocr.document.arrange import arranged, block_order
from ptocr.document.table import Table
from ptocr.document.tree import Block, Line
from ptocr.processing.geometry import box_corners
from ptocr.processing.layout import Region

NONE = np.zeros((0, 4))


def line(text: str, x0: int, y0: int, x1: int, y1: int) -> Line:
    return Line(box_corners((x0, y0, x1, y1)), text, 0.9)


def column(name: str, x: int, y: int, count: int, width: int = 280) -> list[Line]:
    return [line(f"{name}{i}", x, y + 20 * i, x + width, y + 20 * i + 14) for i in range(count)]


def texts(blocks: list[Block]) -> list[str]:
    return [line.text for block in blocks for line in block.lines]


def region(label: str, *box: float) -> Region:
    return Region(0, label, 0.9, np.array(box, np.float64))


def test_columns_below_a_title_and_above_a_footnote() -> None:
    left, right = column("l", 0, 60, 8), column("r", 320, 60, 5) + column("s", 320, 190, 3)
    title, note = line("title", 100, 10, 500, 40), line("note", 0, 300, 600, 314)
    found = arranged([*right, note, *left, title], [], [], 0, (620, 330))
    columns = [*(f"l{i}" for i in range(8)), *(f"r{i}" for i in range(5)), "s0", "s1", "s2"]
    assert texts(found) == ["title", *columns, "note"]


def test_a_picture_fills_a_column_and_nothing_does_not() -> None:
    """Text at the lower left is read before the column at its right where a figure stands above it, else after it."""
    left, right = column("l", 0, 300, 3), column("r", 320, 20, 16)
    assert texts(arranged([*left, *right], [], [], 0, (620, 400)))[0] == "r0"
    figure = [region("figure", 0, 20, 290, 280)]
    assert texts(arranged([*left, *right], [], figure, 0, (620, 400)))[0] == "l0"


def test_numbers_of_formulas_and_words_at_the_right_stay_on_their_line() -> None:
    lines = [
        line("where we find that", 0, 0, 600, 14), line("x = y + z", 60, 24, 200, 38), line("(12)", 570, 24, 600, 38),
        line("u = v", 60, 50, 150, 64), line("(13a)", 560, 50, 600, 64), line("which ends the proof.", 0, 76, 600, 90),
    ]  # fmt: skip
    found = arranged(lines[::-1], [], [region("text", 550, 20, 610, 70)], 0, (620, 100))
    assert texts(found) == [line.text for line in lines]


def test_labels_and_values_are_read_row_by_row() -> None:
    labels = [line(f"k{i}", 0, 30 * i, 40, 30 * i + 12) for i in range(4)]
    values = [line(f"v{i}", 200, 30 * i, 240, 30 * i + 12) for i in range(4)]
    found = arranged([*labels, *values], [], [], 0, (300, 130))
    assert texts(found) == ["k0", "v0", "k1", "v1", "k2", "v2", "k3", "v3"]


def test_running_text_in_what_is_called_a_figure_is_text() -> None:
    figure = region("figure", 0, 0, 620, 400)
    (block,) = arranged(column("t", 0, 10, 4), [], [figure], 0, (620, 400))
    assert block.kind == "text"
    (block,) = arranged([line("ax", 10, 10, 30, 22)], [], [figure], 0, (620, 400))
    assert block.kind == "figure"


def test_a_page_on_its_side_is_ordered_as_it_is_read() -> None:
    """Turned by 90 degrees counter-clockwise to be read: its right edge is the top."""
    lines = [line(f"t{i}", 180 - 30 * i, 0, 194 - 30 * i, 250) for i in range(4)]
    for one in lines:
        one.turned = True
    assert texts(arranged(lines[::-1], [], [], 90, (200, 260))) == ["t0", "t1", "t2", "t3"]


def test_orders_are_permutations_whatever_the_boxes() -> None:
    rng = np.random.default_rng(3)
    for count in (0, 1, 2, 30):
        corner = rng.uniform(0, 100, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(0, 60, (count, 2))], axis=1)
        assert sorted(block_order(boxes, NONE)) == list(range(count))
    same = np.tile([0.0, 0, 10, 10], (4, 1))
    assert sorted(block_order(same, same)) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(12))
def test_every_line_is_in_exactly_one_place(seed: int) -> None:
    """Lines, regions and tables anywhere, over each other, upright and turned."""
    rng = np.random.default_rng(seed)

    def box() -> list[int]:
        x, y = rng.integers(0, 900, 2)
        return [int(x), int(y), int(x + rng.integers(1, 400)), int(y + rng.integers(1, 60))]

    lines = [line(str(i), *box()) for i in range(60)]
    for one in lines[::7]:
        one.turned = True
    tables = [Block(kind="table", poly=box_corners(tuple(box())), content=Table([])) for _ in range(3)]
    regions = [region(str(rng.choice(["text", "title", "figure"])), *box()) for _ in range(15)]
    regions = [replace(one, place=float(rng.random())) if seed % 2 else one for one in regions]
    places = rng.random(3).tolist() if seed % 3 else []
    blocks = arranged(lines, tables, regions, int(rng.choice([0, 90, 180, 270])), (1000, 1000), places)
    assert Counter(texts(blocks)) == Counter(one.text for one in lines)
    assert sum(block is table for block in blocks for table in tables) == 3


def test_the_order_that_a_layout_model_says_goes_before() -> None:
    """Of two columns the right one is first by the model; a table has its place, a line in no region follows."""
    left, right = column("l", 0, 60, 3), column("r", 320, 60, 3)
    note = line("n0", 320, 300, 600, 314)  # below the right column, in no region
    table = Block(kind="table", poly=box_corners((0, 150, 280, 250)), content=Table([]))
    regions = [
        replace(region("text", 0, 50, 290, 130), place=7.0),
        replace(region("text", 310, 50, 610, 130), place=2.0),
    ]
    found = arranged([*left, *right, note], [table], regions, 0, (620, 330), [4.0])
    kinds = [block.kind if block is table else block.lines[0].text[0] for block in found]
    assert kinds == ["r", "n", "table", "l"]
    usual = arranged([*left, *right, note], [table], [replace(r, place=None) for r in regions], 0, (620, 330))
    assert [block.kind if block is table else block.lines[0].text[0] for block in usual] == ["l", "table", "r", "n"]
