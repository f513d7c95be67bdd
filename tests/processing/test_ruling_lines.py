"""Ruling lines: cells of drawn tables, where they were drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ptocr.processing.ruling_lines import out_to_rules, ruled_cells, ruled_tables

XS, YS = (20, 140, 220, 380), (15, 55, 90, 150)


def drawn(frame: bool = True, spans: bool = False, inner: bool = True, shade: int = 0) -> np.ndarray:
    """3 x 3 cells with text in them; spans: the first row is one cell, the last two of the first column are one."""
    image = np.full((170, 400, 3), 255, np.uint8)
    for y in YS if frame else YS[1:-1]:
        begin = XS[1] if spans and y == YS[2] else XS[0]
        cv2.line(image, (begin, y), (XS[-1], y), (shade,) * 3, 1)
    for x in (XS if frame else XS[1:-1]) if inner else ():
        begin = YS[1] if spans and x in XS[1:-1] else YS[0]
        cv2.line(image, (x, begin), (x, YS[-1]), (shade,) * 3, 1)
    for x in XS[:-1]:
        for y in YS[:-1]:
            cv2.putText(image, "Ill-1", (x + 8, y + 25), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1)
    return image


@pytest.mark.parametrize("frame", [True, False])
@pytest.mark.parametrize("shade", [0, 170])
def test_cells_between_lines(frame: bool, shade: int) -> None:
    """Grey lines too; where there is no frame, the cells end where the lines do."""
    found = ruled_cells(drawn(frame, shade=shade), 14)
    assert [(c.row, c.column, c.rows, c.columns) for c in found] == [(r, c, 1, 1) for r in range(3) for c in range(3)]
    for cell in found:
        wanted = (XS[cell.column], YS[cell.row], XS[cell.column + 1], YS[cell.row + 1])
        assert np.abs(np.array(cell.box) - wanted).max() <= 4


def test_cells_that_span() -> None:
    found = ruled_cells(drawn(spans=True), 14)
    assert [(c.row, c.column, c.rows, c.columns) for c in found] == [
        (0, 0, 1, 3), (1, 0, 2, 1), (1, 1, 1, 1), (1, 2, 1, 1), (2, 1, 1, 1), (2, 2, 1, 1),
    ]  # fmt: skip
    assert found[0].moved(5, 7).box == tuple(np.add(found[0].box, (5, 7, 5, 7)))


def test_lines_that_part_no_cells_make_no_table() -> None:
    blank = np.full((100, 200, 3), 255, np.uint8)
    assert ruled_cells(blank, 14) == [] and ruled_tables(blank, 14) == []
    assert ruled_cells(drawn(inner=False), 14) == []  # rules between rows alone
    assert ruled_cells(np.zeros((3, 3, 3), np.uint8), 0) == []


def test_tables_on_a_page() -> None:
    page = np.full((600, 700, 3), 255, np.uint8)
    page[200:370, 150:550] = drawn(spans=True)
    cv2.rectangle(page, (20, 20), (680, 580), (0, 0, 0), 1)  # a frame around the page is none
    cv2.putText(page, "running text", (60, 80), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 0, 0), 2)
    (found,) = ruled_tables(page, 14)
    box, cells = found
    assert cells == 6 and np.abs(box - (170, 215, 530, 350)).max() <= 4


def test_a_box_grows_to_the_outer_rules() -> None:
    page = np.full((300, 500, 3), 255, np.uint8)
    for y, begin in ((60, 40), (200, 40), (20, 40), (80, 300)):  # the last two: too far away, too short
        cv2.line(page, (begin, y), (460, y), (0, 0, 0), 1)
    grown = out_to_rules(page, np.array([45.0, 85, 455, 190]), 16)
    assert np.abs(grown - (45, 60, 455, 200)).max() <= 4
    same = np.array([45.0, 110, 455, 150])
    assert (out_to_rules(page, same, 16) == same).all()
