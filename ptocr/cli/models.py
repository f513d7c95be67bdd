"""`ptocr models`: every model with task, languages, size, sources, and whether its weights are here."""

from __future__ import annotations

import argparse
import json

from ptocr.cli.guard import Failures
from ptocr.spec.tasks import TASKS
from ptocr.weights.store import ModelRow, model_table

DESCRIPTION = "List the models: task, languages, parameters, where weights come from, whether they are on this machine."
EXAMPLES = ("ptocr models", "ptocr models --task rec", "ptocr models --format json")
_SOURCES = {"pip": "package index", "hf": "hub", "https": "archive", "http": "archive"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    parser.add_argument("--task", choices=list(TASKS), default=None)
    parser.add_argument("--format", choices=["text", "json"], default="text")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Print the table."""
    rows = model_table(args.task)
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
