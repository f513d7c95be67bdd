from __future__ import annotations

import json

import numpy as np
import pytest

from ptocr.processing.geometry import bounding_boxes
from ptocr.processing.words import split_words, word_boxes
from tests.data import processing_inputs as inputs

CASES = list(inputs.word_cases())


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: f"{i}-{CASES[i][0]}")
def test_word_boxes_equal_paddlex(golden: dict[str, np.ndarray], number: int) -> None:
    expected = json.loads(str(golden["words"]))[number]
    text, columns, steps, part, box = CASES[number]
    texts, quads = word_boxes(text, columns, steps * part, box)
    assert texts == expected["texts"]
    assert quads.tolist() == expected["quads"]
    assert bounding_boxes(list(quads)).tolist() == expected["boxes"]
    assert len(texts) == len(quads)


def test_split_words() -> None:
    text = "中文ab-1.5. x"
    words = split_words(text, range(10, 10 + len(text)))
    assert [("".join(w.characters), w.kind) for w in words] == [
        ("中文", "cn"),
        ("ab-1.5", "en&num"),
        (". ", "symbol"),
        ("x", "en&num"),
    ]
    assert [w.columns[0] for w in words] == [10, 12, 18, 20]
    assert split_words("", []) == []


def test_combined_glyphs_are_one_character() -> None:
    words = split_words(["ffi", "n"], [3, 5])
    assert words[0].characters == ["ffi", "n"]
    assert words[0].columns == [3, 5]


def test_no_text_no_words() -> None:
    texts, quads = word_boxes("", [], 40, np.array([[0, 0], [9, 0], [9, 5], [0, 5]]))
    assert texts == []
    assert quads.shape == (0, 4, 2)


def test_columns_must_match() -> None:
    with pytest.raises(ValueError, match="shorter"):
        split_words("abc", [1, 2])
