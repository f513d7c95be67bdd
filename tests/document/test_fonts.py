"""Fonts for drawing: every character gets one that has it, and what is missing is told once and survived.

The test fonts (`tests/data/make_fonts.py`) have a few characters each and draw a high solid square for all others.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ptocr.document import draw, fonts
from ptocr.spec.model import WeightSource

PAGE = np.full((120, 200, 3), 250, np.uint8)
QUAD = np.array([[20, 30], [180, 30], [180, 60], [20, 60]])
SIZE = 100


def forget() -> None:
    """What is kept by path: two tests may be given folders of the same name."""
    fonts._shelf_of.cache_clear()
    for kept in (fonts._sized, fonts._has, fonts._missing):
        kept.cache_clear()


@pytest.fixture
def bare_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A system without any font and without a network; returns the folder where the user may put one."""
    monkeypatch.setattr(fonts, "_FOLDERS", ())
    monkeypatch.setenv("PTOCR_FONTS", str(tmp_path / "fonts"))
    monkeypatch.setenv("PTOCR_DOWNLOADS", str(tmp_path / "downloads"))
    monkeypatch.setenv("PTOCR_OFFLINE", "1")
    monkeypatch.delenv("PTOCR_FONT", raising=False)
    forget()
    yield tmp_path / "fonts"
    forget()


def put(checkout: Path, folder: Path, *names: str) -> None:
    """Copy test fonts."""
    folder.mkdir(exist_ok=True)
    for name in names:
        shutil.copy(checkout / "tests" / "data" / "fonts" / f"{name}.ttf", folder)


def pieces(text: str) -> list[tuple[str, str]]:
    return [(face.path.stem if face.path else "builtin", piece) for face, piece in fonts.runs(text)]


def drawn(text: str) -> np.ndarray:
    """Where ink is in a line of text at SIZE, its baseline in row 100."""
    picture = Image.new("L", (1200, 150), 255)
    fonts.draw_text(ImageDraw.Draw(picture), (0, 70), text, SIZE)
    return np.asarray(picture) < 128


def boxes(ink: np.ndarray) -> int:
    """Squares of missing characters: their upper edges reach higher than any letter."""
    row = ink[30].astype(int)
    return int((np.diff(row, prepend=0) == 1).sum())


@pytest.mark.parametrize("order", [("han", "latin", "hangul"), ("latin", "hangul", "han")])
def test_every_run_gets_a_font_that_has_it(checkout: Path, bare_system: Path, order: tuple[str, ...]) -> None:
    """A font with Chinese but no Latin letters must not draw the Latin ones, wherever it stands in the list."""
    for number, name in enumerate(order):
        put(checkout, bare_system, name)
        (bare_system / f"{name}.ttf").rename(bare_system / f"{number}.ttf")
    found = [(order[int(stem)], piece) for stem, piece in pieces("Hello 你好 한국어")]
    assert found == [("latin", "Hello "), ("han", "你好 "), ("hangul", "한국어")]
    ink = drawn("Hello 你好 한국어")
    assert boxes(ink) == 0
    assert ink[60:100].any(axis=0).sum() > 300


def test_marks_stay_with_their_letter(checkout: Path, bare_system: Path) -> None:
    put(checkout, bare_system, "latin", "thai")
    assert pieces("He\u0e01\u0e34, 12") == [("latin", "He"), ("thai", "\u0e01\u0e34"), ("latin", ", 12")]


def test_right_to_left_lines_begin_at_the_right(checkout: Path, bare_system: Path) -> None:
    put(checkout, bare_system, "latin", "arabic")
    word = "\u0633\u0644\u0627\u0645"
    assert pieces(f"{word} 12") == [("arabic", f"{word} "), ("latin", "12")]
    mixed, digits = drawn(f"{word} 12"), drawn("12")
    width = round(fonts.text_length("12", SIZE))
    np.testing.assert_array_equal(mixed[:, :width], digits[:, :width])


