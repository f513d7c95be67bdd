"""`ptocr models`: every model with task, languages, size, sources, and whether its weights are here."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from ptocr.cli.arguments import OneOf, meant
from ptocr.cli.guard import Failures
from ptocr.errors import SpecError

if TYPE_CHECKING:
    from ptocr.weights.listing import ModelRow

DESCRIPTION = "List the models: task, languages, parameters, where weights come from, whether they are on this machine."
EXAMPLES = ("ptocr models", "ptocr models --task rec --lang ko", "ptocr models --local", "ptocr models --format json")
_SOURCES = {"pip": "package index", "hf": "hub", "https": "archive", "http": "archive"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    formats, add = OneOf("text", "json"), parser.add_argument
    add("--task", metavar="TASK", help="models of one task: det, rec, cls, unwarp ... (default: all)")
    add("--lang", metavar="L,L", help="recognisers that read all these, by ISO code or PaddleOCR's name (default: all)")
    add("--local", action="store_true", help="models whose weights are on this machine (default: all)")
    add("--format", type=formats, metavar=str(formats), default="text", help="a table, or JSON (default: text)")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Print the table."""
    from ptocr.spec.languages import reads
    from ptocr.spec.model import list_specs, load_spec
    from ptocr.spec.tasks import TASKS
    from ptocr.weights.listing import local_file, model_status

    if args.task is not None and args.task not in TASKS:
        raise SpecError(f"--task {args.task}: not known{meant(args.task, TASKS)} (there are {', '.join(TASKS)})")
    names = list_specs(args.task)
    if args.lang:
        names = [n for n in names if all(reads(load_spec(n).languages, one) for one in args.lang.split(","))]
    rows = [model_status(name) for name in names if not args.local or local_file(name)]
    if args.format == "json":
        print(json.dumps([_plain(row) for row in rows], ensure_ascii=False))
        return
    cells = [("model", "task", "languages", "parameters", "size", "here", "sources")] + [_cells(row) for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cells(row: ModelRow) -> tuple[str, ...]:
    languages = ", ".join(row.languages[:4]) + (f" +{len(row.languages) - 4}" if len(row.languages) > 4 else "")
    size = "-" if row.size is None else f"{'' if row.local else '~'}{row.size / 1e6:.1f} MB"
    local = "yes" if row.local else "no"
    kinds = ", ".join(dict.fromkeys(_SOURCES.get(s.partition(":")[0], s) for s in row.sources))
    return row.name, row.task, languages or "-", f"{row.parameters / 1e6:.2f} M", size, local, kinds or "-"


def _plain(row: ModelRow) -> dict[str, object]:
    return {
        "name": row.name,
        "task": row.task,
        "family": row.family,
        "languages": row.languages,
        "parameters": row.parameters,
        "sources": row.sources,
        "path": None if row.path is None else str(row.path),
        "local": row.local,
        "size": row.size,
    }
