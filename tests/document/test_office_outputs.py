"""Word documents, spreadsheets and LaTeX, read back by the libraries and programs that people open them with."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pypdfium2
import pytest

from ptocr.document.results import OCRResult
from ptocr.document.table import Cell, Table
from ptocr.document.tree import Block, Line, Page
from ptocr.document.writers import write_results
from ptocr.document.writers.latex import escaped
from ptocr.processing.geometry import box_corners

SPECIAL = '100 % of $5 & more_less {x} ~ ^ # \\ <a> [b] | "c"'
CELLS = [
    (0, 0, 2, 1, "name"), (0, 1, 1, 2, "both"), (1, 1, 1, 1, "1,234"), (1, 2, 1, 1, "12.50"),
    (2, 0, 1, 1, "=1+1"), (2, 1, 1, 1, "007"), (2, 2, 1, 1, "-3"),
]  # fmt: skip


def line(text: str, y: int = 0) -> Line:
    return Line(box_corners((0, y, 9 * len(text), y + 12)), text, 0.9)


def page(table: Table | None = None) -> OCRResult:
    """A title, a paragraph of two lines, a row of two cells, a table."""
    cells = [Cell(r, c, box_corners((0, 0, 9, 9)), h, w, [line(text)]) for r, c, h, w, text in CELLS]
    blocks = [
        Block([[line("Heading\x07")]], "title"),
        Block([[line(SPECIAL, 20)], [line("and 好", 40)]]),
        Block([[line("left", 60), line("right", 60)]]),
        Block(kind="table", content=table or Table(cells, 1), poly=box_corners((0, 80, 90, 99))),
    ]
    read = Page(size=(400, 300))
    read.blocks = blocks
    result = OCRResult(rec_texts=[], rec_scores=[], rec_polys=[])
    result.page = read
    return result


def test_word_document(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    write_results([page(), page()], tmp_path / "out.docx")
    document = docx.Document(tmp_path / "out.docx")
    texts = [(p.style.name, p.text) for p in document.paragraphs if p.text.strip()]
    one = [("Heading 2", "Heading"), ("Normal", f"{SPECIAL} and 好"), ("Normal", "left\tright")]
    assert texts == one * 2
    assert len(document.tables) == 2
    read = [[cell.text for cell in row.cells] for row in document.tables[0].rows]
    assert read == [["name", "both", "both"], ["name", "1,234", "12.50"], ["=1+1", "007", "-3"]]
    assert document.element.xml.count('w:type="page"') == 1


def test_spreadsheet(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    write_results([page(), page()], tmp_path / "out.xlsx")
    book = openpyxl.load_workbook(tmp_path / "out.xlsx")
    assert book.sheetnames == ["Table 1", "Table 2", "Text"]
    sheet = book["Table 2"]
    assert sorted(map(str, sheet.merged_cells.ranges)) == ["A1:A2", "B1:C1"]
    assert [sheet[place].value for place in ("A1", "B1", "B2", "C2", "A3", "B3", "C3")] == [
        "name", "both", "1,234", 12.5, "=1+1", "007", -3,
    ]  # fmt: skip
    assert sheet["C2"].number_format == "0.00" and sheet["A3"].data_type == "s"
    assert list(book["Text"].iter_rows(max_row=3, values_only=True)) == [
        ("Heading", None), (f"{SPECIAL} and 好", None), ("left", "right"),
    ]  # fmt: skip
    write_results([], tmp_path / "none.xlsx")
    assert openpyxl.load_workbook(tmp_path / "none.xlsx").sheetnames == ["Text"]


def test_csv(tmp_path: Path) -> None:
    write_results([page()], tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [
        [f"{SPECIAL} and 好"], ["left", "right"], [],
        ["name", "both", ""], ["", "1,234", "12.50"], ["=1+1", "007", "-3"], [],
    ]  # fmt: skip


def test_latex_is_well_formed_and_says_what_the_page_says(tmp_path: Path) -> None:
    pytest.importorskip("pylatexenc")
    from pylatexenc.latex2text import LatexNodes2Text
    from pylatexenc.latexwalker import LatexWalker

    write_results([page()], tmp_path / "out.tex")
    text = (tmp_path / "out.tex").read_text("utf-8")
    body = text.split("\\begin{document}")[1].split("\\end{document}")[0]
    LatexWalker(body, tolerant_parsing=False).get_latex_nodes()  # raises where braces and environments do not match
    assert "".join(LatexNodes2Text().latex_to_text(escaped("a_b {c} 5 % $ & # ~")).split()) == "a_b{c}5%$&#~"
    rows = re.search(r"\\begin\{tabular\}(.*)\\end\{tabular\}", body, re.S)
    assert rows is not None
    assert rows[1].split("\n")[1:-1] == [
        "\\hline", "\\multirow{2}{*}{name} & \\multicolumn{2}{l|}{both} \\\\", "\\cline{2-2}\\cline{3-3}",
        " & 1,234 & 12.50 \\\\", "\\hline", "=1+1 & 007 & -3 \\\\", "\\hline",
    ]  # fmt: skip


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    empty = OCRResult(rec_texts=[], rec_scores=[], rec_polys=[])
    empty.page = Page(size=(7, 5), source="scans/\udcff.png")
    write_results([page(), empty], tmp_path / "out.parquet")
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    texts = ["Heading\x07", SPECIAL, "and 好", "left", "right", *(text for *_, text in CELLS)]
    assert [row["text"] for row in rows[:-1]] == texts
    assert [row["kind"] for row in rows[:-1]] == ["title"] + ["text"] * 4 + ["table"] * len(CELLS)
    assert [(row["page"], row["block"], row["line"]) for row in rows[:4]] == [
        (0, 0, 0),
        (0, 1, 0),
        (0, 1, 1),
        (0, 2, 0),
    ]
    second = rows[1]
    assert second["score"] == pytest.approx(0.9) and [second[k] for k in ("x0", "y0", "y1")] == [0, 20, 32]
    assert second["polygon"][:2] == [0, 20] and len(second["polygon"]) == 8
    last = {key: value for key, value in rows[-1].items() if value is not None}
    assert last == {"source": "scans/?.png", "page": 1, "width": 7, "height": 5}
    write_results([], tmp_path / "none.parquet")
    assert parquet.read_table(tmp_path / "none.parquet").schema.names == list(rows[0])


@pytest.mark.parametrize("suffix", [".docx", ".xlsx", ".tex", ".csv", ".html", ".md"])
def test_spans_that_overlap_or_reach_too_far_lose_no_cell(tmp_path: Path, suffix: str) -> None:
    """What a model says need not fit together."""
    pytest.importorskip("docx")
    openpyxl = pytest.importorskip("openpyxl")
    made = [(0, 0, 1, 1, "qa"), (0, 1, 3, 1, "qb"), (1, 0, 1, 9, "qc"), (2, 0, 9, 1, "qd"), (2, 2, 1, 1, "qe")]
    table = Table([Cell(r, c, np.zeros((4, 2)), h, w, [line(text)]) for r, c, h, w, text in made])
    owned = [cell for row in table.grid() for cell in row if cell is not None]
    assert [(height, width) for _, height, width in table.extents()] == [(1, 1), (3, 1), (1, 1), (9, 1), (1, 1)]
    assert len(owned) == 1 + 3 + 1 + 9 + 1
    path = tmp_path / f"out{suffix}"
    write_results([page(table)], path)
    if suffix == ".xlsx":
        text = str(list(openpyxl.load_workbook(path)["Table 1"].values))
    elif suffix == ".docx":
        text = "".join(re.findall(r"<w:t[^>]*>([^<]*)", _document(path)))
    else:
        text = path.read_text("utf-8")
    assert all(text.count(name) == 1 for *_, name in made)


def _document(path: Path) -> str:
    import zipfile

    return zipfile.ZipFile(path).read("word/document.xml").decode("utf-8")


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
@pytest.mark.parametrize("suffix", [".docx", ".xlsx"])
def test_libreoffice_shows_the_page(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("docx")
    pytest.importorskip("openpyxl")
    write_results([page()], tmp_path / f"out{suffix}")
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    command = ["soffice", profile, "--headless", "--convert-to", "pdf", "--outdir", str(tmp_path)]
    subprocess.run([*command, str(tmp_path / f"out{suffix}")], check=True, capture_output=True, timeout=300)
    with pypdfium2.PdfDocument(tmp_path / "out.pdf") as pdf:
        text = "".join(pdf[number].get_textpage().get_text_bounded() for number in range(len(pdf)))
    for piece in ("Heading", "and 好", "left", "name", "both", "1,234", "12.50", "=1+1", "007"):
        assert piece in text, piece
