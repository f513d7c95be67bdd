"""Dictionaries read as upstream reads them, and texts as the CTC layer gives them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from ptocr import paths
from ptocr.errors import SpecError
from ptocr.spec.vocabulary import LAYOUTS, Vocabulary

# one character per class; what is between two line feeds is a class, whatever it looks like
ODD = ["a", "", " ", "\u3000", "龠 ", "懮!", "\t", "p\t", "\u2028", "\x85", "\x0b", "\x0c", "\u200b", "🇩🇪", "a", "b"]


def upstream_lines(path: Path) -> list[str]:
    """What BaseRecLabelDecode of PaddleOCR 2.x makes of a file: binary lines, decoded, line ends stripped."""
    with path.open("rb") as stream:
        return [line.decode("utf-8").strip("\n").strip("\r\n") for line in stream.readlines()]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("last", [True, False], ids=["closed", "open"])
def test_odd_lines_are_classes(tmp_path: Path, end: str, last: bool) -> None:
    path = tmp_path / "dict.txt"
    path.write_bytes((end.join(ODD) + (end if last else "")).encode())
    charset = Vocabulary.load(path, space=False)
    assert list(charset.characters) == ODD == upstream_lines(path)
    assert Vocabulary.load(path, space=True).characters == (*ODD, " ")
    assert charset.classes == len(ODD) + 1


@pytest.mark.parametrize("path", sorted((paths.configs() / "charsets").glob("*.txt")), ids=lambda p: p.stem)
def test_official_dictionaries(path: Path) -> None:
    assert list(Vocabulary.load(path, space=False).characters) == upstream_lines(path)


def test_blank_lines_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "dict.txt"
    path.write_bytes(b"a\n\n\n")
    assert list(Vocabulary.load(path, space=False).characters) == upstream_lines(path) == ["a", "", ""]
    path.write_bytes(b"")
    assert Vocabulary.load(path, space=False).characters == ()


def test_byte_order_mark_is_no_character(tmp_path: Path) -> None:
    path = tmp_path / "dict.txt"
    path.write_bytes(b"\xef\xbb\xbfa\nb\n")
    assert Vocabulary.load(path, space=False).characters == ("a", "b")


def test_unreadable_dictionaries(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.txt: there is no such"):
        Vocabulary.load(tmp_path / "none.txt")
    path = tmp_path / "gbk.txt"
    path.write_bytes("汉\n字\n".encode("gbk"))
    with pytest.raises(SpecError, match=r"gbk\.txt: not a UTF-8"):
        Vocabulary.load(path)
    with pytest.raises(SpecError, match="entry 2 is None"):
        Vocabulary(("a", None))  # type: ignore[arg-type]


def test_encode() -> None:
    """Unknown characters are dropped; of equal ones the last class is meant, so a text's space is the added one."""
    charset = Vocabulary.from_lines([" ", "a", "b", "a"], space=True)
    assert charset.encode("a b?") == [4, 5, 3]
    assert "a" in charset
    assert "?" not in charset


def test_decode() -> None:
    charset = Vocabulary.from_lines(["a", "b", "一"], space=True)
    steps = [0, 1, 1, 0, 1, 2, 2, 4, 3, 0]
    scores = [0.9, 0.5, 0.7, 0.9, 0.6, 0.8, 0.1, 0.4, 0.2, 1.0]
    text = charset.decode(steps, scores)
    assert text.text == "aab 一"
    assert text.columns.tolist() == [1, 4, 5, 7, 8]
    np.testing.assert_allclose(text.char_scores, [0.5, 0.6, 0.8, 0.4, 0.2], rtol=1e-6)
    assert text.score == pytest.approx(0.5)


def test_decode_nothing() -> None:
    charset = Vocabulary(("a",))
    for steps in ([], [0, 0, 0]):
        text = charset.decode(np.array(steps, dtype=np.int64), np.ones(len(steps)))
        assert (text.text, text.score, len(text.columns)) == ("", 0.0, 0)


def test_an_empty_entry_reads_as_nothing() -> None:
    assert Vocabulary(("a", "", "b")).decode([1, 2, 3], [1.0, 1.0, 1.0]).text == "ab"


def test_texts_are_rewritten_as_they_are_read() -> None:
    assert Vocabulary(tuple("abc"), "attention").rewritten("cab d") == "cab d"
    assert Vocabulary(tuple("abc"), "counts").rewritten("caxb") == "abcx"
    formula = Vocabulary(("eos", "sos", "x", "^", "2"), "can")
    assert formula.rewritten(" x  ^ 2 ") == "x ^ 2"
    assert formula.label("x ^ 2", 5) == [2, 3, 4, 0, 0] and formula.label("x ^ 2 x x", 5) is None


def test_right_to_left_scripts_read_backwards_but_for_latin_and_digits() -> None:
    """As upstream's pred_reverse: ab 12 stays, the letters around it turn."""
    charset = Vocabulary(tuple("abنمل12 "), right_to_left=True)
    line = charset.encode("نم ab12لن")
    steps = [step for index in line for step in (index, 0)]
    found = charset.decode(steps, [0.9 - 0.01 * n for n in range(len(steps))])
    assert found.text == "نل ab12من"
    assert [steps[c] for c in found.columns] == charset.encode(found.text)
    assert Vocabulary(charset.characters).decode(steps, [0.9] * len(steps)).text == "نم ab12لن"


