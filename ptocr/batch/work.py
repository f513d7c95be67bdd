"""Reading one item of a batch job in a worker: its pages through the pipeline, into its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptocr.batch.inventory import Item, content
from ptocr.document.results import OCRResult
from ptocr.document.tree import MIN_SCORE
from ptocr.document.writers import write_results
from ptocr.document.writers.page_file import PageFile
from ptocr.errors import InputError, PtocrError


@dataclass(frozen=True)
class Recipe:
    """How every worker of a job reads. make: gives the pipeline, in the worker; options: of `predict`; suffixes: of the
    files of each item, below `folder`; min_score: lines below are left out of all but JSON and pictures."""

    make: Callable[[], Any]
    folder: str
    suffixes: tuple[str, ...]
    options: Mapping[str, Any]
    min_score: float = MIN_SCORE


@dataclass(frozen=True)
class Outcome:
    """What became of an item. reason: "" where it is done; again: whether another attempt may help."""

    number: int
    pages: int = 0
    seconds: float = 0.0
    reason: str = ""
    again: bool = False


def outputs_of(recipe: Recipe, item: Item) -> list[Path]:
    """The files that an item becomes."""
    return [Path(recipe.folder, f"{item.below}{suffix}") for suffix in recipe.suffixes]


def read_item(pipeline: Any, recipe: Recipe, number: int, item: Item, begun_before: bool) -> Outcome:
    """Read an item and write its files, which appear complete or not at all. Never raises what is about the item."""
    began = time.perf_counter()
    try:
        pages = _read(pipeline, recipe, item, begun_before)
    except InputError as error:
        return Outcome(number, reason=str(error))
    except (OSError, PtocrError, MemoryError, RuntimeError) as error:
        return Outcome(number, reason=f"{type(error).__name__}: {error}", again=True)
    except Exception as error:
        return Outcome(number, reason=f"{type(error).__name__}: {error}")
    return Outcome(number, pages, time.perf_counter() - began)


def _read(pipeline: Any, recipe: Recipe, item: Item, begun_before: bool) -> int:
    paths = outputs_of(recipe, item)
    if not begun_before and (there := [path for path in paths if path.exists()]):
        raise InputError(f"{item.name}: {there[0]} exists and is not of this job")
    value = content(item)
    files = [PageFile(_writer(path, recipe.min_score)) for path in paths]
    pages = 0
    try:
        for result in pipeline.predict(value, **recipe.options):
            if item.member:
                result.page.source = item.name
            for file in files:
                file.add(result)
            pages += 1
        if not pages:
            raise InputError(f"{item.name}: has no pages")
        for file in files:
            file.finish()
    except BaseException:
        for file in files:
            file.drop()
        raise
    return pages


def _writer(path: Path, min_score: float) -> Callable[[Iterable[OCRResult]], list[Path]]:
    return lambda pages: write_results(pages, path, min_score=min_score, place=_further)


def _further(path: Path) -> Path:
    """The name of a further page of a picture: `a~2.png` for `a_2.png`, which may be another input's."""
    stem, _, number = path.stem.rpartition("_")
    return path.with_name(f"{stem}~{number}{path.suffix}")
