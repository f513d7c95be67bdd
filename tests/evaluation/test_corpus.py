"""The proof that the scorer is right: it gives other systems' published scores from their published predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ptocr.evaluation import corpus as c
from ptocr.evaluation.text_metrics import calibration_error

pytest.importorskip("rapidfuzz")


def test_published_scores_are_reproduced(corpus: Path) -> None:
    published = json.loads((corpus / "peers" / "scores.json").read_text(encoding="utf-8"))
    truths, peers = c.load_truth(corpus), c.load_peers(corpus)
    assert set(peers) == set(published)
    for name, expected in published.items():
        ours = c.score(truths, peers[name])
        assert ours["summary"] == expected["summary"], name
        for key, scores in expected["files"].items():
            found = ours["files"][key]
            assert {metric: found[metric] for metric in scores} == scores, (name, key)
        assert set(ours["files"]) == set(expected["files"])


def test_published_table_is_reproduced(corpus: Path) -> None:
    truths = c.load_truth(corpus)
    summaries = {name: c.score(truths, lines)["summary"] for name, lines in c.load_peers(corpus).items()}
    rows = (corpus / "peers" / "scores.md").read_text(encoding="utf-8").splitlines()
    assert sorted(filter(None, c.markdown(summaries).splitlines())) == sorted(filter(None, rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A corpus of one complete page, one PDF of two pages and two lines."""
    truth = {
        "pages/a.png": {
            "kind": "screenshot", "lang": "en", "layout": "single", "complete": True,
            "lines": [{"text": "Hello “big” world"}, {"text": "x", "ignore": True}],
        },
        "pages/b.pdf": {
            "kind": "born-digital PDF", "lang": "zh", "layout": "single", "complete": True,
            "pages": [[{"text": "你好，世界"}], [{"text": "two"}]],
        },
        "lines/l.png": {"kind": "scene word crop", "lang": "en", "text": "AB CD", "ignore_case": True},
        "pages/blank.png": {"kind": "blank", "lang": "none", "layout": "blank", "complete": True, "lines": []},
    }  # fmt: skip
    (tmp_path / "truth.json").write_text(json.dumps(truth), encoding="utf-8")
    return tmp_path


def test_scores_counted_by_hand(folder: Path) -> None:
    truths = c.load_truth(folder)
    assert [t.key for t in truths] == ["pages/a.png", "pages/b.pdf#1", "pages/b.pdf#2", "lines/l.png"]
    read = {
        "pages/a.png": [{"text": 'Hello "big"'}, {"text": "word ******"}],
        "pages/b.pdf#1": [{"text": "你好,世畍"}],
        "lines/l.png": [{"text": "abcd"}],
    }
    result = c.score(truths, read)
    a = result["files"]["pages/a.png"]
    assert (a["word_recall"], a["word_precision"]) == (0.6667, 0.6667)  # hello, big | hello, big, word
    assert (a["char_recall"], a["char_f1"], a["cer"]) == (0.9333, 0.9655, 0.0667)  # 14 of 15, 2*14/29, one edit
    assert a["line_recall"] == 0.0
    assert result["files"]["pages/b.pdf#1"]["word_recall"] == 0.75  # full-width comma folded; 3 of 4 characters
    assert result["files"]["pages/b.pdf#2"]["cer"] == 1.0  # nothing predicted: all of it is missing
    line = result["files"]["lines/l.png"]
    assert (line["cer"], line["cer_nospace"], line["exact"], line["exact_nospace"]) == (0.2, 0.0, 0.0, 1.0)
    assert result["summary"]["ALL pages"]["files"] == 3
    assert result["summary"]["pages zh pdf"]["char_recall"] == 0.5  # 4 of 5 and 0 of 3, characters weigh alike


def test_predictions_survive_a_file(folder: Path) -> None:
    read = {"pages/b.pdf#1": [{"text": "你好", "score": 0.5, "box": [[0, 0], [1, 0], [1, 1], [0, 1]]}]}
    (folder / "peers").mkdir()
    c.save_predictions(folder / "peers" / "mine.json", "mine", read)
    (folder / "peers" / "other.json").write_text('{"settings": {}}', encoding="utf-8")
    assert c.load_peers(folder) == {"mine": read}
    assert c.load_predictions(folder / "peers" / "mine.json") == read


def test_predictions_of_another_form_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(c.InputError, match="files"):
        c.load_predictions(path)
    with pytest.raises(c.InputError, match=r"missing\.json"):
        c.load_predictions(tmp_path / "missing.json")


def test_calibration_error_counted_by_hand() -> None:
    assert calibration_error([0.95, 0.95, 0.95, 0.95], [True, True, True, False]) == pytest.approx(0.2)
    assert calibration_error([1.0, 0.05], [True, False]) == pytest.approx(0.025)  # two bins: 0 and 0.05 off
    assert calibration_error([], []) == 0.0


def test_lines_of_pages_are_right_when_the_page_says_so(folder: Path) -> None:
    truths = c.load_truth(folder)
    read = {
        "pages/a.png": [{"text": 'Hello "big"', "score": 0.9}, {"text": "w0rld", "score": 0.9}],
        "pages/b.pdf#1": [{"text": "你好,世界", "score": 0.9, "confidence": 1.0}, {"text": " ", "score": 0.1}],
        "lines/l.png": [{"text": "no page", "score": 0.9}],
    }
    assert c.calibration(truths, read, "score") == (pytest.approx(abs(2.7 - 2) / 3), 3)
    assert c.calibration(truths, read, "confidence") == (0.0, 1)
    assert c.calibration(truths, {}, "score") is None
