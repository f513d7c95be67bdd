"""Double dashes that were read as numerals, in readings of PP-OCRv6_small_rec of printed poems."""

from __future__ import annotations

import pytest

from ptocr.processing.dashes import double_dashes


@pytest.mark.parametrize(
    ("read", "scores", "printed"),
    [
        ("并是白纷纷。—一洪升《雪望》", (0.46, 0.56), "并是白纷纷。——洪升《雪望》"),
        ("千里暮云平。一一王维《观猎》", (0.86, 0.87), "千里暮云平。——王维《观猎》"),
        ("清明可到家。一—陆游", (0.45, 0.52), "清明可到家。——陆游"),
        ("请一一说明。", (0.7, 0.7), "请一一说明。"),  # the adverb
        ("说完了。一一对应的", (0.99, 0.99), "说完了。一一对应的"),  # surely read
        ("第一。一一一", (0.7, 0.7), "第一。一一一"),
        ("", (), ""),
    ],
)
def test_strokes_behind_a_sentence_are_a_dash(read: str, scores: tuple[float, ...], printed: str) -> None:
    place = read.find("。") + 1
    all_scores = [1.0] * len(read)
    all_scores[place : place + 2] = scores
    assert double_dashes(read, all_scores[: len(read)]) == printed


def test_scores_of_another_text_change_nothing() -> None:
    assert double_dashes("好。一一王维", [0.5]) == "好。一一王维"