def test_a_missing_character_is_told_once_for_its_script(
    checkout: Path, bare_system: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(checkout, bare_system, "latin")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert boxes(drawn("He 한국 lo")) == 1  # two squares side by side
            drawn("你")
    told = [record.message for record in caplog.records]
    assert len(told) == 2
    assert "HANGUL" in told[0]
    assert str(bare_system) in told[0]
    assert "CJK" in told[1]


def test_no_font_at_all_is_survived(bare_system: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        picture = draw.draw_ocr(PAGE, [QUAD, QUAD + 20], ["Hello", "中文"])
    assert (np.asarray(picture.convert("L"))[:, 200:] < 100).sum() > 20
    assert len(caplog.records) == 1
    assert fonts.find_font() is None


def test_a_font_in_the_users_folder_is_taken(checkout: Path, bare_system: Path) -> None:
    put(checkout, bare_system, "latin")
    (bare_system / "broken.ttf").write_bytes(b"no font")
    assert fonts.find_font() == bare_system / "latin.ttf"


def test_the_variable_comes_first(
    checkout: Path, bare_system: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(checkout, bare_system, "han")
    mine = bare_system.parent / "mine.ttf"
    shutil.copy(checkout / "tests" / "data" / "fonts" / "latin.ttf", mine)
    monkeypatch.setenv("PTOCR_FONT", str(mine))
    assert fonts.find_font() == mine
    monkeypatch.setenv("PTOCR_FONT", "/nowhere.ttf")
    assert fonts.find_font() == bare_system / "han.ttf"
    assert "/nowhere.ttf" in caplog.text


# ---- fetching ----


def wheel(checkout: Path, downloads: Path, damaged: bool = False) -> WeightSource:
    """A wheel with the Korean test font, as the package index would give it; kept where downloads are looked for."""
    downloads.mkdir(exist_ok=True)
    path = downloads / "test_font-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(checkout / "tests" / "data" / "fonts" / "hangul.ttf", "test_font/hangul.ttf")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if damaged:
        path.write_bytes(path.read_bytes() + b"x")
    return WeightSource(
        kind="pip", location="test-font==1.0", sha256=digest, member="test_font/hangul.ttf", format="font"
    )


def test_a_font_that_nobody_has_is_fetched_and_kept(
    checkout: Path, bare_system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(checkout, bare_system, "latin")
    monkeypatch.setitem(fonts._FETCHED, "HANGUL", wheel(checkout, bare_system.parent / "downloads"))
    assert pieces("He 한국어") == [("latin", "He "), ("hangul", "한국어")]
    assert sorted(path.name for path in bare_system.iterdir()) == ["hangul.ttf", "latin.ttf"]
    shutil.rmtree(bare_system.parent / "downloads")
    fonts._shelf_of.cache_clear()
    assert pieces("한") == [("hangul", "한")]


def test_a_damaged_wheel_is_not_used(
    checkout: Path, bare_system: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(checkout, bare_system, "latin")
    monkeypatch.setitem(fonts._FETCHED, "HANGUL", wheel(checkout, bare_system.parent / "downloads", damaged=True))
    with caplog.at_level(logging.INFO):
        assert boxes(drawn("한")) == 1
    assert "sha256" in caplog.text
    assert [path.name for path in bare_system.iterdir()] == ["latin.ttf"]


@pytest.mark.net
def test_each_script_that_we_read_can_be_drawn(
    bare_system: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """From nothing, over the package index: no script of our recognisers but Kannada is left without a font."""
    monkeypatch.delenv("PTOCR_OFFLINE")
    monkeypatch.delenv("PTOCR_DOWNLOADS")
    samples = (
        "Hello", "ĂșǾ", "Ελληνικά", "Кириллица", "简体中文", "繁體", "日本語かな", "한국어", "العربية",
        "हिन्दी", "தமிழ்", "తెలుగు", "ภาษาไทย",
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        found = {sample: fonts.runs(sample) for sample in samples}
    # a first download is announced; nothing else may be said
    assert not [record for record in caplog.records if not record.getMessage().startswith("fetching ")]
    for sample, parts in found.items():
        assert len({face for face, _ in parts}) == 1, sample
        assert all(face.has(char) for face, piece in parts for char in piece), sample
    ttlib = pytest.importorskip("fontTools.ttLib")
    for sample, [(face, _)] in found.items():
        if face.path is not None:
            font = ttlib.TTFont(face.path, fontNumber=face.index, lazy=True)
            assert not set(map(ord, sample)) - set(font.getBestCmap()), sample
