"""Write every kind of output for a set of pages, or compare two such folders byte by byte.

python tools/compare_outputs.py write docs/images CORPUS_DIR/pages --output before
python tools/compare_outputs.py write docs/images CORPUS_DIR/pages --output after
python tools/compare_outputs.py compare before after

Each page is read with and without places of words and characters; names of the files are those of the inputs. The PDF
is compared by its text layer: characters with their boxes.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
from tqdm import tqdm

import ptocr
from ptocr.document.writers import write_results

SUFFIXES = (".json", ".txt", ".md", ".tsv", ".hocr", ".alto.xml")
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "parts": {"return_word_box": True, "return_char_box": True},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="read pages and write all outputs")
    write.add_argument("inputs", nargs="+", help="pictures, PDFs, folders")
    write.add_argument("--output", type=Path, required=True)
    write.add_argument("--pipeline", default="OCR")
    write.add_argument("--only", default="", help="only files whose name contains one of these, divided by commas")
    compare = commands.add_parser("compare", help="compare two folders")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    compare.add_argument("--show", type=int, default=3, help="lines of difference per file")
    args = parser.parse_args()
    if args.command == "write":
        return write_all(args)
    return compare_folders(args.before, args.after, args.show)


def write_all(args: argparse.Namespace) -> int:
    """All outputs of all pages, one folder per file and variant."""
    words = [word for word in args.only.split(",") if word]
    found = [file for name in args.inputs for file in _files(Path(name)) if not words or _named(file, words)]
    pipeline, failed = ptocr.create_pipeline(args.pipeline), 0
    for file in tqdm(found, unit="file", disable=None):
        for variant, options in VARIANTS.items():
            try:
                for number, result in enumerate(pipeline.predict(str(file), max_pages=2, **options)):
                    write_page(result, args.output / f"{file.name}.{number}.{variant}")
            except ptocr.InputError as error:
                failed += 1
                print(error, file=sys.stderr)
    print(f"{len(found)} files, {failed} could not be read")
    return 1 if failed else 0


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _named(file: Path, words: list[str]) -> bool:
    return any(word in file.name for word in words)


def write_page(result: ptocr.OCRResult, folder: Path) -> None:
    """PaddleX's JSON, every text format, and the text layer of the PDF."""
    result.save_to_json(folder / "paddlex.json")
    for suffix in SUFFIXES:
        write_results([result], folder / f"page{suffix}", min_score=0.0)
    write_results([result], folder / "page.pdf", min_score=0.0)
    (folder / "pdf_text.txt").write_text(_text_layer(folder / "page.pdf"), "utf-8")
    (folder / "page.pdf").unlink()


def _text_layer(path: Path) -> str:
    document = pdfium.PdfDocument(path)
    layer = document[0].get_textpage()
    text = layer.get_text_range()
    boxes = [layer.get_charbox(i, loose=True) for i in range(layer.count_chars())]
    places = "\n".join(" ".join(f"{side:.1f}" for side in box) for box in boxes)
    document.close()
    return f"{text}\n\n{places}\n"


def compare_folders(before: Path, after: Path, show: int) -> int:
    """Print what differs and a summary by kind of output; 1 if anything does."""
    names = sorted({file.relative_to(root) for root in (before, after) for file in root.rglob("*") if file.is_file()})
    same: Counter[str] = Counter()
    differing: Counter[str] = Counter()
    for name in names:
        old, new = (_bytes(root / name) for root in (before, after))
        (same if old == new else differing)[name.name] += 1
        if old != new:
            print(f"{name}:")
            lines = difflib.unified_diff(old.decode().splitlines(), new.decode().splitlines(), n=0, lineterm="")
            changed = [line for line in lines if line[:3] not in ("---", "+++") and line[:2] != "@@"]
            print(*(f"    {line[:200]}" for line in changed[:show]), sep="\n")
    for kind in sorted({*same, *differing}):
        print(f"{kind}: {same[kind]} the same, {differing[kind]} differ")
    return 1 if differing else 0


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


if __name__ == "__main__":
    sys.exit(main())
