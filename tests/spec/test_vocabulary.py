"""Dictionaries read as upstream reads them, and texts as the CTC layer gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptocr import paths
from ptocr.errors import SpecError
from ptocr.spec.vocabulary import Charset

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
    charset = Charset.load(path, space=False)
    assert list(charset.characters) == ODD == upstream_lines(path)
    assert Charset.load(path, space=True).characters == (*ODD, " ")
    assert charset.classes == len(ODD) + 1


@pytest.mark.parametrize("path", sorted((paths.configs() / "charsets").glob("*.txt")), ids=lambda p: p.stem)
def test_official_dictionaries(path: Path) -> None:
    assert list(Charset.load(path, space=False).characters) == upstream_lines(path)


def test_blank_lines_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "dict.txt"
    path.write_bytes(b"a\n\n\n")
    assert list(Charset.load(path, space=False).characters) == upstream_lines(path) == ["a", "", ""]
    path.write_bytes(b"")
    assert Charset.load(path, space=False).characters == ()


def test_byte_order_mark_is_no_character(tmp_path: Path) -> None:
    path = tmp_path / "dict.txt"
    path.write_bytes(b"\xef\xbb\xbfa\nb\n")
    assert Charset.load(path, space=False).characters == ("a", "b")


def test_unreadable_dictionaries(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.txt: there is no such"):
        Charset.load(tmp_path / "none.txt")
    path = tmp_path / "gbk.txt"
    path.write_bytes("汉\n字\n".encode("gbk"))
    with pytest.raises(SpecError, match=r"gbk\.txt: not a UTF-8"):
        Charset.load(path)
    with pytest.raises(SpecError, match="entry 2 is None"):
        Charset(("a", None))  # type: ignore[arg-type]


def test_encode() -> None:
    """Unknown characters are dropped; of equal ones the last class is meant, so a text's space is the added one."""
    charset = Charset.from_lines([" ", "a", "b", "a"], space=True)
    assert charset.encode("a b?") == [4, 5, 3]
    assert "a" in charset
    assert "?" not in charset


def test_decode() -> None:
    charset = Charset.from_lines(["a", "b", "一"], space=True)
    steps = [0, 1, 1, 0, 1, 2, 2, 4, 3, 0]
    scores = [0.9, 0.5, 0.7, 0.9, 0.6, 0.8, 0.1, 0.4, 0.2, 1.0]
    text = charset.decode_ctc(steps, scores)
    assert text.text == "aab 一"
    assert text.columns.tolist() == [1, 4, 5, 7, 8]
    np.testing.assert_allclose(text.char_scores, [0.5, 0.6, 0.8, 0.4, 0.2], rtol=1e-6)
    assert text.score == pytest.approx(0.5)


def test_decode_nothing() -> None:
    charset = Charset(("a",))
    for steps in ([], [0, 0, 0]):
        text = charset.decode_ctc(np.array(steps, dtype=np.int64), np.ones(len(steps)))
        assert (text.text, text.score, len(text.columns)) == ("", 0.0, 0)


def test_an_empty_entry_reads_as_nothing() -> None:
    assert Charset(("a", "", "b")).decode_ctc([1, 2, 3], [1.0, 1.0, 1.0]).text == "ab"


def test_right_to_left_scripts_read_backwards_but_for_latin_and_digits() -> None:
    """As upstream's pred_reverse: ab 12 stays, the letters around it turn."""
    charset = Charset(tuple("abنمل12 "), right_to_left=True)
    line = charset.encode("نم ab12لن")
    steps = [step for index in line for step in (index, 0)]
    found = charset.decode_ctc(steps, [0.9 - 0.01 * n for n in range(len(steps))])
    assert found.text == "نل ab12من"
    assert [steps[c] for c in found.columns] == charset.encode(found.text)
    assert Charset(charset.characters).decode_ctc(steps, [0.9] * len(steps)).text == "نم ab12لن"
