"""Tables: HTML tokens to a grid, lines into cells, nothing lost, Markdown and HTML."""

from __future__ import annotations

import itertools

import numpy as np

from ptocr.document.arrange import arranged
from ptocr.document.table import Table, table_of
from ptocr.document.tree import Block, Line, Page
from ptocr.document.writers.text import to_markdown
from ptocr.document.writers.web_page import to_html
from ptocr.processing.geometry import box_corners
from ptocr.processing.layout import Region
from ptocr.processing.table_cells import Structure

SPANS = (
    *("<thead>", "<tr>", "<td", ' rowspan="2"', ">", "</td>", "<td", ' colspan="2"', ">", "</td>", "</tr>"),
    *("<tr>", "<td></td>", "<td></td>", "</tr>", "</thead>"),
    *("<tbody>", "<tr>", "<td></td>", "<td></td>", "<td></td>", "</tr>", "</tbody>"),
)
BOXES = [(0, 0, 90, 40), (100, 0, 290, 18), (100, 22, 190, 40), (200, 22, 290, 40)] + [
    (100 * i, 44, 100 * i + 90, 60) for i in range(3)
]


def line(text: str, x0: int, y0: int, x1: int, y1: int) -> Line:
    """A line whose characters are evenly spread."""
    made = Line(box_corners((x0, y0, x1, y1)), text, 0.9, kept=True)
    made.columns, made.steps = np.arange(len(text)), float(len(text))
    made.char_scores = np.linspace(0.8, 1.0, len(text))
    return made


def table(*lines: Line) -> Table:
    made = table_of(Structure(SPANS, np.array([box_corners(b) for b in BOXES], float), 1.0), lines)
    assert made is not None
    return made


def test_grid_with_spans() -> None:
    made = table(line("name", 5, 12, 60, 28), line("a < b", 120, 2, 180, 16), line("1", 10, 46, 20, 58))
    assert [(c.row, c.column, c.rows, c.columns) for c in made.cells] == [
        (0, 0, 2, 1), (0, 1, 1, 2), (1, 1, 1, 1), (1, 2, 1, 1), (2, 0, 1, 1), (2, 1, 1, 1), (2, 2, 1, 1),
    ]  # fmt: skip
    assert made.size == (3, 3) and made.head == 2
    assert made.to_html() == (
        '<table><thead><tr><td rowspan="2">name</td><td colspan="2">a &lt; b</td></tr><tr><td></td><td></td></tr>'
        "</thead><tbody><tr><td>1</td><td></td><td></td></tr></tbody></table>"
    )


def test_a_line_over_several_cells_is_cut_between_its_words() -> None:
    made = table(line("12 345 6789", 0, 46, 290, 58), line("10 000", 210, 24, 280, 38))
    assert [cell.text for cell in made.cells] == ["", "", "", "10 000", "12", "345", "6789"]
    parts = [part for cell in made.cells[4:] for part in cell.lines]
    assert all(a.box[2] <= b.box[0] for a, b in itertools.pairwise(parts))
    assert parts[0].score < parts[2].score  # of its own characters


def test_a_line_outside_of_all_cells_goes_to_the_nearest() -> None:
    made = table(line("note", 92, 46, 98, 58), line("below", 210, 64, 280, 80))
    assert [cell.text for cell in made.cells[4:]] == ["note", "", "below"]


def test_ideographs_close_together_are_not_parted() -> None:
    """A line of Chinese that reaches into the next cell stays whole; one with a gap is cut there."""
    assert [cell.text for cell in table(line("行业评级", 60, 46, 150, 58)).cells[4:]] == ["", "行业评级", ""]
    far = line("行业评级", 20, 46, 180, 58)
    far.columns, far.steps = np.array([0, 1, 10, 11]), 12.0
    assert [cell.text for cell in table(far).cells[4:]] == ["行业", "评级", ""]


