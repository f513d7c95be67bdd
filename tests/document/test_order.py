"""Reading order and places of words."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ptocr.document.results import OCRResult
from ptocr.processing.geometry import box_of


def quad(x: float, y: float, width: float, height: float = 20) -> np.ndarray:
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def page(*lines: tuple[str, np.ndarray], **more: object) -> OCRResult:
    polys = [poly for _, poly in lines]
    fields: dict[str, object] = {
        "rec_texts": [text for text, _ in lines],
        "rec_scores": [0.9] * len(lines),
        "rec_polys": polys,
        "dt_polys": polys,
        "page_size": (1000, 1400),
    }
    return OCRResult(**(fields | more))  # type: ignore[arg-type]


def order(result: OCRResult) -> list[str]:
    return [line.text for line in result.page.lines]


def shuffled(*lines: tuple[str, np.ndarray]) -> OCRResult:
    mixed = np.random.default_rng(3).permutation(len(lines))
    return page(*(lines[i] for i in mixed))


def test_two_columns_under_a_title() -> None:
    """Each column to its end, the title before, the footer after; the lines lie on one grid."""
    title = ("A title over both columns", quad(100, 40, 800, 40))
    footer = ("A footer below the two of them", quad(100, 700, 800))
    left = [(f"left column line {i}", quad(60, 120 + 30 * i, 400)) for i in range(8)]
    right = [(f"right column line {i}", quad(520, 120 + 30 * i, 400)) for i in range(8)]
    expected = [title[0], *(text for text, _ in left), *(text for text, _ in right), footer[0]]
    assert order(shuffled(title, footer, *left, *right)) == expected


def test_a_figure_caption_across_the_columns_parts_them() -> None:
    first = [(f"{side} upper {i}", quad(x, 50 + 30 * i, 400)) for side, x in (("L", 60), ("R", 520)) for i in range(4)]
    caption = ("Figure 1: across both columns", quad(60, 200, 860))
    second = [
        (f"{side} lower {i}", quad(x, 250 + 30 * i, 400)) for side, x in (("L", 60), ("R", 520)) for i in range(4)
    ]
    expected = [*(text for text, _ in first), caption[0], *(text for text, _ in second)]
    assert order(shuffled(*first, caption, *second)) == expected


def test_three_columns() -> None:
    lines = [(f"column {c} line {i}", quad(40 + 320 * c, 50 + 30 * i, 280)) for c in range(3) for i in range(5)]
    assert order(shuffled(*lines)) == [text for text, _ in lines]


def test_receipts_and_tables_are_read_by_rows() -> None:
    cells = [
        (f"{name} {row}", quad(x, 50 + 30 * row, width))
        for row in range(6)
        for name, x, width in (("item number", 40, 200), ("amount", 500, 80), ("price", 800, 70))
    ]
    result = shuffled(*cells)
    assert order(result) == [text for text, _ in cells]
    assert [len(row) for block in result.page.blocks for row in block.rows] == [3] * 6


def test_upright_chinese_columns_from_right_to_left() -> None:
    lines = [(f"第{i}列直排的文字", quad(900 - 80 * i, 50, 40, 600)) for i in range(6)]
    assert order(shuffled(*lines)) == [text for text, _ in lines]


def test_a_note_in_the_margin_does_not_cut_into_the_text() -> None:
    text = [(f"an ordinary line of text {i}", quad(100, 50 + 30 * i, 700)) for i in range(10)]
    note = ("arXiv:0000.00000v1 1 Jan", quad(20, 60, 30, 280))
    assert order(shuffled(*text, note)) == [*(t for t, _ in text), note[0]]


def test_paragraphs() -> None:
    lines = [(f"line {i}", quad(50, 40 + 28 * i + 60 * (i > 3), 500)) for i in range(8)]
    big = ("heading", quad(50, 400, 500, 48))
    sizes = [len(block.lines) for block in page(*lines, big).page.blocks]
    assert sizes == [4, 4, 1]


def test_empty_pages_and_empty_texts() -> None:
    assert page().page.blocks == []
    assert order(page(("", quad(0, 0, 50)), ("  ", quad(0, 40, 50)), ("x", quad(0, 80, 50)))) == ["x"]
    assert OCRResult(rec_texts=["x"], rec_scores=[1.0], rec_polys=[quad(5, 5, 20)]).page.extent == (25, 25)


# ---- directions ----


def test_orientation_belongs_to_the_detected_regions() -> None:
    polys = [quad(0, 0, 100), quad(0, 50, 100), quad(0, 100, 100)]
    result = page(("kept", polys[1]), ("turned", polys[2]), dt_polys=polys, textline_orientation_angles=[1, 0, 1])
    kept, turned = result.page.lines
    np.testing.assert_array_equal(kept.quad[0], polys[1][0])
    np.testing.assert_array_equal(turned.quad[0], polys[2][2])


# ---- words ----


def test_guessed_words_lie_in_order_inside_the_line() -> None:
    (line,) = page(("iiii WWWW 中文", quad(100, 10, 600))).lines
    assert [word.text for word in line.words] == ["iiii", "WWWW", "中文"]
    edges = [(float(word.quad[0, 0]), float(word.quad[1, 0])) for word in line.words]
    assert edges[0][0] == 100
    assert edges[-1][1] == pytest.approx(700)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(edges))
    assert edges[0][1] - edges[0][0] < edges[1][1] - edges[1][0]  # narrow letters take less room


def test_known_words_take_their_places() -> None:
    poly = quad(100, 10, 600)
    words = ["Hello", "中", "文", "a1"]
    regions = [quad(100, 10, 150), quad(300, 10, 40), quad(340, 10, 40), quad(600, 10, 80)]
    result = page(("Hello 中文 a1", poly), text_word=[words], text_word_region=[regions], return_word_box=True)
    (line,) = result.page.lines
    assert [(word.text, box_of([word.quad])[::2]) for word in line.words] == [
        ("Hello", (100, 250)),
        ("中文", (300, 380)),
        ("a1", (600, 680)),
    ]


def test_words_that_do_not_fit_are_guessed_instead() -> None:
    poly = quad(100, 10, 600)
    result = page(("Hello you", poly), text_word=[["Other"]], text_word_region=[[poly]], return_word_box=True)
    assert [word.text for word in result.page.lines[0].words] == ["Hello", "you"]


def test_boxes_are_never_empty() -> None:
    assert box_of([np.array([[5, 5], [5, 5], [5, 5], [5, 5]])]) == (5, 5, 6, 6)
    assert box_of([np.array([[0.4, 1.6], [9.2, 1.6]]), quad(3, 3, 4, 4)]) == (0, 1, 10, 7)
