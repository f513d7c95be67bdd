"""Searchable PDF of PDFs and JPEG files: the original stays, only the text is new.

What is seen is compared with PDFium's rendering before and after; where the text is, with PDFium's own way from page to
picture. The files are made by `tests/data/make_pdfs.py`; what PDFium's interface does not show is asked of pikepdf.
"""

from __future__ import annotations

import ctypes
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw
import pytest
from PIL import Image

from ptocr.document import tree
from ptocr.document.results import OCRResult
from ptocr.document.writers.searchable_pdf import write_pdf
from ptocr.errors import InputError
from ptocr.inputs.page import Page
from ptocr.inputs.read import iter_pages

TEXT = "Hello 你好"
CORNERS = np.array([[60, 80], [300, 80], [300, 120], [60, 120]])
WITH_TEXT = 5  # pages of `original.pdf`, from 0
WITH_FORM = 0
ADDED = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def files(checkout: Path) -> Path:
    return checkout / "tests" / "data" / "pdf"


def result(page: Page, text: str = TEXT, corners: np.ndarray = CORNERS, own: np.ndarray | None = None) -> tree.Page:
    """As the pipeline makes it: one line."""
    return OCRResult(
        image=page.image,
        input_path=page.input_path,
        page_index=page.page_index,
        pdf=page.pdf,
        original=page.original,
        dt_polys=[corners],
        rec_texts=[text],
        rec_scores=[0.9],
        rec_polys=[corners],
        polys_original=[corners if own is None else own],
    ).page


def results(*inputs: object, **options: object) -> Iterator[tree.Page]:
    return (result(page) for page in iter_pages(inputs, **options))


def rendered(document: pdfium.PdfDocument, scale: float = 1.5) -> list[np.ndarray]:
    return [page.render(scale=scale).to_numpy().copy() for page in document]


def texts(document: pdfium.PdfDocument) -> list[str]:
    return [page.get_textpage().get_text_range() for page in document]


def place_in_picture(page: pdfium.PdfPage, text: str, size: tuple[int, int]) -> np.ndarray:
    """Upright box (left, top, right, bottom) of a text in the page rendered at `size`, by PDFium."""
    textpage = page.get_textpage()
    at = textpage.get_text_range().index(text)
    points = []
    for number in range(at, at + len(text)):
        left, bottom, right, top = textpage.get_charbox(number, loose=True)
        for x, y in ((left, bottom), (right, top)):
            across, down = ctypes.c_int(), ctypes.c_int()
            raw.FPDF_PageToDevice(page.raw, 0, 0, *size, 0, x, y, across, down)
            points.append((across.value, down.value))
    return np.array([*np.min(points, axis=0), *np.max(points, axis=0)])


def test_pages_look_the_same_and_have_the_text(files: Path, tmp_path: Path) -> None:
    write_pdf(results(files / "original.pdf"), tmp_path / "out.pdf")
    before, after = (pdfium.PdfDocument(path) for path in (files / "original.pdf", tmp_path / "out.pdf"))
    for old, new in zip(rendered(before), rendered(after), strict=True):
        np.testing.assert_array_equal(old, new)
    assert [number for number, text in enumerate(texts(after)) if TEXT in text] == list(ADDED)
    assert texts(after)[WITH_TEXT] == texts(before)[WITH_TEXT] == "Text of its own"


@pytest.mark.parametrize("number", ADDED)
def test_the_text_lies_in_its_place_on_turned_and_cropped_pages(files: Path, tmp_path: Path, number: int) -> None:
    write_pdf(results(files / "original.pdf"), tmp_path / "out.pdf")
    (page,) = iter_pages(files / "original.pdf", page_range=[number + 1])
    document = pdfium.PdfDocument(tmp_path / "out.pdf")
    found = place_in_picture(document[number], TEXT, page.size)
    np.testing.assert_allclose(found, [*CORNERS.min(axis=0), *CORNERS.max(axis=0)], atol=3)


def test_everything_else_stays(files: Path, tmp_path: Path) -> None:
    pikepdf = pytest.importorskip("pikepdf")
    write_pdf(results(files / "original.pdf"), tmp_path / "out.pdf")
    with pikepdf.open(files / "original.pdf") as before, pikepdf.open(tmp_path / "out.pdf") as after:
        assert dict(after.docinfo) == dict(before.docinfo)
        assert after.Root.Metadata.read_bytes() == before.Root.Metadata.read_bytes()
        assert {k: v.get_file().read_bytes() for k, v in after.attachments.items()} == {"note.txt": b"attached"}
        with after.open_outline() as outline:
            assert [item.title for item in outline.root] == ["Chapter one", "Chapter two"]
        for old, new in zip(before.pages, after.pages, strict=True):
            for key in ("/MediaBox", "/CropBox", "/Rotate"):
                assert new.obj.get(key) == old.obj.get(key)
            first = new.Contents if isinstance(new.Contents, pikepdf.Stream) else new.Contents[0]
            assert first.read_bytes() == old.Contents.read_bytes()
        address, there = after.pages[1].Annots
        assert address.A.URI == "http://example.org/"
        assert there.Dest[0].objgen == after.pages[2].obj.objgen


