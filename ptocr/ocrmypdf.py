"""OCRmyPDF plug-in: `ocrmypdf --plugin ptocr.ocrmypdf in.pdf out.pdf` reads the pages with ptocr.

Hooks and the interface of an engine: ocrmypdf.readthedocs.io/en/latest/plugins.html. OCRmyPDF's `--language` takes
Tesseract's codes (`eng`, `chi_sim`) or PaddleOCR's; `--pdf-renderer sandwich` takes ptocr's own text layer, any other
renderer OCRmyPDF's.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pikepdf
from ocrmypdf import hookimpl
from ocrmypdf.pluginspec import OcrEngine, OrientationConfidence
from PIL import Image

import ptocr
from ptocr.document.tree import Page
from ptocr.document.writers.markup import to_hocr
from ptocr.document.writers.searchable_pdf import write_text_layer
from ptocr.document.writers.text import to_txt
from ptocr.files import write_atomic
from ptocr.runtime.threads import processors
from ptocr.spec.languages import covers, language_names, models_for

log = logging.getLogger(__name__)

_SURE = 15.0  # OCRmyPDF's figure for "very confident"; its default threshold is 14
# Tesseract's codes (ISO 639-2/T) whose language has another name in `ptocr.spec.languages`.
TESSERACT = {
    "afr": "af", "ara": "ar", "aze": "az", "bel": "be", "bos": "bs", "bul": "bg", "cat": "ca", "ces": "cs",
    "chi_sim": "ch", "chi_sim_vert": "ch", "chi_tra": "chinese_cht", "chi_tra_vert": "chinese_cht", "cym": "cy",
    "dan": "da", "deu": "de", "ell": "el", "eng": "en", "est": "et", "eus": "eu", "fas": "fa", "fin": "fi", "fra": "fr",
    "gle": "ga", "glg": "gl", "hin": "hi", "hrv": "hr", "hun": "hu", "ind": "id", "isl": "is", "ita": "it",
    "jpn": "japan", "jpn_vert": "japan", "kan": "ka", "kaz": "kk", "kor": "korean", "lat": "la", "lav": "lv",
    "lit": "lt", "ltz": "lb", "mar": "mr", "mkd": "mk", "mlt": "mt", "mon": "mn", "msa": "ms", "nep": "ne", "nld": "nl",
    "nor": "no", "oci": "oc", "pol": "pl", "por": "pt", "que": "qu", "ron": "ro", "rus": "ru", "san": "sa", "slk": "sk",
    "slv": "sl", "spa": "es", "sqi": "sq", "srp": "rs_cyrillic", "srp_latn": "rs_latin", "swa": "sw", "swe": "sv",
    "tam": "ta", "tel": "te", "tha": "th", "tur": "tr", "uig": "ug", "ukr": "uk", "urd": "ur", "uzb": "uz", "vie": "vi",
}  # fmt: skip


def _models(languages: Sequence[str]) -> tuple[str, str]:
    """Detector and recogniser for some languages: every recogniser reads Latin letters, so one other script fits."""
    names = [TESSERACT.get(language, language) for language in languages] or ["en"]
    special = [name for name in names if not covers("PP-OCRv6", name)]
    if len({models_for(name) for name in special}) > 1:
        log.warning("no recogniser reads %s together; taking that of %s", " and ".join(special), special[0])
    return models_for((special or names)[0])


@functools.lru_cache(maxsize=4)
def _pipeline(models: tuple[str, str], threads: int) -> Any:
    from ptocr.pipelines import create_pipeline  # here, so that OCRmyPDF's main process loads no torch

    detector, recogniser = models
    return create_pipeline("OCR", device=os.environ.get("PTOCR_DEVICE", "auto"), threads=threads,
                           text_detection_model_name=detector, text_recognition_model_name=recogniser)  # fmt: skip


def _read(input_file: Path, options: Any) -> Page:
    """The page; OCRmyPDF reads several at once, so each takes its share of the cores."""
    threads = max(1, processors() // max(1, getattr(options, "jobs", None) or processors()))
    pipeline = _pipeline(_models(tuple(options.languages)), threads)
    (result,) = pipeline.predict(str(input_file), return_word_box=True)
    page: Page = result.page
    return page


class PtocrEngine(OcrEngine):  # type: ignore[misc]
    """The engine that OCRmyPDF calls, in its workers."""

    @staticmethod
    def version() -> str:
        """Of the package."""
        return ptocr.__version__

    @staticmethod
    def creator_tag(options: Any) -> str:
        """What the PDF's metadata say."""
        return f"ptocr {ptocr.__version__}"

    def __str__(self) -> str:
        """For OCRmyPDF's messages."""
        return f"ptocr {ptocr.__version__}"

    @staticmethod
    def languages(options: Any) -> set[str]:
        """Every name that `--language` may have."""
        return {*TESSERACT, *language_names()}

    @staticmethod
    def get_orientation(input_file: Path, options: Any) -> OrientationConfidence:
        """The clockwise turn that makes the page upright (`--rotate-pages`), as its lines say."""
        page = _read(input_file, options)
        return OrientationConfidence(-page.angle % 360, _SURE if page.above().lines else 0.0)

    @staticmethod
    def get_deskew(input_file: Path, options: Any) -> float:
        """None: slanted lines are read as they are."""
        return 0.0

    @staticmethod
    def generate_hocr(input_file: Path, output_hocr: Path, output_text: Path, options: Any) -> None:
        """hOCR of a page, and its text."""
        page = _read(input_file, options).above()
        write_atomic(output_hocr, to_hocr([page]).encode())
        write_atomic(output_text, to_txt([page]).encode())

    @staticmethod
    def generate_pdf(input_file: Path, output_pdf: Path, output_text: Path, options: Any) -> None:
        """A PDF of the page's size with nothing but its text, and the text."""
        page = _read(input_file, options).above()
        with Image.open(input_file) as picture:
            across, down = picture.info.get("dpi", (72, 72))
            width, height = picture.size
        write_text_layer(page, output_pdf, (width * 72 / float(across), height * 72 / float(down)))
        _name_the_font(output_pdf)
        write_atomic(output_text, to_txt([page]).encode())


def _name_the_font(path: Path) -> None:
    """OCRmyPDF takes over a text page's font under the name /F1, and no other resource."""
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        page = pdf.pages[0]
        fonts = page.Resources.get("/Font", {})
        if not fonts:
            return
        kept = []
        for operands, operator in pikepdf.parse_content_stream(page):
            if str(operator) != "gs":
                kept.append(([pikepdf.Name.F1, operands[1]] if str(operator) == "Tf" else operands, operator))
        page.Contents = pdf.make_stream(pikepdf.unparse_content_stream(kept))
        page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=next(iter(fonts.values()))))
        pdf.save(path)


@hookimpl
def get_ocr_engine(options: Any) -> OcrEngine | None:
    """Ours, unless `--ocr-engine` names another one."""
    return PtocrEngine() if getattr(options, "ocr_engine", "auto") in ("auto", "ptocr", None) else None
