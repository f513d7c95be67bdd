"""PDF pages against a direct rendering, page selection, passwords, threads."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pytest

from ptocr.errors import InputError
from ptocr.inputs import pdf
from ptocr.inputs.read import iter_pages


@pytest.fixture
def three_pages(tmp_path: Path) -> Path:
    document = pdfium.PdfDocument.new()
    for width in (200, 300, 400):
        document.new_page(width, 100)
    path = tmp_path / "文档 é.pdf"
    document.save(str(path))
    document.close()
    return path


def test_pages_are_upstreams(corpus: Path) -> None:
    """Upstream renders at twice 72 dpi; the default gives the same pixels."""
    path = corpus / "pages" / "multi_page_en.pdf"
    pages = list(iter_pages(path))
    assert [page.page_index for page in pages] == [0, 1, 2, 3, 4]
    document = pdfium.PdfDocument(str(path))
    np.testing.assert_array_equal(pages[2].image, document[2].render(scale=2).to_numpy())
    assert pages[2].pdf is not None
    assert pages[2].pdf.scale == 2.0
    assert pages[2].pdf.size == pytest.approx(document[2].get_size())
    document.close()


def test_selection(three_pages: Path) -> None:
    widths = {0: 400, 1: 600, 2: 800}
    for options, expected in (
        ({}, [0, 1, 2]),
        ({"max_pages": 2}, [0, 1]),
        ({"page_range": "2-"}, [1, 2]),
        ({"page_range": [3]}, [2]),
        ({"page_range": "1-2,3", "max_pages": 1}, [0]),
    ):
        pages = list(iter_pages(three_pages, **options))  # type: ignore[arg-type]
        assert [(p.page_index, p.size[0], p.page_count) for p in pages] == [(i, widths[i], 3) for i in expected]
    with pytest.raises(InputError, match=r"has 3 page\(s\), none of them in page_range '7'"):
        list(iter_pages(three_pages, page_range="7"))


def test_bytes_and_file_objects(three_pages: Path) -> None:
    assert [page.size for page in iter_pages(three_pages.read_bytes(), max_pages=1)] == [(400, 200)]
    with three_pages.open("rb") as file:
        assert len(list(iter_pages(file))) == 3


def test_resolution(three_pages: Path) -> None:
    (page,) = iter_pages(three_pages, max_pages=1, pdf_dpi=72)
    assert page.size == (200, 100)
    (page,) = iter_pages(three_pages, max_pages=1, max_pixels=5000)
    assert page.image.shape[0] * page.image.shape[1] <= 5200
    assert page.pdf is not None and page.pdf.scale == pytest.approx(0.5, rel=0.01)


def test_password(corpus: Path) -> None:
    path = corpus / "bad" / "encrypted_password_secret.pdf"
    assert len(list(iter_pages(path, password="secret"))) >= 1
    with pytest.raises(InputError, match="wrong password"):
        list(iter_pages(path, password="no"))


def test_reason_does_not_depend_on_the_file_before(corpus: Path) -> None:
    for first, second, words in (
        ("encrypted_password_secret.pdf", "no_pages.pdf", "no pages"),
        ("no_pages.pdf", "encrypted_password_secret.pdf", "password"),
        ("encrypted_password_secret.pdf", "not_a_pdf.pdf", "not a readable"),
    ):
        errors: list[InputError] = []
        list(iter_pages([corpus / "bad" / first, corpus / "bad" / second], on_error=errors.append))
        assert words in str(errors[1])


def test_count(three_pages: Path) -> None:
    assert pdf.count_pdf_pages(str(three_pages), "x") == 3


def test_form_fields_are_drawn(tmp_path: Path) -> None:
    """What was typed into a form is part of the page."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[4 0 R]/DR<</Font<</F 5 0 R>>>>>>>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Annots[4 0 R]>>",
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V(HELLO)/DA(/F 24 Tf 0 g)/Rect[10 30 190 70]/P 3 0 R/F 4>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj%sendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    body += b"xref\n0 6\n0000000000 65535 f \n" + table
    body += b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(body) - 120 - 9 - 0)
    (page,) = iter_pages(body)
    assert page.image.min() < 100


def test_many_threads(corpus: Path) -> None:
    path = corpus / "pages" / "poems_zh.pdf"
    expected = [page.image.sum() for page in iter_pages(path, pdf_dpi=40)]
    results: list[list[int]] = []

    def work() -> None:
        results.append([page.image.sum() for page in iter_pages(path, pdf_dpi=40)])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 6