def test_outline_and_title_by_pdfium(files: Path, tmp_path: Path) -> None:
    write_pdf(results(files / "original.pdf"), tmp_path / "out.pdf")
    document = pdfium.PdfDocument(tmp_path / "out.pdf")
    assert [entry.get_title() for entry in document.get_toc()] == ["Chapter one", "Chapter two"]
    assert document.get_metadata_value("Title") == "A title of its own"
    assert document.get_metadata_value("Author") == "Somebody"


def test_all_pages_are_there_though_few_were_read(files: Path, tmp_path: Path) -> None:
    write_pdf(results(files / "original.pdf", page_range="2,4"), tmp_path / "out.pdf")
    document = pdfium.PdfDocument(tmp_path / "out.pdf")
    assert [TEXT in text for text in texts(document)] == [False, True, False, True, False, False]


def test_a_page_whose_look_would_change_is_kept_as_it_is(
    files: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """PDFium drops resources that only a form XObject without its own uses."""
    with caplog.at_level(logging.WARNING):
        write_pdf(results(files / "original.pdf"), tmp_path / "out.pdf", existing_text="redo")
    before, after = (pdfium.PdfDocument(path) for path in (files / "original.pdf", tmp_path / "out.pdf"))
    np.testing.assert_array_equal(rendered(before)[WITH_FORM], rendered(after)[WITH_FORM])
    assert TEXT not in texts(after)[WITH_FORM]
    assert "page 1 is kept without text" in caplog.text


def test_redo_replaces_an_earlier_layer_and_spares_visible_text(files: Path, tmp_path: Path) -> None:
    write_pdf(results(files / "original.pdf"), tmp_path / "first.pdf")
    again = [result(page, "Another text") for page in iter_pages(tmp_path / "first.pdf")]
    write_pdf(iter(again), tmp_path / "skipped.pdf")
    assert "Another text" not in "".join(texts(pdfium.PdfDocument(tmp_path / "skipped.pdf")))
    write_pdf(iter(again), tmp_path / "second.pdf", existing_text="redo")
    before, after = (pdfium.PdfDocument(path) for path in (files / "original.pdf", tmp_path / "second.pdf"))
    for old, new in zip(rendered(before), rendered(after), strict=True):
        np.testing.assert_array_equal(old, new)
    for number in ADDED:
        assert texts(after)[number] == "Another text"
    *_, last = iter_pages(files / "original.pdf")
    over = np.array([[80, 162], [420, 162], [420, 200], [80, 200]])  # where the page's own text stands
    write_pdf([result(last, "Text of its 0wn", over)], tmp_path / "third.pdf", existing_text="redo")
    assert texts(pdfium.PdfDocument(tmp_path / "third.pdf"))[WITH_TEXT] == "Text of its own"


def test_lines_of_a_flattened_page_go_to_their_place_on_the_original(files: Path, tmp_path: Path) -> None:
    (page,) = iter_pages(files / "original.pdf", page_range=[5])
    own = CORNERS + np.array([30, 100])
    write_pdf([result(page, own=own)], tmp_path / "out.pdf")
    found = place_in_picture(pdfium.PdfDocument(tmp_path / "out.pdf")[4], TEXT, page.size)
    np.testing.assert_allclose(found, [*own.min(axis=0), *own.max(axis=0)], atol=3)


def test_in_memory_pdfs_stay_as_well(files: Path, tmp_path: Path) -> None:
    write_pdf(results((files / "original.pdf").read_bytes()), tmp_path / "out.pdf")
    document = pdfium.PdfDocument(tmp_path / "out.pdf")
    assert [number for number, text in enumerate(texts(document)) if TEXT in text] == list(ADDED)
    assert len(document.get_toc().__next__().get_title()) > 0


@pytest.mark.parametrize(("name", "password"), [("user.pdf", "secret"), ("owner.pdf", None)])
def test_encryption_stays(files: Path, tmp_path: Path, name: str, password: str | None) -> None:
    write_pdf(results(files / name, password=password), tmp_path / "out.pdf")
    before, after = (pdfium.PdfDocument(path, password=password) for path in (files / name, tmp_path / "out.pdf"))
    for function in (raw.FPDF_GetSecurityHandlerRevision, raw.FPDF_GetDocUserPermissions):
        assert function(after.raw) == function(before.raw)
    assert raw.FPDF_GetSecurityHandlerRevision(after.raw) > 0
    assert [number for number, text in enumerate(texts(after)) if TEXT in text] == list(ADDED)
    if password:
        with pytest.raises(pdfium.PdfiumError):
            pdfium.PdfDocument(tmp_path / "out.pdf")


def test_an_encrypted_pdf_is_not_joined_with_others(files: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"owner\.pdf: is encrypted"):
        write_pdf(results(files / "original.pdf", files / "owner.pdf"), tmp_path / "out.pdf")
    assert list(tmp_path.iterdir()) == []


def test_an_input_is_not_overwritten(files: Path, tmp_path: Path) -> None:
    data = (files / "original.pdf").read_bytes()
    (tmp_path / "a.pdf").write_bytes(data)
    (tmp_path / "b.pdf").symlink_to(tmp_path / "a.pdf")
    with pytest.raises(ValueError, match="one of the inputs"):
        write_pdf(results(tmp_path / "a.pdf"), tmp_path / "b.pdf")
    assert (tmp_path / "a.pdf").read_bytes() == data


def test_pdfs_and_pictures_are_joined_in_order(files: Path, checkout: Path, tmp_path: Path) -> None:
    picture = checkout / "docs" / "images" / "receipt.jpg"
    write_pdf(results(picture, files / "original.pdf", picture), tmp_path / "out.pdf")
    document = pdfium.PdfDocument(tmp_path / "out.pdf")
    assert len(document) == 8
    assert [number for number, text in enumerate(texts(document)) if TEXT in text] == [0, *(n + 1 for n in ADDED), 7]
    before = rendered(pdfium.PdfDocument(files / "original.pdf"))
    for old, new in zip(before, rendered(document)[1:7], strict=True):
        np.testing.assert_array_equal(old, new)


# ---- pictures ----


def jpeg(folder: Path, orientation: int, name: str = "scan.jpg", **options: object) -> tuple[Path, np.ndarray]:
    """A JPEG file with an EXIF orientation, and the picture that it shows (RGB)."""
    shown = np.full((240, 360, 3), 200, np.uint8)
    shown[:60, :90], shown[:60, 270:], shown[180:, :90] = (200, 40, 40), (40, 160, 40), (40, 40, 200)
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Pillow's numbers of transpositions
    stored = Image.fromarray(shown) if undo is None else Image.fromarray(shown).transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(folder / name, quality=90, exif=exif, **options)
    return folder / name, shown


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_file_goes_in_byte_by_byte_and_stands_upright(tmp_path: Path, orientation: int) -> None:
    path, shown = jpeg(tmp_path, orientation)
    for given in (path, path.read_bytes()):
        write_pdf(results(given), tmp_path / "out.pdf")
        assert path.read_bytes() in (tmp_path / "out.pdf").read_bytes()
        document = pdfium.PdfDocument(tmp_path / "out.pdf")
        picture = document[0].render(scale=1).to_numpy()[:, :, ::-1]
        assert picture.shape == shown.shape
        assert np.abs(picture.astype(int) - shown).mean() < 3
        assert np.abs(place_in_picture(document[0], TEXT, (360, 240)) - [60, 80, 300, 120]).max() < 3


@pytest.mark.parametrize("damage", ["cut off", "four colours", "turned"])
def test_a_jpeg_that_viewers_may_show_otherwise_is_stored_anew(tmp_path: Path, damage: str) -> None:
    path, _ = jpeg(tmp_path, 1)
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:-700])
    if damage == "four colours":
        Image.open(path).convert("CMYK").save(path)
    (page,) = iter_pages(path)
    own = CORNERS + 5 if damage == "turned" else None
    write_pdf([result(page, own=own)], tmp_path / "out.pdf")
    assert path.read_bytes() not in (tmp_path / "out.pdf").read_bytes()
    picture = pdfium.PdfDocument(tmp_path / "out.pdf")[0].render(scale=1).to_numpy()
    assert np.abs(picture.astype(int) - page.image).mean() < 4


