"""One call for every output file: the suffix says what to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ptocr.document.draw import encode
from ptocr.document.results import OCRResult
from ptocr.document.writers.markup import to_alto, to_hocr
from ptocr.document.writers.searchable_pdf import write_pdf
from ptocr.document.writers.text import to_json, to_markdown, to_tsv, to_txt
from ptocr.files import write_atomic

# Longest first, so that .alto.xml is not taken for another kind of .xml.
TEXT_FORMATS: dict[str, Callable[[Iterable[OCRResult]], str]] = {
    ".alto.xml": to_alto,
    ".alto": to_alto,
    ".hocr": to_hocr,
    ".json": to_json,
    ".txt": to_txt,
    ".md": to_markdown,
    ".tsv": to_tsv,
}
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
SUFFIXES = (*TEXT_FORMATS, ".pdf", *PICTURES)


def suffix_of(path: str | Path) -> str:
    """The known suffix of an output path. Raises ValueError that lists them for any other."""
    name = Path(path).name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix) and name != suffix:
            return suffix
    raise ValueError(f"{path}: unknown kind of output; use a name that ends in {', '.join(SUFFIXES)}")


def write_results(results: Iterable[OCRResult], path: str | Path) -> list[Path]:
    """Write pages into one file of the kind that its suffix names; returns the files written.

    .json, .txt, .md, .tsv (Tesseract's table), .hocr, .alto.xml and .pdf (searchable) hold all pages. A picture holds
    one: further pages go to `{stem}_2.png`, `{stem}_3.png` ... Folders are made; files appear complete or not at all.
    Raises ValueError for an unknown suffix, before the first result is asked for.
    """
    path, suffix = Path(path), suffix_of(path)
    if suffix in TEXT_FORMATS:
        # lone surrogates cannot be written, and nothing here makes them but a broken file name
        write_atomic(path, TEXT_FORMATS[suffix](results).encode("utf-8", errors="replace"))
        return [path]
    if suffix == ".pdf":
        write_pdf(results, path)
        return [path]
    written = []
    for number, result in enumerate(results, 1):
        target = path if number == 1 else path.with_name(f"{path.stem}_{number}{path.suffix}")
        write_atomic(target, encode(result.img["ocr_res_img"], path.suffix))
        written.append(target)
    return written
