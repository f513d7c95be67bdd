"""Pages of PDFs that are read from their own text."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pypdfium2 as pdfium
import pytest
from PIL import Image

from ptocr import create_pipeline
from ptocr.inputs.page import Page, PdfLine, PdfPage
from ptocr.pipelines.pdf_lines import lines_of_pdf, without_lines
from tests.inputs.test_pdf_text import TEXTS, made

MODELS = ("PP-OCRv6_small_det", "PP-OCRv6_small_rec", "SLANet_plus", "picodet_lcnet_x1_0_fgd_layout_cdla")


def test_lines_keep_the_places_of_their_characters() -> None:
    boxes = ((10.0, 5.0, 20.0, 25.0), (20.0, 5.0, 30.0, 25.0), (30.0, 5.0, 70.0, 25.5))
    page = Page(
        np.full((50, 100, 3), 200, np.uint8),
        pdf=PdfPage((50, 25), 2.0, (PdfLine("a b", boxes), PdfLine(" ", boxes[:1]))),
    )
    (line,) = lines_of_pdf(page)
    assert line.box == (10, 5, 70, 26) and line.text == "a b" and line.score == 1.0
    assert (np.asarray(line.columns) + 0.5) / line.steps == pytest.approx([5 / 60, 15 / 60, 40 / 60])
    page.image[10:20, 15:60] = 0
    assert (without_lines(page.image, [line]) == 200).all() and (page.image == 0).any()
    assert lines_of_pdf(Page(page.image)) == []


def with_picture() -> bytes:
    """The page of `made` with a picture that says HELLO."""
    document = pdfium.PdfDocument(made())
    page = document[0]
    text = np.full((120, 400, 3), 255, np.uint8)
    cv2.putText(text, "HELLO", (60, 85), cv2.FONT_HERSHEY_SIMPLEX, 2.5, (0, 0, 0), 6)
    image = pdfium.PdfImage.new(document)
    image.set_bitmap(pdfium.PdfBitmap.from_pil(Image.fromarray(text)))
    image.set_matrix(pdfium.PdfMatrix().scale(200, 60).translate(150, 20))
    page.insert_obj(image)
    page.gen_content()
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


@pytest.mark.weights(*MODELS)
def test_text_is_taken_and_pictures_are_read() -> None:
    pipeline = create_pipeline("structure", device="cpu")
    texts = [text for text, *_ in TEXTS]
    result = next(pipeline.predict(made()))
    assert result.rec_texts == texts and "det" not in result.timings and min(result.rec_scores) == 1.0
    assert sorted(line.text for line in result.page.lines) == sorted(texts)
    result = next(pipeline.predict(with_picture()))
    assert result.rec_texts == [*texts, "HELLO"] and "det" in result.timings
    result = next(pipeline.predict(with_picture(), pdf_text="always"))
    assert result.rec_texts == texts
    result = next(pipeline.predict(made(hidden=True)))  # nothing to see
    assert result.rec_texts == []
    result = next(pipeline.predict(made(), pdf_text="never"))
    assert "det" in result.timings and "First line of text" in result.rec_texts
    plain = create_pipeline("OCR", device="cpu", pdf_text="auto")
    assert next(plain.predict(made())).rec_texts == texts
    assert "det" in next(plain.predict(made(), pdf_text="never")).timings
