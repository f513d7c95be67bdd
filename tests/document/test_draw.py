"""Drawings: sizes, and where the ink is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ptocr.document import draw

PAGE = np.full((120, 200, 3), 250, np.uint8)
QUAD = np.array([[20, 30], [180, 30], [180, 60], [20, 60]])


def ink(picture: Image.Image, left: int, top: int, right: int, bottom: int) -> int:
    """Dark pixels inside a box."""
    return int((np.asarray(picture.convert("L"))[top:bottom, left:right] < 100).sum())


def test_page_and_panel_side_by_side() -> None:
    picture = draw.draw_ocr(PAGE, [QUAD], ["Hello world"])
    assert picture.size == (400, 120)
    assert ink(picture, 224, 33, 376, 58) > 60  # the text, in its place on the right
    assert ink(picture, 200, 70, 400, 120) == 0  # and nowhere else
    tinted = np.asarray(picture)[45, 100]
    assert tinted.max() - tinted.min() > 30  # the region is tinted on the left
    assert np.asarray(picture)[100, 100].tolist() == [250, 250, 250]


def test_the_page_itself_is_not_changed() -> None:
    before = PAGE.copy()
    draw.draw_ocr(PAGE, [QUAD], ["x"])
    draw.draw_boxes(PAGE, [QUAD])
    np.testing.assert_array_equal(PAGE, before)


def test_text_stays_inside_its_region() -> None:
    """Long texts shrink, turned and upright regions are filled along their length."""
    shapes = [
        QUAD,
        np.array([[100, 10], [110, 10], [110, 110], [100, 110]]),
        np.array([[30, 60], [100, 10], [112, 28], [42, 78]]),
        np.array([[10, 20], [60, 10], [120, 14], [120, 40], [60, 36], [10, 46]]),
    ]
    for quad in shapes:
        for text in ("a", "A rather long line of text that must shrink to fit", "中文", ""):
            picture = draw.draw_ocr(PAGE, [quad], [text])
            x0, y0 = quad.min(axis=0) - 2
            x1, y1 = quad.max(axis=0) + 3
            right = np.asarray(picture.convert("L"))[:, 200:].copy()
            right[max(0, y0) : y1, max(0, x0) : x1] = 255
            assert right.min() == 255


def test_odd_regions_do_not_break_the_drawing() -> None:
    point = np.array([[5, 5]])
    polys = [point, np.repeat(point, 4, axis=0), QUAD - 500, QUAD * 50, QUAD + np.array([150, 80])]
    assert draw.draw_ocr(PAGE, polys, ["x"] * 5).size == (400, 120)
    assert draw.draw_ocr(PAGE, [], []).size == (400, 120)
    assert draw.draw_ocr(PAGE[:1, :1], [QUAD], ["x"]).size == (2, 1)
    with pytest.raises(ValueError, match="argument"):
        draw.draw_ocr(PAGE, [QUAD], [])


def test_boxes_are_outlined() -> None:
    picture = np.asarray(draw.draw_boxes(PAGE, [QUAD], color=(255, 0, 0)))
    assert picture[30, 100].tolist() == [255, 0, 0]
    assert picture[45, 100].tolist() == [250, 250, 250]


def test_colours_are_not_swapped() -> None:
    page = np.zeros((40, 40, 3), np.uint8)
    page[:] = (255, 0, 0)  # blue in BGR
    assert draw.to_picture(page).getpixel((0, 0)) == (0, 0, 255)
    assert draw.draw_boxes(page, []).getpixel((0, 0)) == (0, 0, 255)


def test_caption_and_row() -> None:
    captioned = draw.draw_caption(PAGE, "a caption that is wider than the picture itself, so it shrinks")
    assert captioned.width == 200
    assert captioned.height > 120
    assert ink(captioned, 0, 120, 200, captioned.height) > 20
    row = draw.draw_side_by_side([PAGE, PAGE[:50, :30]], ["one", "two"])
    assert row.size == (230, 145)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp", ".bmp", ".tif", ".gif"])
def test_encode(suffix: str) -> None:
    data = draw.encode(draw.to_picture(PAGE), suffix)
    assert Image.open(io.BytesIO(data)).size == (200, 120)


def test_encode_refuses_what_it_cannot_write() -> None:
    with pytest.raises(ValueError, match="svg"):
        draw.encode(draw.to_picture(PAGE), ".svg")
