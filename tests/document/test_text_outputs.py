"""Text, Markdown, TSV, JSON, hOCR, ALTO: structure against what their formats ask for."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ptocr.document.results import OCRResult
from ptocr.document.writers import SUFFIXES, suffix_of, write_results
from ptocr.document.writers.write import _compact

XHTML = "{http://www.w3.org/1999/xhtml}"
ALTO = "{http://www.loc.gov/standards/alto/ns-v4#}"
TEXTS = [
    "Invoice <7> & “more” 发票",
    "first line of the para-",
    "graph goes on",
    "and ends *here*",
    "Tea",
    "1.50",
    "Rice",
    "22.00",
]


def quad(x: int, y: int, width: int, height: int = 20) -> np.ndarray:
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def page(number: int | None = None) -> OCRResult:
    polys = [
        quad(40, 20, 300, 44),
        *(quad(40, 100 + 26 * i, 420) for i in range(3)),
        *(quad(x, 240 + 26 * row, 60) for row in range(2) for x in (40, 400)),
    ]
    return OCRResult(
        input_path='scans/a "b" 页.png',
        page_index=number,
        image=np.full((320, 500, 3), 255, np.uint8),
        dt_polys=polys,
        rec_texts=list(TEXTS),
        rec_scores=[0.9 - 0.01 * i for i in range(len(polys))],
        rec_polys=polys,
    )


def empty() -> OCRResult:
    return OCRResult(input_path="blank.png", image=np.zeros((30, 40, 3), np.uint8))


def write(folder: Path, name: str, *results: OCRResult) -> str:
    (path,) = write_results(iter(results), folder / name)
    return path.read_text(encoding="utf-8")


def test_txt(tmp_path: Path) -> None:
    text = write(tmp_path, "out.txt", page(0), empty(), page(1))
    pages = text.split("\f")
    assert len(pages) == 3
    assert pages[0].split("\n")[:6] == [TEXTS[0], "", *TEXTS[1:4], ""]
    assert "Tea  1.50\nRice  22.00" in pages[0]
    assert pages[1].strip() == ""


def test_markdown(tmp_path: Path) -> None:
    text = write(tmp_path, "out.md", page())
    assert text.startswith("# Invoice \\<7\\> & “more” 发票\n\n")
    assert "first line of the paragraph goes on and ends \\*here\\*\n" in text
    assert "| Tea | 1.50 |\n| --- | --- |\n| Rice | 22.00 |" in text


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("# no heading", "\\# no heading"),
        ("1. no list", "1\\. no list"),
        ("- no list", "\\- no list"),
        ("3.14", "3.14"),
    ],
)
def test_markdown_keeps_plain_text_plain(tmp_path: Path, raw: str, escaped: str) -> None:
    result = OCRResult(rec_texts=[raw], rec_scores=[1.0], rec_polys=[quad(0, 0, 90)])
    assert write(tmp_path, "out.md", result) == escaped + "\n"


def test_tsv_is_tesseracts(tmp_path: Path) -> None:
    text = write(tmp_path, "out.tsv", page(), empty())
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert {row["level"] for row in rows} == {"1", "2", "3", "4", "5"}
    words = [row for row in rows if row["level"] == "5"]
    assert " ".join(row["text"] for row in words) == " ".join(TEXTS)
    assert all(0 <= float(row["conf"]) <= 100 for row in words)
    assert {row["conf"] for row in rows if row["level"] != "5"} == {"-1"}
    assert [(r["page_num"], r["width"], r["height"]) for r in rows if r["level"] == "1"] == [
        ("1", "500", "320"),
        ("2", "40", "30"),
    ]
    tea = next(row for row in words if row["text"] == "Tea")
    assert (tea["left"], tea["top"], tea["width"], tea["height"]) == ("40", "240", "60", "20")


def test_json(tmp_path: Path) -> None:
    data = json.loads(write(tmp_path, "out.json", page(0), empty()))
    assert [entry["rec_texts"] for entry in data] == [TEXTS, []]
    assert data[0] == page(0).json["res"]


def test_json_keeps_points_and_numbers_on_one_line(tmp_path: Path) -> None:
    result = page(0)
    lines = write(tmp_path, "out.json", result).splitlines()
    assert "   [[40, 20], [340, 20], [340, 64], [40, 64]]," in lines
    assert sum('"rec_scores": [0.9, 0.89, ' in line for line in lines) == 1
    assert len(lines) < 70 < len(json.dumps(result.json["res"], indent=1).splitlines()) / 4
    odd = [{"a": [], "b": {}, "c": [[1, [2, "x"]]], "d": [[]], "e": [1, None], "f": "[\n 1"}]
    assert json.loads(_compact(odd)) == odd


# ---- what is unsure is left out ----

UNSURE = OCRResult(
    input_path="page.png",
    image=np.full((200, 300, 3), 255, np.uint8),
    rec_texts=["certain", "", "noise", "limit"],
    rec_scores=[0.9, 0.0, 0.49, 0.5],
    rec_polys=[quad(10, 10 + 40 * i, 90) for i in range(4)],
)


@pytest.mark.parametrize("name", ["out.txt", "out.md", "out.tsv", "out.hocr", "out.alto.xml"])
def test_unsure_lines_are_left_out_of_what_people_read(tmp_path: Path, name: str) -> None:
    text = write(tmp_path, name, UNSURE)
    assert "certain" in text and "limit" in text and "noise" not in text
    (path,) = write_results([UNSURE], tmp_path / name, min_score=0.0)
    assert "noise" in path.read_text("utf-8")
    write_results([UNSURE], tmp_path / name, min_score=0.8)
    assert "limit" not in path.read_text("utf-8")


def test_json_and_python_keep_every_text(tmp_path: Path) -> None:
    (entry,) = json.loads(write(tmp_path, "out.json", UNSURE))
    assert entry["rec_texts"] == UNSURE.rec_texts == ["certain", "", "noise", "limit"]
    assert [line.text for line in UNSURE.lines] == ["certain", "noise", "limit"]  # an empty text is no line


# ---- hOCR ----


def hocr_box(element: ET.Element) -> tuple[int, ...]:
    match = re.search(r"bbox (\d+) (\d+) (\d+) (\d+)", element.get("title", ""))
    assert match is not None
    return tuple(map(int, match.groups()))


def test_hocr(tmp_path: Path) -> None:
    root = ET.fromstring(write(tmp_path, "out.hocr", page(0), empty()))
    assert root.tag == XHTML + "html"
    pages = root.findall(f".//{XHTML}div[@class='ocr_page']")
    assert [hocr_box(element) for element in pages] == [(0, 0, 500, 320), (0, 0, 40, 30)]
    words = root.findall(f".//{XHTML}span[@class='ocr_line']/{XHTML}span[@class='ocrx_word']")
    assert " ".join(word.text or "" for word in words) == " ".join(TEXTS)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    capabilities = root.find(f".//{XHTML}meta[@name='ocr-capabilities']")
    assert capabilities is not None
    used = {element.get("class") for element in root.iter() if element.get("class")}
    assert used <= set((capabilities.get("content") or "").split())


def test_hocr_boxes_lie_in_each_other(tmp_path: Path) -> None:
    root = ET.fromstring(write(tmp_path, "out.hocr", page()))
    checked = 0
    for parent in root.iter():
        for child in parent:
            if parent.get("class") and child.get("class"):
                outer, inner = hocr_box(parent), hocr_box(child)
                assert outer[0] <= inner[0] <= inner[2] <= outer[2]
                assert outer[1] <= inner[1] <= inner[3] <= outer[3]
                checked += 1
    assert checked > 20


def test_hocr_by_its_validator(tmp_path: Path) -> None:
    spec = pytest.importorskip("hocr_spec", reason="pip install hocr-spec")
    write(tmp_path, "out.hocr", page(0), empty())
    report = spec.HocrValidator("standard").validate(str(tmp_path / "out.hocr"))
    assert report.is_valid(), report.format("text")


@pytest.mark.parametrize(
    ("known", "lang", "langs"), [((), "und", "unknown"), (("ko",), "ko", "ko"), (("zh", "en"), "mul", "zh en")]
)
def test_hocr_says_the_language(tmp_path: Path, known: tuple[str, ...], lang: str, langs: str) -> None:
    result = page()
    result.page.languages = known
    root = ET.fromstring(write(tmp_path, "out.hocr", result))
    division = root.find(f".//{XHTML}div[@class='ocr_page']")
    assert division is not None and root.get("lang") == division.get("lang") == lang
    meta = root.find(f".//{XHTML}meta[@name='ocr-langs']")
    assert meta is not None and meta.get("content") == langs


def test_each_word_has_its_own_score(tmp_path: Path) -> None:
    result = OCRResult(
        rec_texts=["sure unsure"],
        rec_scores=[0.6],
        rec_polys=[quad(0, 0, 200)],
        char_scores=[[0.9] * 4 + [0.9] + [0.4] * 6],
    )
    rows = csv.DictReader(io.StringIO(write(tmp_path, "out.tsv", result)), delimiter="\t", quoting=csv.QUOTE_NONE)
    assert [(row["text"], float(row["conf"])) for row in rows if row["level"] == "5"] == [("sure", 90), ("unsure", 40)]
    assert re.findall(r"x_wconf (\d+)", write(tmp_path, "out.hocr", result)) == ["90", "40"]
    assert re.findall(r'WC="([\d.]+)"', write(tmp_path, "out.alto.xml", result)) == ["0.9000", "0.4000"]


# ---- ALTO ----


def test_alto(tmp_path: Path) -> None:
    root = ET.fromstring(write(tmp_path, "out.alto.xml", page(0), page(4), empty()))
    assert root.tag == ALTO + "alto"
    assert root.findtext(f".//{ALTO}MeasurementUnit") == "pixel"
    pages = root.findall(f".//{ALTO}Page")
    assert [(p.get("WIDTH"), p.get("HEIGHT"), p.get("PHYSICAL_IMG_NR")) for p in pages] == [
        ("500", "320", "1"),
        ("500", "320", "5"),
        ("40", "30", "3"),
    ]
    strings = [element.get("CONTENT", "") for element in pages[0].iter(ALTO + "String")]
    assert " ".join(strings) == " ".join(TEXTS)
    for line in root.iter(ALTO + "TextLine"):
        tags = [child.tag.removeprefix(ALTO) for child in line]
        assert tags[0] == "Shape"
        assert re.fullmatch(r"String( SP String)*", " ".join(tags[1:]))  # a space between words and nowhere else
    ids = [element.get("ID") for element in root.iter() if element.get("ID")]
    assert len(ids) == len(set(ids))


def test_alto_by_its_schema(tmp_path: Path) -> None:
    """PTOCR_ALTO_XSD: path of alto-4-4.xsd with its xlink import resolvable (github.com/altoxml/schema)."""
    schema = os.environ.get("PTOCR_ALTO_XSD")
    if not schema:
        pytest.skip("set PTOCR_ALTO_XSD to the schema")
    etree = pytest.importorskip("lxml.etree")
    write(tmp_path, "out.alto.xml", page(0), empty())
    write(tmp_path, "none.alto.xml")
    for name in ("out.alto.xml", "none.alto.xml"):
        etree.XMLSchema(etree.parse(schema)).assertValid(etree.parse(str(tmp_path / name)))


def test_control_characters_do_not_break_xml(tmp_path: Path) -> None:
    result = OCRResult(rec_texts=["a\x00b\x08c\ufffe"], rec_scores=[1.0], rec_polys=[quad(0, 0, 90)])
    for name in ("out.hocr", "out.alto.xml"):
        assert "abc" in ET.tostring(ET.fromstring(write(tmp_path, name, result)), "unicode")


# ---- the call ----


def test_suffixes() -> None:
    assert suffix_of("a/b.alto.xml") == ".alto.xml"
    assert suffix_of(Path("X.PDF")) == ".pdf"
    assert set(SUFFIXES) >= {".json", ".txt", ".md", ".tsv", ".hocr", ".alto.xml", ".pdf", ".png"}
    for wrong in ("out", "out.odt", "out.xml", ".txt"):
        with pytest.raises(ValueError, match=r"unknown kind of output.*\.alto\.xml"):
            suffix_of(wrong)


def test_a_wrong_name_costs_no_reading(tmp_path: Path) -> None:
    def explode() -> object:
        raise AssertionError("a page was read")
        yield

    with pytest.raises(ValueError, match="unknown kind"):
        write_results(explode(), tmp_path / "out.odt")  # type: ignore[arg-type]


def test_folders_are_made_and_failures_leave_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b", "out.txt", page())

    def fails() -> object:
        yield page()
        raise RuntimeError("camera unplugged")

    extra = {".docx": "docx", ".xlsx": "openpyxl", ".parquet": "pyarrow"}
    wanting = {suffix for suffix, package in extra.items() if importlib.util.find_spec(package) is None}
    for suffix in SUFFIXES:
        if suffix not in {".png", ".jpg", ".jpeg", ".webp"} | wanting:
            with pytest.raises(RuntimeError, match="camera"):
                write_results(fails(), tmp_path / f"out{suffix}")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_pictures_are_numbered(tmp_path: Path) -> None:
    written = write_results([page(0), page(1), empty()], tmp_path / "out.png")
    assert [path.name for path in written] == ["out.png", "out_2.png", "out_3.png"]
    assert Image.open(written[0]).size == (1000, 320)
