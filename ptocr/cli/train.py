"""`ptocr train`: fine-tune or train a model by a recipe."""

from __future__ import annotations

import argparse

from ptocr.cli.guard import Failures

DESCRIPTION = "Fine-tune or train a detector, recogniser or classifier. Checkpoints are ordinary .pth files."
EXAMPLES = (
    "ptocr train --config rec_finetune -o data.train='[{path: my/rec_gt.txt}]' -o run.output=output/mine",
    "ptocr train --config my.yaml --resume",
    "torchrun --nproc_per_node 4 tools/train.py --config my.yaml",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    parser.add_argument("-c", "--config", required=True, help="recipe file, or the name of one in configs/train")
    parser.add_argument(
        "-o",
        "--opt",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="settings on top of the recipe, for example optim.lr=1e-4",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in run.output")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Train; print the scores before and after."""
    from ptocr.train.loop import fit
    from ptocr.train.recipe import load_recipe
    from ptocr.train.score_table import score_table

    outcome = fit(load_recipe(args.config, args.opt), resume=args.resume, show=True)
    if outcome.stopped == "interrupted":
        print(f"stopped after step {outcome.progress.step}; go on with --resume. Last state: {outcome.last}")
        return
    print(f"{outcome.stopped} after {outcome.progress.step} steps; best: {outcome.best}")
    if outcome.after:
        print(score_table(outcome.before, outcome.after))