# ------------------------------------------------------------------------------------- layouts, against PaddleOCR's own

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "vocabulary.json").read_text(encoding="utf-8"))
GOLDEN["counts"] = GOLDEN["attention"]  # upstream's encoders of RFL and of attention decoders are alike
WRITTEN = ("blank", "<unk>", "<s>", "<UKN>", "padding", "unknown")  # special tokens that PaddleOCR writes into texts


# PGNet's class is not of the kind of recognisers'; tests/processing/test_pgnet.py compares its texts.
@pytest.fixture(params=[name for name in LAYOUTS if not LAYOUTS[name].listed and name not in ("pgnet", "visionlan")])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def official(layout: str) -> Vocabulary:
    return Vocabulary.from_lines(GOLDEN["characters"], space=True, layout=layout)


def test_special_tokens_stand_where_official_ones_do(layout: str) -> None:
    vocabulary, entries = official(layout), GOLDEN[layout]["dictionary"]
    assert vocabulary.classes == len(entries) == vocabulary.counts[layout]
    assert [i for i, entry in enumerate(entries) if entry == ""] == sorted(set(vocabulary._tokens.values()))
    assert tuple(entries[vocabulary.first :][: len(vocabulary.characters)]) == vocabulary.characters


def test_labels_equal_official(layout: str) -> None:
    made = [official(layout).label(text, GOLDEN["length"]) for text in GOLDEN["texts"]]
    longest = GOLDEN["length"] - 2
    for text, ours, theirs in zip(GOLDEN["texts"], made, GOLDEN[layout]["labels"], strict=True):
        # two of upstream's encoders refuse one length more than would fit
        strict = layout in ("vitstr", "parseq") and len(text) == longest and theirs is None
        foreign = layout == "pren" and theirs is not None and official(layout).token("unknown") in theirs
        assert strict or foreign or ours == theirs  # PREN's learns characters that it does not know
    assert None in made and [] not in made


def test_texts_equal_official(layout: str) -> None:
    """But for special tokens within a text, which read as nothing here."""
    golden, equal = GOLDEN[layout], 0
    for classes, probs, (text, score) in zip(golden["rows"], golden["probs"], golden["read"], strict=True):
        found = official(layout).decode(classes, probs)
        wanted = re.sub("|".join(WRITTEN), "", text)
        assert found.text == wanted
        assert (found.spans is not None) == (layout == "ctc")
        if wanted == text and (text or layout != "pren"):  # an empty line scores 1 with PREN
            assert found.score == pytest.approx(score or 0.0, abs=1e-6)
            equal += 1
    assert equal >= 10 and any(len(text) > 6 for text, _ in golden["read"])


def test_formulas_equal_official() -> None:
    """The dictionary of CAN names its end and its start itself; entries are joined by spaces."""
    golden = GOLDEN["can"]
    vocabulary = Vocabulary(tuple(golden["characters"]), "can")
    assert vocabulary.classes == len(golden["characters"]) and vocabulary.token("end") == 0
    for text, label in zip(golden["texts"], golden["labels"], strict=True):
        assert vocabulary.label(text, 8) == label + [0] * (8 - len(label))
    found = [vocabulary.decode(row, np.ones(len(row))).text for row in golden["rows"]]
    assert found == golden["read"] and any(" " in text for text in found)
    assert vocabulary.decode([1, 5, 1, 0, 6], np.ones(5)).text == golden["characters"][5]


def test_a_label_reads_back(layout: str) -> None:
    vocabulary = official(layout)
    label = vocabulary.label("ab%一", 12)
    assert label is not None and len(label) == 12
    shown = label[1:] if layout == "sar" else label  # its start is its end, and predictions have no start
    assert vocabulary.decode(shown, np.ones(len(shown))).text == "ab%一"


def test_spans_are_shares_of_the_line() -> None:
    """Of ten steps the line fills the first five."""
    spans = Vocabulary(("a", "b")).decode([0, 1, 1, 0, 2, 0, 0, 0, 0, 0], np.ones(10), share=0.5).spans
    assert spans is not None and len(spans) == 2
    np.testing.assert_allclose(spans.fractions, [[0.2, 0.4], [0.8, 1.0]])
    np.testing.assert_allclose(spans.centers, [0.3, 0.9])


def test_unknown_layouts_and_tokens() -> None:
    with pytest.raises(SpecError, match="unknown layout 'abc'; known: ctc, attention, counts, nrtr, sar"):
        Vocabulary(("a",), "abc")
    with pytest.raises(SpecError, match="'ctc' has no 'start'; it has blank, pad"):
        Vocabulary(("a",)).token("start")


def test_visionlans_score_is_the_geometric_mean_with_the_end() -> None:
    """Against PaddleOCR 2.10's VLLabelDecode; it looks at 25 of the 26 positions, whatever the last one reads."""
    logits = np.random.RandomState(3).standard_normal((26, 3, 37)).astype(np.float32) * 2
    logits[:, :, 0] -= 3
    logits[7, 1, 0] = logits[3, 2, 0] = 12  # two of the lines end
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    charset = Vocabulary(tuple("0123456789abcdefghijklmnopqrstuvwxyz"), layout="visionlan")
    lines = [charset.decode(probs[:25, i].argmax(-1), probs[:25, i].max(-1)) for i in range(3)]
    assert [line.text for line in lines] == ["ujb9gx63r69k9r2p40cz67u7i", "vfppi7j", "orn"]
    scores = [0.3526766300201416, 0.32209980487823486, 0.436560720205307]
    np.testing.assert_allclose([line.score for line in lines], scores, rtol=1e-5)
