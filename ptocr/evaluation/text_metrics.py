"""What counts as the same text: folding, words, and the counts that every score is made of."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

# Marks that printers and label files use for one another -> one of them.
_FOLDED = str.maketrans({c: to for to, marks in {"'": "‘’‚‛′`´", '"': "“”„‟″", "-": "‐‑‒–—―−"}.items() for c in marks})
_RULE = re.compile(r"([*.·_=-])\1{4,}")  # a row of one mark is a drawn line, not text
_CJK = "\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_CJK}]|[^\\W_{_CJK}]+")
_SPACE = re.compile(r"\s+")
_FORMULA = re.compile(r"\$([^$]*[\\^_{][^$]*)\$|\\\((.*?)\\\)")


def fold(text: str, ignore_case: bool = False) -> str:
    """`text` with width, quotes and dashes made alike, drawn lines left out and runs of space as one."""
    text = unicodedata.normalize("NFKC", text).translate(_FOLDED)
    return _SPACE.sub(" ", _RULE.sub("", text.lower() if ignore_case else text)).strip()


def without_space(text: str) -> str:
    """`text` without any white space."""
    return _SPACE.sub("", text)


def from_latex(text: str) -> str:
    """`text` with the formulas in it as characters: `$\\pm$` is ±. A dollar sign that begins none stays."""
    if not _FORMULA.search(text):
        return text
    from pylatexenc.latex2text import LatexNodes2Text

    reader = LatexNodes2Text(math_mode="text", strict_latex_spaces=False)
    return _FORMULA.sub(lambda m: reader.latex_to_text(m[1] or m[2], tolerant_parsing=True), text)


def letters(text: str) -> str:
    """The letters and digits of a text alone, as OmniDocBench compares texts."""
    return "".join(re.findall(r"[^\W_]+", fold(from_latex(text))))


def words(lines: Iterable[str]) -> Counter[str]:
    """The words of `lines` and how often each occurs: runs of letters and digits; a CJK character is one word."""
    return Counter(word for line in lines for word in _WORD.findall(line))


def common(a: Counter[str], b: Counter[str]) -> int:
    """How many members two multisets share."""
    return (a & b).total()


def edits(a: str | Sequence[int], b: str | Sequence[int]) -> int:
    """Levenshtein distance of two strings, or of two lists of numbers."""
    from rapidfuzz.distance import Levenshtein

    return int(Levenshtein.distance(a, b))


def page_counts(truth: Sequence[str], read: Sequence[str], spaced: bool, complete: bool, ordered: bool) -> Counter[str]:
    """Counts for one page from folded lines; counts of several pages add up, `page_scores` turns them into scores.

    spaced: the truth has spaces, so words can be compared. complete: the truth covers the whole picture, so what was
    read beyond it is wrong. ordered: the order of the lines is known, so an edit distance means something.
    """
    text, found = without_space("".join(truth)), without_space("".join(read))
    characters = common(Counter(text), Counter(found))
    counts = Counter(characters_hit=characters, characters=len(text), files=1, lines=len(truth))
    counts["lines_hit"] = common(Counter(map(without_space, truth)), Counter(map(without_space, read)))
    if spaced:
        expected, seen = words(truth), words(read)
        hit = common(expected, seen)
        counts.update(words_hit=hit, words=expected.total())
        if complete:
            counts.update(words_right=hit, words_read=seen.total())
    if complete:
        counts.update(characters_right=characters, characters_both=len(text) + len(found))
    if ordered:
        counts.update(edits=edits(text, found), characters_ordered=len(text), cer_pages=1)
    return counts


def page_scores(counts: Counter[str]) -> dict[str, float | None]:
    """Scores in 0..1 of one page or of many pages together (every word weighs the same); None where undefined."""
    return {
        "word_recall": _ratio(counts["words_hit"], counts["words"]),
        "word_precision": _ratio(counts["words_right"], counts["words_read"]),
        "char_recall": _ratio(counts["characters_hit"], counts["characters"]),
        "char_f1": _ratio(2 * counts["characters_right"], counts["characters_both"]),
        "line_recall": _ratio(counts["lines_hit"], counts["lines"]),
        "cer": _ratio(counts["edits"], counts["characters_ordered"]),
    }


def line_counts(truth: str, read: str) -> Counter[str]:
    """Counts for one cropped line from folded texts; `line_scores` turns sums of them into scores."""
    close, near = without_space(truth), without_space(read)
    distance, close_distance = edits(truth, read), edits(close, near)
    counts = Counter(files=1, edits=distance, characters=len(truth))
    counts.update(edits_close=close_distance, characters_close=len(close))
    counts.update(exact=int(truth == read), exact_close=int(close == near))
    # Kept in whole numbers (millionths of a millionth), so that sums do not depend on their order.
    counts["likeness"] = round(1e12 * (1 - distance / max(len(truth), len(read), 1)))
    return counts


def line_scores(counts: Counter[str]) -> dict[str, float | None]:
    """Scores in 0..1 of one line or of many: character error rates over all characters, the rest means over lines."""
    likeness = _ratio(counts["likeness"], counts["files"])
    return {
        "cer": _ratio(counts["edits"], counts["characters"]),
        "cer_nospace": _ratio(counts["edits_close"], counts["characters_close"]),
        "one_minus_ned": None if likeness is None else likeness / 1e12,
        "exact": _ratio(counts["exact"], counts["files"]),
        "exact_nospace": _ratio(counts["exact_close"], counts["files"]),
    }


def calibration_error(probabilities: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error (Guo et al. 2017): how far probabilities are from how often things are right.

    Things are put into bins of equal width by their probability; the error is the mean over the bins, by their sizes,
    of |mean probability - share of right ones|.
    """
    placed: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for probability, hit in zip(probabilities, right, strict=True):
        placed[min(int(probability * bins), bins - 1)].append((probability, hit))
    off = sum(abs(sum(p for p, _ in rows) - sum(hit for _, hit in rows)) for rows in placed.values())
    return off / max(1, len(right))


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
