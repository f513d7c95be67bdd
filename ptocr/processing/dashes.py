"""The double dash of Chinese, `——`, which recognisers take for the numeral one, `一一`, once or twice."""

from __future__ import annotations

import re
from collections.abc import Sequence

SURE = 0.95  # a character that scores more stays
# Behind the end of a sentence, where the source of a quotation follows and hardly ever the adverb 一一.
_PAIR = re.compile("(?<=[。！？…；：」』”》）])(?:一一|一[—-]|[—-]一)(?![一—])")


def double_dashes(text: str, scores: Sequence[float]) -> str:
    """The text with `——` for pairs of strokes of which one or both were read as 一, neither of them surely.

    scores: probability of each character; a text of another length stays as it is.
    """
    if len(scores) != len(text):
        return text
    unsure = [match.start() for match in _PAIR.finditer(text) if max(scores[match.start() : match.end()]) < SURE]
    for place in unsure:
        text = f"{text[:place]}——{text[place + 2 :]}"
    return text
