"""`ptocr structure`: read pages with their layout and tables; everything else is as in `ptocr ocr`."""

from __future__ import annotations

import argparse

from ptocr.cli import ocr
from ptocr.cli.arguments import add_row
from ptocr.cli.guard import Failures
from ptocr.cli.options import STRUCTURE

DESCRIPTION = (
    "Read pictures and PDFs, find tables and the kinds of blocks. Tables become tables in .md, .html, .docx, .xlsx, "
    ".csv and .tex, cells with their boxes in .json."
)
USAGE_LINE = "ptocr structure IN ... [--output FILE or FOLDER/] [flags of ptocr ocr]"
EXAMPLES = (
    "ptocr structure report.pdf --output report.md",
    "ptocr structure table.png --pipeline table_recognition --output table.md",
    "ptocr structure report.pdf --output report.docx --output tables.xlsx",
    "ptocr structure scans/ --output scans.json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand: those of `ptocr ocr`, with another pipeline."""
    ocr.add_arguments(parser)
    group = parser.add_argument_group("layout and tables")
    for option in STRUCTURE:
        add_row(group, *option)
    parser.set_defaults(pipeline="structure")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Read and write."""
    ocr.run(args, failures)
