"""`ptocr train`: fine-tune or train a model by a recipe."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from ptocr.cli.guard import Failures

if TYPE_CHECKING:
    from ptocr.train.rate_finder import RateTest
    from ptocr.train.resume import Scores
    from ptocr.train.run import Outcome

DESCRIPTION = "Fine-tune or train a detector, recogniser or classifier. Checkpoints are ordinary .pth files."
EXAMPLES = (
    "ptocr train --config rec_finetune -o data.train='[{path: my/rec_gt.txt}]' -o run.output=output/mine",
    "ptocr train --config my.yaml --resume",
    "ptocr train --config my.yaml --find_lr",
    "torchrun --nproc_per_node 4 tools/train.py --config my.yaml",
)
TITLES = {"val": "your set", "base": "base set"}
NO_BETTER = 0.005  # a loss of the chosen score that may be chance


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
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--resume", action="store_true", help="go on with the run in run.output")
    earlier.add_argument("--overwrite", action="store_true", help="replace the run in run.output")
    earlier.add_argument("--find_lr", action="store_true",
                         help="no training: losses of 60 steps at rising rates, and a rate to use")  # fmt: skip


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Train; print the scores before and after."""
    from ptocr.train.loop import fit
    from ptocr.train.recipe import load_recipe

    logging.getLogger("ptocr.train").setLevel(logging.INFO)
    recipe = load_recipe(args.config, args.opt)
    if args.find_lr:
        from ptocr.train.rate_finder import find_rate

        print(rate_table(find_rate(recipe)))
        return
    outcome = fit(recipe, args.resume, args.overwrite, show=True)
    if outcome.stopped == "interrupted":
        print(f"stopped after step {outcome.progress.step}; go on with --resume. Last state: {outcome.last}")
        return
    print(f"{outcome.stopped} after {outcome.progress.step} steps; best: {outcome.best}")
    if outcome.after:
        print(score_table(outcome.before, outcome.after))
    if advice := what_to_try(outcome):
        print(advice)


def score_table(before: Scores, after: Scores) -> str:
    """Markdown: one row per set and score, in per cent, with the change in points."""
    rows = [("set", "score", "before", "after", "change")]
    for name, title in TITLES.items():
        for score, value in after.get(name, {}).items():
            start = before.get(name, {}).get(score)
            change = "" if start is None else f"{100 * (value - start):+.1f}"
            rows.append((title, score, _percent(start), _percent(value), change))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def rate_table(test: RateTest) -> str:
    """Markdown: every third step of a range test, and what to set."""
    rows = ["| learning rate | loss (smoothed) |", "|---|---|"]
    rows += [f"| {r:.2e} | {v:.4f} |" for r, v in list(zip(test.rates, test.losses, strict=True))[::3]]
    if test.suggested is None:
        said = "The loss fell at no rate: look at the data (`ptocr data check`) and at the start."
    else:
        said = (
            f"Suggested: optim.lr={test.suggested:.2g} optim.lr_batch={test.batch} (a tenth of the rate at which the "
            "loss was least). The loss of new data says nothing about what is forgotten: watch `data.base`."
        )
    return "\n".join([*rows, "", said])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def what_to_try(outcome: Outcome) -> str:
    """Advice for a run whose best state is its start; "" for any other."""
    if not outcome.before.get("val") or outcome.progress.best_step > 0:
        return ""
    start, last = (s["val"][outcome.score] for s in (outcome.before, outcome.progress.last_scores))
    said = (
        f"The best state is the start: no state of the training was better, {outcome.best} holds the weights that the "
        f"run began with (your set: {100 * start:.1f} % at the start, {100 * last:.1f} % at the end)."
    )
    rate = f"optim.lr (it was {outcome.rate:.3g})"
    if last < start - NO_BETTER:
        tries = (
            f"a tenth of {rate}; optim.freeze_norm=true; optim.lr_scale={{backbone: 0.1}}; more samples per step "
            "(run.accumulate); distill mode keep"
        )
    else:
        tries = (
            f"more epochs; three times {rate}, or what --find_lr suggests; run.eval_every=0.2, to see a better state "
            "on the way"
        )
    return (
        f"{said}\nTry {tries}.\nLook at the data too (`ptocr data check`): wrong labels, missing characters, a val set "
        "too small to show a gain."
    )