def test_title_producer_and_language(tmp_path: Path) -> None:
    path, _ = jpeg(tmp_path, 1, "绿叶 (2).jpg")
    (page,) = iter_pages(path)
    scripts = [("你好", None, "zh"), ("かなと漢字", None, "ja"), ("한국어", None, "ko"), ("Hello", None, "")]
    for text, lang, tag in [*scripts, ("Hello", "de", "de")]:
        write_pdf([result(page, text)], tmp_path / "out.pdf", lang=lang)
        document = pdfium.PdfDocument(tmp_path / "out.pdf")
        assert document.get_metadata_value("Title") == "绿叶 (2)"
        assert document.get_metadata_value("Producer") == "ptocr"
        buffer = (ctypes.c_ushort * 32)()
        length = raw.FPDFCatalog_GetLanguage(document.raw, buffer, 64)
        assert bytes(buffer)[: max(0, length - 2)].decode("utf-16-le") == tag
        assert len(document) == 1


def test_no_results_and_wrong_options(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="existing_text='replace'"):
        write_pdf([], tmp_path / "out.pdf", existing_text="replace")  # type: ignore[arg-type]


def test_memory_does_not_grow_with_pages(tmp_path: Path) -> None:
    """Of 60 pages with 2 MB of rendered pixels each, none is held."""
    import tracemalloc

    document = pdfium.PdfDocument.new()
    for _ in range(60):
        document.new_page(500, 400).close()
    buffer = io.BytesIO()
    document.save(buffer)
    (tmp_path / "in.pdf").write_bytes(buffer.getvalue())
    tracemalloc.start()
    write_pdf(results(tmp_path / "in.pdf"), tmp_path / "out.pdf")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    assert sum(TEXT in text for text in texts(pdfium.PdfDocument(tmp_path / "out.pdf"))) == 60
