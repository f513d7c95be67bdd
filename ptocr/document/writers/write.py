"""One call for every output file: the suffix says what to write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ptocr.document.draw import encode
from ptocr.document.results import OCRResult
from ptocr.document.tree import MIN_SCORE, Page
from ptocr.document.writers.latex import to_latex
from ptocr.document.writers.markup import to_alto, to_hocr
from ptocr.document.writers.parquet import to_parquet
from ptocr.document.writers.searchable_pdf import ExistingText, write_pdf
from ptocr.document.writers.spreadsheet import to_csv, to_xlsx
from ptocr.document.writers.text import to_markdown, to_tsv, to_txt
from ptocr.document.writers.web_page import to_html
from ptocr.document.writers.word_document import to_docx
from ptocr.files import write_atomic

# Longest first, so that .alto.xml is not taken for another kind of .xml.
TEXT_FORMATS: dict[str, Callable[[Iterable[Page]], str]] = {
    ".alto.xml": to_alto,
    ".alto": to_alto,
    ".hocr": to_hocr,
    ".html": to_html,
    ".txt": to_txt,
    ".md": to_markdown,
    ".tsv": to_tsv,
    ".csv": to_csv,
    ".tex": to_latex,
}
BINARY_FORMATS: dict[str, Callable[[Iterable[Page]], bytes]] = {
    ".docx": to_docx,
    ".xlsx": to_xlsx,
    ".parquet": to_parquet,
}
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
SUFFIXES = (*TEXT_FORMATS, *BINARY_FORMATS, ".json", ".pdf", *PICTURES)


def suffix_of(path: str | Path) -> str:
    """The known suffix of an output path. Raises ValueError that lists them for any other."""
    name = Path(path).name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix) and name != suffix:
            return suffix
    raise ValueError(f"{path}: unknown kind of output; use a name that ends in {', '.join(SUFFIXES)}")


def write_results(
    results: Iterable[OCRResult],
    path: str | Path,
    *,
    min_score: float = MIN_SCORE,
    existing_text: ExistingText = "skip",
    place: Callable[[Path], Path] = lambda path: path,
) -> list[Path]:
    """Write pages into one file of the kind that its suffix names; returns the files written.

    .json, .txt, .md, .html, .docx, .xlsx, .csv, .tex, .parquet, .tsv (Tesseract's table), .hocr, .alto.xml and .pdf
    (searchable) hold all pages. A picture holds one: further pages go to `{stem}_2.png`, `{stem}_3.png` ...
    Folders are made; files appear complete or not at all. Lines that score less than `min_score` are left out of all
    but .json and pictures.
    existing_text: see `write_pdf`. place: what the name of a further page becomes, for callers that keep files from
    being replaced.

    Raises ValueError for an unknown suffix, and DeviceError where a package is missing, before the first result is
    asked for, and OSError when writing fails.
    """
    path, suffix = Path(path), suffix_of(path)
    pages = (result.page.above(min_score) for result in results)
    if suffix == ".pdf":
        write_pdf(pages, path, existing_text=existing_text)
        return [path]
    if suffix in BINARY_FORMATS:
        write_atomic(path, BINARY_FORMATS[suffix](pages))
        return [path]
    if suffix not in PICTURES:
        text = to_json(results) if suffix == ".json" else TEXT_FORMATS[suffix](pages)
        # lone surrogates cannot be written, and nothing here makes them but a broken file name
        write_atomic(path, text.encode("utf-8", errors="replace"))
        return [path]
    written = []
    for number, result in enumerate(results, 1):
        target = path if number == 1 else place(path.with_name(f"{path.stem}_{number}{path.suffix}"))
        write_atomic(target, encode(result.img["ocr_res_img"], path.suffix))
        written.append(target)
    return written


def to_json(results: Iterable[OCRResult]) -> str:
    """A list with the fields of each page, as `OCRResult.json` has them under "res"; a polygon, a box and a list of
    numbers take one line each."""
    return _compact([result.json["res"] for result in results]) + "\n"


def _compact(value: Any, indent: str = "") -> str:
    """JSON with an entry per line, but for what is short: numbers and points, side by side."""
    inner = indent + " "
    if isinstance(value, dict) and value:
        rows = [f"{json.dumps(str(key), ensure_ascii=False)}: {_compact(item, inner)}" for key, item in value.items()]
        return "{" + ",".join(f"\n{inner}{row}" for row in rows) + f"\n{indent}}}"
    if isinstance(value, list) and value and not _is_short(value):
        return "[" + ",".join(f"\n{inner}{_compact(item, inner)}" for item in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)


def _is_short(values: list[Any]) -> bool:
    """Whether a list holds numbers, or points (x, y)."""
    if all(isinstance(value, list) and len(value) == 2 for value in values):
        values = [number for point in values for number in point]
    return all(isinstance(value, int | float) for value in values)