def test_a_column_whose_texts_stand_apart_is_two() -> None:
    tokens = ("<tr>", "<td", ' colspan="2"', ">", "</td>", "</tr>") + ("<tr>", "<td></td>", "<td></td>", "</tr>") * 4
    boxes = [(0, 0, 300, 18)] + [(x, 20 * r, x + 195 - x / 4, 20 * r + 18) for r in range(1, 5) for x in (0, 200)]
    lines = [line("head", 5, 2, 60, 16)]
    for row in range(1, 5):
        lines += [
            line(f"a{row}", 5, 20 * row + 2, 50, 20 * row + 16),
            line(f"c{row}", 210, 20 * row + 2, 250, 20 * row + 16),
        ]
        lines += [line(f"b{row}", 120, 20 * row + 2, 190, 20 * row + 16)] if row < 4 else []
    made = table_of(Structure(tokens, np.array([box_corners(b) for b in boxes], float), 1.0), lines)
    assert made is not None and made.size == (5, 3)
    assert [[cell.text for cell in row] for row in made.rows()] == [
        ["head"], ["a1", "b1", "c1"], ["a2", "b2", "c2"], ["a3", "b3", "c3"], ["a4", "", "c4"],
    ]  # fmt: skip
    assert made.cells[0].columns == 3
    fewer = table_of(Structure(tokens, np.array([box_corners(b) for b in boxes], float), 1.0), lines[:6])
    assert fewer is not None and fewer.size == (5, 2)


def test_a_structure_without_cells_is_no_table() -> None:
    assert table_of(Structure(("<tr>", "</tr>"), np.zeros((0, 4, 2)), 1.0), [line("x", 0, 0, 9, 9)]) is None


def test_every_line_is_in_one_block() -> None:
    """Two columns with a table in the left one, a title above: kinds by regions, each line once."""
    made = table(line("cell", 5, 12, 60, 28))
    left = [line(f"left {i} of the running text", 0, 200 + 20 * i, 290, 216 + 20 * i) for i in range(5)]
    right = [line(f"right {i} of the running text", 320, 20 * i + 80, 610, 20 * i + 96) for i in range(11)]
    title = line("A title over both of the columns", 0, 20, 610, 60)
    lines = [*right, *left, title]
    regions = [
        Region(1, "title", 0.9, np.array([0.0, 15, 620, 65])),
        Region(0, "text", 0.9, np.array([0.0, 190, 300, 400])),
    ]
    block = Block(kind="table", poly=box_corners((0, 80, 290, 180)), content=made)
    blocks = arranged(lines, [block], regions, 0, (620, 400))
    texts = [text.text for found in blocks for text in found.lines]
    assert sorted(texts) == sorted([*(text.text for text in lines), "cell"])
    assert blocks[0].kind == "title" and block in blocks
    order = [text.text for text in left]
    assert [text for text in texts if text.startswith("left")] == order
    page = Page(lines, size=(620, 400))
    page.blocks = blocks
    text = to_markdown([page])
    assert text.startswith("## A title over both of the columns") and made.to_html() in text


def test_a_table_without_spans_is_a_pipe_table() -> None:
    tokens = ("<tr>", "<td></td>", "<td></td>", "</tr>") * 2
    boxes = np.array(
        [box_corners((100 * (i % 2), 20 * (i // 2), 100 * (i % 2) + 90, 20 * (i // 2) + 18)) for i in range(4)]
    )
    made = table_of(
        Structure(tokens, boxes.astype(float), 1.0), [line("a|b", 5, 2, 60, 16), line("c", 120, 22, 180, 36)]
    )
    page = Page(size=(200, 40))
    page.blocks = [Block(kind="table", poly=box_corners((0, 0, 200, 40)), content=made)]
    assert to_markdown([page]) == "| a\\|b |  |\n| --- | --- |\n|  | c |\n"
    assert page.above(0.95).lines == []


def test_html_of_a_page_holds_every_line() -> None:
    made = table(line("a & b", 5, 12, 60, 28))
    page = Page(size=(300, 200), languages=("en",))
    page.blocks = [
        Block([[line("Head <1>", 0, 0, 90, 30)]], "title"),
        Block([[line("left", 0, 40, 40, 50), line("right", 60, 40, 99, 50)], [line("para-", 0, 60, 90, 70)],
               [line("graph", 0, 75, 90, 85)]], "footer"),
        Block(kind="table", content=made, poly=box_corners((0, 90, 290, 180))),
    ]  # fmt: skip
    text = to_html([page, page])
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">') and text.count("<hr>") == 1
    for piece in (
        "<h2>Head &lt;1&gt;</h2>",
        '<p class="footer">left &emsp; right</p>',
        ">paragraph</p>",
        made.to_html(),
    ):
        assert text.count(piece) == 2
    assert "a &amp; b" in text
