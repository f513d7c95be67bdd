"""Searchable PDF: what PDFium reads out of it, and where."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pypdfium2 as pdfium
import pytest
from PIL import ImageFont

from ptocr.document import invisible_font as font
from ptocr.document.results import OCRResult
from ptocr.document.writers import write_results
from ptocr.inputs.page import PdfPage


def quad(x: float, y: float, width: float, height: float = 30) -> np.ndarray:
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def turned(points: np.ndarray, degrees: float, center: tuple[float, float] = (400, 300)) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D(center, degrees, 1.0)
    return points @ matrix[:, :2].T + matrix[:, 2]


def page(*lines: tuple[str, np.ndarray], size: tuple[int, int] = (600, 800), **more: object) -> OCRResult:
    return OCRResult(
        image=np.full((*size, 3), 240, np.uint8),
        rec_texts=[text for text, _ in lines],
        rec_scores=[0.9] * len(lines),
        rec_polys=[poly for _, poly in lines],
        dt_polys=[poly for _, poly in lines],
        **more,  # type: ignore[arg-type]
    )


def written(folder: Path, *results: OCRResult) -> pdfium.PdfDocument:
    write_results(results, folder / "out.pdf")
    return pdfium.PdfDocument((folder / "out.pdf").read_bytes())


def text_of(document: pdfium.PdfDocument, number: int = 0) -> list[str]:
    text = document[number].get_textpage().get_text_range()
    return [line.rstrip("\n ") for line in text.replace("\r\n", "\r").split("\r")]


LINES = [
    ("Searchable text: 98.6% of lines", quad(50, 40, 420)),
    ("中文也可以搜索，标点。", quad(50, 90, 330)),
    ("Mixed 混合 text, with 1,024 numbers", quad(50, 140, 480)),
    ("日本語 한국어 Ελληνικά Кириллица é ß", quad(50, 190, 560)),
    ("self-", quad(50, 240, 70)),
    ("contained 𠀀 beyond the first plane", quad(50, 290, 500)),
]


def test_text_equals(tmp_path: Path) -> None:
    assert text_of(written(tmp_path, page(*LINES))) == [text for text, _ in LINES]


@pytest.mark.parametrize("measured", [False, True])
def test_lines_on_their_head_keep_the_order_of_words(tmp_path: Path, measured: bool) -> None:
    poly = quad(50, 40, 420)
    words = [quad(370, 40, 100), quad(230, 40, 100), quad(50, 40, 100)] if measured else []
    more = {"text_word": [["one", "two", "three"]], "text_word_region": [words]} if measured else {}
    result = page(("one two three", poly), textline_orientation_angles=[1], **more)
    assert result.page.lines[0].measured == measured
    assert text_of(written(tmp_path, result)) == ["one two three"]


def test_few_letters_in_a_wide_box_stay_on_their_line(tmp_path: Path) -> None:
    lines = [("to make a", quad(50, 50, 450)), ("wide and", quad(50, 90, 450)), ("end", quad(50, 130, 450))]
    assert text_of(written(tmp_path, page(*lines))) == ["to make a", "wide and", "end"]


def test_nothing_of_the_layer_is_seen(tmp_path: Path) -> None:
    document = written(tmp_path, page(*LINES))
    rendered = document[0].render(scale=1).to_numpy()
    assert np.abs(rendered.astype(int) - 240).max() <= 3


def test_the_picture_is_the_page(tmp_path: Path) -> None:
    result = page()
    assert result.image is not None
    result.image[100:200, 300:500] = (30, 60, 200)
    document = written(tmp_path, result)
    scale = 800 / document[0].get_size()[0]
    rendered = document[0].render(scale=scale).to_numpy()[:600, :800]  # a broken pixel more, or not
    assert np.abs(rendered.astype(int) - result.image).mean() < 2


@pytest.mark.parametrize("degrees", [0, 7, -20, 90, 180, 270])
def test_words_lie_where_they_stand(tmp_path: Path, degrees: float) -> None:
    """Every word within 4 points of its place: the box around its characters against the word's corners."""
    regions = [quad(150, 200 + 45 * i, width) for i, width in enumerate((420, 330, 480))]
    corners = [turned(region, degrees) for region in regions]
    if degrees in (90, 180, 270):  # detectors give corners from the upper left of the picture
        shift = {90: 1, 180: 2, 270: 3}[int(degrees)]
        corners = [np.roll(points, -shift, axis=0) for points in corners]
    texts = [text for text, _ in LINES[:3]]
    angles = [1 if degrees in (90, 180) else 0] * 3
    result = page(*zip(texts, corners, strict=True), textline_orientation_angles=angles)
    document = written(tmp_path, result)
    width, height = document[0].get_size()
    scale = width / 800
    textpage = document[0].get_textpage()
    whole = textpage.get_text_range()
    checked = 0
    for line in result.page.lines:
        for word in line.words:
            at = whole.find(word.text)
            assert at >= 0, (word.text, whole)
            boxes = np.array([textpage.get_charbox(i, loose=True) for i in range(at, at + len(word.text))])
            left, bottom, right, top = *boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)
            found = np.array([left, height - top, right, height - bottom])
            expected = np.array([*word.quad.min(axis=0), *word.quad.max(axis=0)]) * scale
            if degrees in (7, -20):  # boxes of slanted characters are larger than the characters
                found, expected = (found[:2] + found[2:]) / 2, (expected[:2] + expected[2:]) / 2
            assert np.abs(found - expected).max() < 4, (word.text, found, expected)
            checked += 1
    assert checked == 5 + 1 + 6


