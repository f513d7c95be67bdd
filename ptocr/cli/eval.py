"""`ptocr eval`: score a model on labelled pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ptocr.cli.guard import Failures
from ptocr.errors import SpecError

if TYPE_CHECKING:
    from ptocr.data.label_settings import LabelSource
    from ptocr.evaluation.models import EvalOptions

DESCRIPTION = "Score a detector, recogniser, classifier, or the whole pipeline, on labelled pictures."
EXAMPLES = (
    "ptocr eval --model PP-OCRv4_mobile_rec --data lines/rec_gt.txt",
    "ptocr eval --model output/best.pth --data lines/rec_gt.txt --ignore_space",
    "ptocr eval --model output/best.pth --data_format lmdb --data data/evaluation --protocol 36",
    "ptocr eval --pipeline OCR --data pages/Label.txt",
    "ptocr eval --pipeline structure --data corpus/ --data_format structure",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", help="a model's name, or a file with weights")
    which.add_argument("--pipeline", help="a pipeline's name or YAML: end to end, with det labels")
    parser.add_argument("--data", required=True, type=Path, nargs="+",
                        help="label file or folder; several, or a folder of LMDBs: scores of each")  # fmt: skip
    parser.add_argument("--data_format", choices=["paddle", "lmdb", "tar", "icdar2015", "structure"],
                        default="paddle", help="structure: folders with truth.json, tables and pages")  # fmt: skip
    parser.add_argument("--root", type=Path, help="folder of the pictures (default: that of the label file)")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--ignore_space", action="store_true")
    parser.add_argument("--ignore_case", action="store_true")
    parser.add_argument("--protocol", choices=["36", "62", "94"],
                        help="word accuracy as scene text recognition has it: letters and digits without case (36), "
                        "with case (62), with punctuation (94)")  # fmt: skip
    parser.add_argument("--format", choices=["text", "json"], default="text")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Score and print."""
    from ptocr.data.label_settings import LabelSource
    from ptocr.data.records import lmdb_folders
    from ptocr.evaluation.models import EvalOptions

    if args.data_format == "structure":
        _run_structure(args)
        return
    if args.protocol and (args.ignore_space or args.ignore_case or args.pipeline):
        raise SpecError("--protocol says itself what counts, for words of recognisers; leave --ignore_*, --pipeline")
    options = EvalOptions(args.batch_size, args.ignore_space, args.ignore_case, args.protocol)
    lmdb = args.data_format == "lmdb"
    paths = [path for data in args.data for path in (lmdb_folders(data) if lmdb else [data])]
    sources = [LabelSource(path=path, format=args.data_format, root=args.root) for path in paths]
    scores = _scores(args, sources, options)
    if args.format == "json":
        print(json.dumps(scores if len(scores) > 1 else next(iter(scores.values()))))
    elif len(scores) > 1:
        print(_table(scores))
    else:
        for name, value in next(iter(scores.values())).items():
            print(f"{name:<10} {value:.4f}")


def _run_structure(args: argparse.Namespace) -> None:
    """Tables and pages by file."""
    from ptocr.evaluation.pipelines import structure_scores
    from ptocr.evaluation.structure_corpus import markdown_tables

    if args.pipeline is None or args.protocol or args.ignore_space or args.ignore_case or args.root:
        raise SpecError("--data_format structure scores a --pipeline with layout and tables; it has no other options")
    for folder in args.data:
        scores = structure_scores(args.pipeline, folder, args.device)
        if args.format == "json":
            print(json.dumps({"summary": scores.summary(), **vars(scores)}, ensure_ascii=False))
        else:
            print(markdown_tables(scores))


def _scores(args: argparse.Namespace, sources: list[LabelSource], options: EvalOptions) -> dict[str, dict[str, float]]:
    """Scores by source; of several sources of a model also all their samples together, and the mean of the sources."""
    if args.pipeline is not None:
        from ptocr.evaluation.pipelines import score_pipeline

        return {str(s.path): score_pipeline(args.pipeline, s, args.device, options) for s in sources}
    from ptocr.evaluation.models import measure_model

    metrics = measure_model(args.model, sources, args.device, options)
    scores = {str(s.path): metric.result() for s, metric in zip(sources, metrics, strict=True)}
    if len(metrics) > 1:
        rows = list(scores.values())
        scores["mean"] = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        together = [sum(column) for column in zip(*(metric.counts() for metric in metrics), strict=True)]
        scores["all samples"] = metrics[0].with_counts(together).result()
    return scores


def _table(scores: dict[str, dict[str, float]]) -> str:
    names = list(next(iter(scores.values())))
    rows = [["data", *names], ["---"] * (1 + len(names))]
    rows += [[path, *(f"{row[name]:.4f}" for name in names)] for path, row in scores.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
