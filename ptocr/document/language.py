"""Language tag of a text where its script tells: Korean, Japanese, Chinese, Thai ..., nothing for Latin letters."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

# BCP 47 tags by the first word of a letter's Unicode name; scripts of many languages are missing
_TAGS = {
    "CJK": "zh", "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "THAI": "th", "GREEK": "el", "TAMIL": "ta",
    "TELUGU": "te", "KANNADA": "kn",
}  # fmt: skip
_KANA = ("HIRAGANA", "KATAKANA")


def scripts(texts: Iterable[str]) -> Counter[str]:
    """How many letters of each script, by the first word of their Unicode names."""
    letters = (char for text in texts for char in text if char.isalpha())
    return Counter(unicodedata.name(char, "?").split()[0] for char in letters)


def language_of(letters: Counter[str]) -> str | None:
    """BCP 47 tag of the script that most letters have; Chinese characters among kana are Japanese."""
    counts = Counter(letters)
    kana = sum(counts[name] for name in _KANA)
    if 20 * kana > counts["CJK"] > 0:
        counts["HIRAGANA"] += counts.pop("CJK")
    most = counts.most_common(1)
    return _TAGS.get(most[0][0]) if most else None