def test_recognised_word_places_are_used(tmp_path: Path) -> None:
    poly = quad(50, 40, 700)
    regions = [quad(50, 40, 60), quad(650, 40, 100)]
    result = page(("far apart", poly), text_word=[["far", "apart"]], text_word_region=[regions], return_word_box=True)
    document = written(tmp_path, result)
    scale = document[0].get_size()[0] / 800
    textpage = document[0].get_textpage()
    assert textpage.get_text_range() == "far apart"
    assert textpage.get_charbox(4, loose=True)[0] == pytest.approx(650 * scale, abs=1)


def test_search_finds_chinese(tmp_path: Path) -> None:
    textpage = written(tmp_path, page(*LINES))[0].get_textpage()
    assert textpage.search("搜索").get_next() is not None
    assert textpage.search("beyond the first").get_next() is not None


def test_pages_and_sizes(tmp_path: Path) -> None:
    document = written(
        tmp_path,
        page(LINES[0], size=(1200, 900), pdf=PdfPage((450.0, 600.0), 2.0)),  # came from a PDF: its size
        page(LINES[1], size=(3508, 2480)),  # a scan: as wide as A4
        page(size=(100, 300)),  # small and empty: a point per pixel
    )
    assert [tuple(round(side) for side in document[i].get_size()) for i in range(3)] == [
        (450, 600),
        (595, 842),
        (300, 100),
    ]
    assert text_of(document, 1) == [LINES[1][0]]
    assert document[2].get_textpage().count_chars() == 0


def test_many_characters(tmp_path: Path) -> None:
    """More characters than one block of a character table may hold."""
    lines = [
        ("".join(chr(0x4E00 + 20 * row + i) for i in range(20)), quad(20, 20 + 40 * row, 600)) for row in range(14)
    ]
    assert text_of(written(tmp_path, page(*lines))) == [text for text, _ in lines]


def test_a_result_without_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no picture"):
        written(tmp_path, OCRResult(input_path="a.png"))
    assert list(tmp_path.iterdir()) == []


def test_real_page(corpus: Path, tmp_path: Path) -> None:
    """All lines that another system read on a real page come out of the PDF again."""
    import json

    from ptocr.inputs.read import iter_pages

    name = "pages/multi_page_en.pdf"
    peers = json.loads((corpus / "peers" / "rapidocr-3.10.0.json").read_text(encoding="utf-8"))["files"]
    (source,) = iter_pages(corpus / name, page_range=[1], pdf_dpi=150)
    lines = peers[f"{name}#1"]["lines"]
    result = OCRResult(
        image=source.image,
        pdf=source.pdf,
        rec_texts=[line["text"] for line in lines],
        rec_scores=[line["score"] for line in lines],
        rec_polys=[np.array(line["box"]) for line in lines],
    )
    document = written(tmp_path, result)
    assert text_of(document) == [line.text for line in result.page.lines]
    assert source.pdf is not None
    assert document[0].get_size() == pytest.approx(source.pdf.size, abs=1)


# ---- the font ----


def test_font_opens_and_draws_nothing() -> None:
    built = ImageFont.truetype(io.BytesIO(font.font_bytes()), 100)
    assert built.getmetrics() == (80, 20)
    assert built.getname()[0] == "PtocrTextLayer"
    assert not np.asarray(built.getmask("\0abc")).any()


def test_the_file_has_the_advances_of_the_module() -> None:
    built = ImageFont.truetype(io.BytesIO(font.font_bytes()), font.UNITS, layout_engine=ImageFont.Layout.BASIC)
    assert built.getlength("a") == font.ADVANCES[0]  # the font maps no character: the glyph of missing ones
    assert (built.font.ascent, built.font.descent) == (font.ASCENT, font.DESCENT)
    assert built.font.glyphs == len(font.ADVANCES)


def test_font_by_fonttools() -> None:
    ttlib = pytest.importorskip("fontTools.ttLib")
    opened = ttlib.TTFont(io.BytesIO(font.font_bytes()), lazy=False, checkChecksums=2)
    assert [opened["hmtx"][name][0] for name in opened.getGlyphOrder()] == list(font.ADVANCES)
    for table in opened.keys():  # noqa: SIM118 (a font is no mapping)
        assert opened[table] is not None


def test_the_tool_makes_the_file(checkout: Path, tmp_path: Path) -> None:
    pytest.importorskip("fontTools")
    subprocess.run(
        [sys.executable, checkout / "tools" / "make_invisible_font.py", "--out", tmp_path / "made.ttf"],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        check=True,
    )
    assert (tmp_path / "made.ttf").read_bytes() == font.FONT_FILE.read_bytes()


def test_widths() -> None:
    assert font.width_of("中文") == 2.0
    assert font.width_of("il") < font.width_of("WM")
