"""Pictures of formulas, and LaTeX from byte-level pieces."""

from __future__ import annotations

import numpy as np
import pytest

from ptocr.processing.formula import formula_input, from_bytes, tidied, without_margins
from ptocr.spec.settings import FormulaPreprocess

PRE = FormulaPreprocess(image_shape=(1, 96, 128))


def test_margins_go() -> None:
    image = np.full((60, 90, 3), 250, np.uint8)
    image[20:30, 40:70] = 10
    assert without_margins(image).shape == (10, 30, 3)
    assert without_margins(image[:5]).shape == (5, 90, 3), "a picture of one grey stays"


def test_a_picture_lies_in_the_middle_of_black() -> None:
    image = np.full((32, 64, 3), 255, np.uint8)
    image[:2], image[-2:], image[:, :2], image[:, -2:] = 0, 0, 0, 0
    made = formula_input(image, PRE)
    assert made.shape == (1, 96, 128) and made.dtype == np.float32
    black, white = -0.7931 / 0.1738, (1 - 0.7931) / 0.1738
    np.testing.assert_allclose(made[0, 48, 64], white, atol=1e-4)
    np.testing.assert_allclose(made[0, [5, -5], 64], black, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 30000, 3), (3000, 2, 3)])
def test_pictures_of_any_shape(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert formula_input(image, PRE).shape == (1, 96, 128)


def test_pieces_are_bytes() -> None:
    assert from_bytes("\\fracĠ{Ġa") == "\\frac { a"
    assert from_bytes("ä¸Ń") == "\u4e2d"
    assert from_bytes("ä¸") == "\ufffd"


def test_blanks_that_separate_nothing_go() -> None:
    assert tidied(r"\frac { a } { b + 1 }") == r"\frac{a}{b+1}"
    assert tidied(r"\alpha x \ y") == r"\alpha x\ y"
    assert tidied(r"\operatorname* { a r g m a x }  x") == r"\operatorname*{argmax}x"
