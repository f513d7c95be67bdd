"""`ptocr data check`: look at training data before training."""

from __future__ import annotations

import argparse

from ptocr.cli.guard import Failures
from ptocr.errors import InputError

DESCRIPTION = "Check the data of a recipe: labels, pictures, charset coverage, sizes, duplicates."
EXAMPLES = ("ptocr data check --config rec_finetune -o data.train='[{path: my/rec_gt.txt}]'",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    parser.add_argument("action", choices=["check"])
    parser.add_argument("-c", "--config", required=True, help="recipe file, or the name of one in configs/train")
    parser.add_argument("-o", "--opt", nargs="+", action="extend", default=[], metavar="KEY=VALUE")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Print one report per group of sources; what training would stumble over counts as a failed input."""
    from ptocr.train.check import check_recipe
    from ptocr.train.recipe import load_recipe

    for report in check_recipe(load_recipe(args.config, args.opt)):
        print(report.text())
        if not report.fine:
            count = sum(map(len, report.problems.values())) + len(report.missing)
            failures(InputError(f"{report.name}: {count} findings, see above"))
