"""`ocrmypdf --plugin ptocr.ocrmypdf`, end to end. Needs `pip install ocrmypdf` and what it wants: Tesseract (which it
looks for even where another engine reads), for PDF/A Ghostscript.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pypdfium2 as pdfium
import pytest
from PIL import Image

pytest.importorskip("ocrmypdf")
pytestmark = [
    pytest.mark.integrations,
    pytest.mark.weights("PP-OCRv6_small_det", "PP-OCRv6_small_rec"),
    pytest.mark.skipif(shutil.which("tesseract") is None, reason="OCRmyPDF does not start without Tesseract"),
]


@pytest.fixture(scope="module")
def truth(checkout: Path) -> dict[str, list[str]]:
    return json.loads((checkout / "tests" / "data" / "docs_images.json").read_text(encoding="utf-8"))


def squeezed(text: str) -> str:
    """Without spaces, full-width signs as narrow ones: OCRmyPDF's own renderer turns them into those."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def scan(checkout: Path, folder: Path, *names: str, turn: int = 0) -> Path:
    """Pictures as a PDF of 150 dots per inch."""
    pictures = [
        Image.open(checkout / "docs" / "images" / name).convert("RGB").rotate(turn, expand=True) for name in names
    ]
    pictures[0].save(folder / "scan.pdf", resolution=150, save_all=True, append_images=pictures[1:])
    return folder / "scan.pdf"


def ocrmypdf(checkout: Path, source: Path, *options: str) -> list[str]:
    """Run it; the texts of the pages that it wrote."""
    target = source.with_name("out.pdf")
    command = [sys.executable, "-m", "ocrmypdf", "--plugin", "ptocr.ocrmypdf", *options, str(source), str(target)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return [page.get_textpage().get_text_range() for page in pdfium.PdfDocument(target)]


@pytest.mark.parametrize("renderer", ["auto", "sandwich"])
def test_scans_become_searchable(checkout: Path, tmp_path: Path, truth: dict[str, list[str]], renderer: str) -> None:
    source = scan(checkout, tmp_path, "latin_page.png", "chinese_lines.png")
    options = (
        "--output-type",
        "pdf",
        "--pdf-renderer",
        renderer,
        "--sidecar",
        str(tmp_path / "text.txt"),
        "-l",
        "eng+chi_sim",
    )
    found = ocrmypdf(checkout, source, *options)
    sidecar = (tmp_path / "text.txt").read_text(encoding="utf-8")
    for text, name in zip(found, ("latin_page.png", "chinese_lines.png"), strict=True):
        for line in truth[name]:
            assert squeezed(line) in squeezed(sidecar)
            assert squeezed(line) in squeezed(text)
    assert "ptocr" in pdfium.PdfDocument(tmp_path / "out.pdf").get_metadata_value("Creator")


def test_words_lie_where_they_stand(checkout: Path, tmp_path: Path) -> None:
    """Both renderers put a word in the same place."""
    boxes = []
    for renderer in ("auto", "sandwich"):
        source = scan(checkout, tmp_path, "latin_page.png")
        ocrmypdf(checkout, source, "--output-type", "pdf", "--pdf-renderer", renderer)
        page = pdfium.PdfDocument(tmp_path / "out.pdf")[0]
        textpage = page.get_textpage()
        at = textpage.get_text_range().index("networks")
        places = [textpage.get_charbox(number, loose=True) for number in range(at, at + len("networks"))]
        boxes.append((min(p[0] for p in places), min(p[1] for p in places), max(p[2] for p in places)))
    assert boxes[0] == pytest.approx(boxes[1], abs=6)


def test_a_page_on_its_head_is_turned(checkout: Path, tmp_path: Path, truth: dict[str, list[str]]) -> None:
    source = scan(checkout, tmp_path, "latin_page.png", turn=180)
    (text,) = ocrmypdf(checkout, source, "--output-type", "pdf", "--rotate-pages")
    assert squeezed(truth["latin_page.png"][1]) in squeezed(text)
    assert pdfium.PdfDocument(tmp_path / "out.pdf")[0].get_rotation() == 180


@pytest.mark.skipif(shutil.which("gs") is None, reason="PDF/A is made by Ghostscript")
def test_pdfa_with_ghostscript(checkout: Path, tmp_path: Path, truth: dict[str, list[str]]) -> None:
    (text,) = ocrmypdf(checkout, scan(checkout, tmp_path, "latin_page.png"))
    assert squeezed(truth["latin_page.png"][0]) in squeezed(text)


def test_an_unknown_language_is_refused(checkout: Path, tmp_path: Path) -> None:
    source = scan(checkout, tmp_path, "latin_page.png")
    command = [
        sys.executable,
        "-m",
        "ocrmypdf",
        "--plugin",
        "ptocr.ocrmypdf",
        "-l",
        "xxx",
        str(source),
        str(tmp_path / "o.pdf"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode != 0
    assert "xxx" in done.stderr
