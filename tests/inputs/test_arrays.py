"""Arrays of every common layout become BGR uint8."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from ptocr.errors import InputError
from ptocr.inputs.arrays import blend_alpha, to_bgr

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (24, 31, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (24, 31), dtype=np.uint8)
GREY[0, :2] = 0, 255


def test_bgr_is_returned_as_it_is() -> None:
    assert to_bgr(COLOR) is COLOR


def test_layouts_agree_with_opencv() -> None:
    grey = cv2.cvtColor(GREY, cv2.COLOR_GRAY2BGR)
    np.testing.assert_array_equal(to_bgr(GREY), grey)
    np.testing.assert_array_equal(to_bgr(GREY[:, :, None]), grey)
    np.testing.assert_array_equal(to_bgr(COLOR[:, :, ::-1], order="rgb"), COLOR)
    opaque = cv2.cvtColor(COLOR, cv2.COLOR_BGR2BGRA)
    np.testing.assert_array_equal(to_bgr(opaque), COLOR)
    assert to_bgr(COLOR[:, ::2]).flags.c_contiguous


@pytest.mark.parametrize(
    "array",
    [
        GREY.astype(np.int64),
        GREY.astype(np.uint16) * 257,
        GREY.astype(np.uint16) << 4,
        GREY.astype(np.uint16) << 2,
        GREY.astype(">u2") * 257,
        GREY.astype(np.float32),
        GREY.astype(np.float64) / 255,
        GREY.astype(np.float16) / np.float16(255),
    ],
    ids=["int64", "16-bit", "12-bit", "10-bit", "big-endian", "float 0..255", "float 0..1", "half"],
)
def test_values_come_down_to_the_same_8_bits(array: np.ndarray) -> None:
    difference = np.abs(to_bgr(array)[:, :, 0].astype(int) - GREY)
    assert difference.max() <= (1 if array.dtype == np.float16 else 0)


def test_bool_is_black_and_white() -> None:
    assert set(np.unique(to_bgr(GREY > 127))) == {0, 255}


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 40, 50)), "transpose"),
        (np.zeros((2, 40, 50, 3)), "list"),
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (np.full((4, 4), -1), "-1"),
        (np.full((4, 4), 300.0), "300"),
        (np.full((4, 4), np.nan), "nan"),
        (np.array([["a"]]), "type"),
        (np.zeros(7), "shape"),
    ],
)
def test_what_has_no_meaning_is_refused(array: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        to_bgr(array, "picture 7")
    assert "picture 7" in str(caught.value)


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (40, 255), (220, 0)])
def test_transparent_text_stands_out(ink: int, paper: int) -> None:
    """Text drawn in one colour on nothing: the background is the far end of the scale, as Pillow would composite it."""
    alpha = np.zeros((60, 200), np.uint8)
    cv2.putText(alpha, "Text", (10, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.5, 255, 3, cv2.LINE_AA)
    color = np.full((60, 200, 3), ink, np.uint8)
    picture = Image.fromarray(np.dstack([color, alpha]), "RGBA")
    expected = Image.new("RGBA", picture.size, (paper,) * 3 + (255,))
    expected.alpha_composite(picture)
    actual = to_bgr(np.dstack([color, alpha]))
    assert np.abs(actual.astype(int) - np.asarray(expected.convert("RGB"))).max() <= 1


def test_text_decides_not_the_large_opaque_area() -> None:
    """Black text on transparency beside a white opaque block: only the text borders much on transparency."""
    alpha = np.zeros((200, 400), np.uint8)
    for row in range(20, 180, 20):
        cv2.putText(alpha, "many small words", (5, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    alpha[:, 220:] = 255
    color = np.zeros((200, 400, 3), np.uint8)
    color[:, 220:] = 255
    assert blend_alpha(color, alpha)[0, 0].tolist() == [255, 255, 255]


def test_constant_alpha_says_nothing() -> None:
    np.testing.assert_array_equal(to_bgr(np.dstack([COLOR, np.zeros_like(GREY)])), COLOR)
