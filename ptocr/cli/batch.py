"""`ptocr batch`: many inputs into one folder, resumable, over processes of this machine or a Ray cluster."""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ptocr.cli.arguments import (
    Number,
    OneOf,
    add_device_argument,
    add_model_arguments,
    add_row,
    add_runtime_arguments,
    flag,
)
from ptocr.cli.guard import Failures, say
from ptocr.cli.ocr import FORMATS, make_pipeline
from ptocr.cli.options import COMMON, GROUPS, OPTIONS
from ptocr.errors import InputError, SpecError

DESCRIPTION = "Read very many inputs into one folder. Killed at any moment, the same command goes on where it was."
USAGE_LINE = "ptocr batch IN ... --output FOLDER [--format json,md,pdf] [flags]"
EXAMPLES = (
    "ptocr batch scans/ --recursive --output texts/ --format json,md,pdf",
    "ptocr batch archive.zip more.tar.gz @list.txt --output texts/",
    "ptocr batch s3://bucket/scans/ --output texts/ --workers 8",
    "ptocr batch scans/ --output /shared/texts/ --engine ray --ray_address auto --ray_actors 4,64 --ray_gpus 0.5",
)
_WORDS = (".pdf", ".hocr", ".alto.xml", ".tsv")  # outputs that say where words are
_KEEPS = (
    "inputs",
    "output",
    "engine",
    "workers",
    "retries",
    "retry_failed",
    "progress",
    "recursive",
    "show_log",
    "device",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    common = parser.add_argument_group("common")
    add = common.add_argument
    add("inputs", nargs="+", metavar="IN",
        help="pictures, PDFs, folders, globs, .zip and .tar archives, @FILE (a list, one input a line), addresses "
        "(http, and s3://, gs:// ... through fsspec)")  # fmt: skip
    add("--output", "-o", required=True, metavar="FOLDER", help="for the files, the manifest and failed.tsv")
    add("--format", default="json", metavar="F,F", help=f"files per input: {FORMATS} (default: json)")
    add("--retries", type=Number(int, 0, 20), default=2, metavar="N",
        help="further attempts where a failure may have been chance (default: 2)")  # fmt: skip
    add("--retry_failed", type=flag, nargs="?", const=True, default=False, metavar="BOOL",
        help="read again what failed in an earlier run (default: false)")  # fmt: skip
    add("--min_score", type=Number(float, 0, 1), default=None, metavar="X",
        help="leave out lines below, but in json and pictures (default: 0.5)")  # fmt: skip
    add("--progress", type=flag, nargs="?", const=True, default=None, metavar="BOOL",
        help="a progress bar with pages/s and the time left (default: where standard error is a terminal)")  # fmt: skip
    for option in COMMON:
        add_row(common, *option)
    add("--pipeline", "--paddlex_config", default="OCR", metavar="NAME", help="name or OCR.yaml (default: OCR)")
    add("--lang", metavar="L,L", help="languages, as for `ptocr ocr` (default: the pipeline's)")
    add("--ocr_version", metavar="V", help="PP-OCRv3 ... PP-OCRv6 (default: the pipeline's)")
    _add_engines(parser)
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for option in options:
            add_row(group, *option)
    add_runtime_arguments(parser, device=False, engine="--network_engine")
    add_model_arguments(parser)


def _add_engines(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("who reads")
    add, engines = group.add_argument, OneOf("local", "ray")
    add_device_argument(group)
    add("--engine", dest="over", type=engines, metavar=str(engines), default="local",
        help="processes of this machine, or a Ray cluster (default: local)")  # fmt: skip
    add("--workers", type=Number(int, 1, 1024), metavar="N",
        help="processes (default: one per device; on a CPU one per core, each with one thread)")  # fmt: skip
    add(
        "--ray_address", metavar="ADDRESS", help="of the cluster, auto is the one of this machine (default: starts one)"
    )
    add("--ray_actors", metavar="LEAST,MOST", default="1,2", help="how many, Ray scales in between (default: 1,2)")
    add(
        "--ray_gpus",
        type=Number(float, 0),
        default=0.0,
        metavar="X",
        help="GPUs of an actor, 0.25 shares one (default: 0)",
    )
    add("--ray_cpus", type=Number(float, 0), default=1.0, metavar="X", help="cores of an actor (default: 1)")


def run(args: argparse.Namespace, failures: Failures) -> None:
    """Take up the inputs, then read what the manifest has left."""
    from ptocr.batch import Job, Manifest, run_job
    from ptocr.batch.work import Recipe
    from ptocr.cli.plan import targets_of
    from ptocr.document.tree import MIN_SCORE
    from ptocr.pipelines.predict_options import OCROptions

    folder = Path(args.output)
    _refuse_outputs(args.inputs, folder)
    suffixes = targets_of([f"{folder}{os.sep}"], args.format, None).suffixes
    given = {option.name: value for option in OPTIONS if (value := getattr(args, option.name)) is not None}
    OCROptions().merged(given)  # says what is wrong with them
    given.pop("recursive", None)
    if any(suffix in _WORDS for suffix in suffixes):
        given.setdefault("return_word_box", True)
    manifest = Manifest(folder, _settings(args))
    total = manifest.add(_wanted(args, folder, failures))
    score = MIN_SCORE if args.min_score is None else args.min_score
    recipes = tuple(Recipe(make, str(folder), suffixes, given, score) for make in _makers(args))
    before = manifest.counts()
    todo = total - before["done"] - (0 if args.retry_failed else before["failed"])
    if before["done"]:
        say(f"{folder}: {before['done']} of {total} inputs were done before")
    with _Progress(todo, args.progress, failures) as progress:
        counts = run_job(Job(recipes, args.retries, args.retry_failed), manifest, _engine(args), progress.note)
    manifest.close()
    say(f"{folder}: {counts['done']} inputs with {counts['pages']} pages are done, {counts['failed']} failed")
    if counts["failed"]:
        say(f"note: {folder / 'failed.tsv'} says why; --retry_failed reads them again")


def _refuse_outputs(inputs: list[str], folder: Path) -> None:
    """
    Raises:
        SpecError: an input is the output folder or lies in it.
    """
    from ptocr.files import path_key

    outputs = path_key(folder) + os.sep
    for text in inputs:
        if not text.startswith("@") and "://" not in text and (path_key(text) + os.sep).startswith(outputs):
            raise SpecError(f"{text}: lies in the output folder {folder}; choose another --output")


def _settings(args: argparse.Namespace) -> str:
    """What the results depend on, as text: a job goes on with the same only."""
    kept = {
        k: v for k, v in vars(args).items() if v is not None and k not in _KEEPS and not k.startswith(("ray_", "over"))
    }
    return json.dumps(kept, sort_keys=True, default=str)


def _wanted(args: argparse.Namespace, folder: Path, failures: Failures) -> Iterator[Any]:
    """The items of the inputs but for what lies in the output folder."""
    from ptocr.batch.inventory import list_items
    from ptocr.files import path_key

    outputs = path_key(folder) + os.sep
    for item in list_items(args.inputs, bool(args.recursive)):
        if isinstance(item, InputError):
            failures(item)
        elif "://" in item.source or not (path_key(item.source) + os.sep).startswith(outputs):
            yield item


def _makers(args: argparse.Namespace) -> list[Callable[[], Any]]:
    """What makes a worker's pipeline, for each worker: each device in turn; on CPUs each has its share of the cores."""
    from ptocr.runtime.devices import BY_BACKEND, device_list, resolve_device
    from ptocr.runtime.threads import processors

    devices = device_list(args.device)
    host = all(BY_BACKEND[resolve_device(device).type].host for device in devices)
    cores = processors()
    count = args.workers or (max(1, cores // (args.cpu_threads or 1)) if host else len(devices))
    makers: list[Callable[[], Any]] = []
    for number in range(count):
        own = argparse.Namespace(**vars(args))
        own.device = devices[number % len(devices)]
        if host and args.cpu_threads is None:
            own.cpu_threads = max(1, cores // count)
        makers.append(functools.partial(make_pipeline, own))
    return makers


def _engine(args: argparse.Namespace) -> Any:
    if args.over == "local":
        return None
    from ptocr.batch.cluster import Cluster, ray_engine

    try:
        least, most = (int(number) for number in f"{args.ray_actors},{args.ray_actors}".split(",")[:2])
    except ValueError:
        raise SpecError(f"--ray_actors {args.ray_actors}: give one or two numbers, as 4,64") from None
    return ray_engine(Cluster(args.ray_address, (least, max(least, most)), args.ray_cpus, args.ray_gpus))


class _Progress:
    """A bar over inputs with pages per second and the time left; failures as lines above it."""

    def __init__(self, total: int, shown: bool | None, failures: Failures) -> None:
        from tqdm import tqdm

        hidden = None if shown is None else not shown
        self.bar = tqdm(total=total, unit="input", file=sys.stderr, disable=hidden)
        self.failures, self.pages = failures, 0

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def note(self, outcome: Any) -> None:
        """An item is done or failed."""
        self.pages += outcome.pages
        if outcome.reason:
            self.failures(InputError(outcome.reason))
        self.bar.update()
        elapsed = max(self.bar.format_dict["elapsed"], 1e-3)
        self.bar.set_postfix_str(f"{self.pages / elapsed:.1f} pages/s", refresh=False)
