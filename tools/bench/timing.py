"""Speed side by side: systems and networks, each in its own process, taking turns on the same input.

Machines drift, so figures are ratios of neighbours in time: every round measures every contender once, a ratio is taken
per round, and the median over rounds is what counts. `script` is the worker, `worker.py` beside this file.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ptocr.errors import PtocrError


@dataclass(frozen=True)
class Contender:
    """What to measure: `kind` as the worker script knows it, its options, and the interpreter that can import it."""

    name: str
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    python: str = sys.executable


@dataclass
class Figures:
    """What was measured of one contender. seconds, processor: one list per round, by the clock and of the processor."""

    name: str
    seconds: list[list[float]] = field(default_factory=list)
    first_result: float = 0.0
    peak_rss_mb: float = 0.0
    texts: dict[str, list[str]] = field(default_factory=dict, repr=False)
    error: str = ""
    processor: list[list[float]] = field(default_factory=list)

    def totals(self, processor: bool = False) -> list[float]:
        """Seconds of each round, by the clock or of the processor."""
        return [sum(one) for one in (self.processor if processor else self.seconds)]


class Process:
    """A worker process."""

    def __init__(self, contender: Contender, threads: int, script: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [contender.python, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request, one answer.

        Raises:
            PtocrError: the worker reports an error or died.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"the process ended with status {self.process.poll()}"}
        if "error" in answer:
            raise PtocrError(answer["error"])
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


def bench_pages(
    contenders: Sequence[Contender],
    pages: Sequence[Path],
    rounds: int,
    threads: int,
    script: Path,
    progress: Any = iter,
    read: str = "page",
) -> list[Figures]:
    """End to end: every contender reads every page in every round, page by page in turn. Round 0 warms up.

    read: "page" gives decoded pictures, "file" lets each system decode the file.
    """
    figures, workers = _start(contenders, threads)
    for figure, contender in zip(figures, contenders, strict=True):
        start = time.perf_counter()
        if (worker := _launch(contender, threads, script, figure)) is None:
            continue
        workers[figure.name] = worker
        answer = _try(figure, worker, do="load", kind=contender.kind, options=contender.options)
        if answer is not None:
            _try(figure, worker, do=read, path=str(pages[0]))
            figure.first_result = time.perf_counter() - start
    for number in progress(range(rounds + 1)):
        for figure in figures:
            figure.seconds.append([])
            figure.processor.append([])
        for page in pages:
            for figure in _working(figures, number):
                answer = _try(figure, workers[figure.name], do=read, path=str(page))
                if answer is not None:
                    figure.seconds[-1].append(answer["seconds"])
                    figure.processor[-1].append(answer["processor"])
                    figure.texts[page.name] = answer["texts"]
    return _finish(figures, workers)


def bench_network(
    contenders: Sequence[Contender], shape: Sequence[int], rounds: int, threads: int, script: Path, warmup: int = 3
) -> list[Figures]:
    """One network: every contender runs the same random batch a few times per round; the median counts."""
    figures, workers = _start(contenders, threads)
    for figure, contender in zip(figures, contenders, strict=True):
        if (worker := _launch(contender, threads, script, figure)) is None:
            continue
        workers[figure.name] = worker
        request = {"kind": contender.kind, "options": contender.options, "shape": list(shape)}
        _try(figure, worker, do="load_network", **request)
    for number in range(rounds + warmup):
        for figure in _working(figures, number):
            answer = _try(figure, workers[figure.name], do="forward")
            if answer is not None and number >= warmup:
                figure.seconds.append([answer["seconds"]])
                figure.processor.append([answer["processor"]])
    return _finish(figures, workers, drop_first=False)


def _start(contenders: Sequence[Contender], threads: int) -> tuple[list[Figures], dict[str, Process]]:
    return [Figures(contender.name) for contender in contenders], {}


def _launch(contender: Contender, threads: int, script: Path, figure: Figures) -> Process | None:
    try:
        return Process(contender, threads, script)
    except OSError as error:
        figure.error = f"{contender.python}: {error.strerror}"
        return None


def _try(figure: Figures, worker: Process, **request: Any) -> dict[str, Any] | None:
    try:
        return worker.ask(**request)
    except PtocrError as error:
        figure.error = str(error)
        return None


def _working(figures: Iterable[Figures], number: int) -> list[Figures]:
    """Contenders without error, in an order that changes from round to round."""
    alive = [figure for figure in figures if not figure.error]
    shift = number % max(1, len(alive))
    return alive[shift:] + alive[:shift]


def _finish(figures: list[Figures], workers: dict[str, Process], drop_first: bool = True) -> list[Figures]:
    for figure in figures:
        if drop_first and figure.seconds:
            figure.seconds.pop(0)
            figure.processor.pop(0)
        if figure.name in workers:
            answer = None if figure.error else _try(figure, workers[figure.name], do="peak")
            figure.peak_rss_mb = answer["peak_rss_mb"] if answer else 0.0
            workers[figure.name].close()
    return figures


def ratios(
    figures: Sequence[Figures], reference: str, processor: bool = False
) -> dict[str, tuple[float, float, float]]:
    """How many times as fast as `reference` each contender is: minimum, median, maximum over rounds."""
    sound = (figure for figure in figures if figure.name == reference and not figure.error)
    base = next((figure.totals(processor) for figure in sound), [])
    table = {}
    for figure in figures:
        pairs = [theirs / ours for theirs, ours in zip(base, figure.totals(processor), strict=False)]
        if pairs and not figure.error:
            table[figure.name] = (min(pairs), statistics.median(pairs), max(pairs))
    return table


def agreement(reference: Figures, other: Figures) -> tuple[int, int]:
    """How many lines of `reference` the other one reads to the letter, page by page as multisets, of how many."""
    same = total = 0
    for page, texts in reference.texts.items():
        total += len(texts)
        same += (Counter(texts) & Counter(other.texts.get(page, []))).total()
    return same, total


def table(figures: Sequence[Figures], references: Sequence[str], count: int = 0) -> str:
    """Markdown. count: pages per round, 0 for networks (then milliseconds).

    Against the first of the references that there is also by seconds of the processor, of which other processes take
    nothing: the column "by the processor".
    """
    unit = "pages/s" if count else "ms"
    against = {reference: found for reference in references if (found := ratios(figures, reference))}
    references = list(against)
    used_by = ratios(figures, references[0], processor=True) if references else {}
    head = ["", unit, *(f"x {reference}" for reference in references)]
    head += ["by the processor"] if used_by else []
    head += ["first result, s", "peak RSS, MB", f"lines as {figures[0].name}", "processor s a page"] if count else []
    rows = [head, ["---"] * len(head)]
    for figure in figures:
        if figure.error:
            rows.append([figure.name, f"failed: {figure.error[:80]}", *[""] * (len(head) - 2)])
            continue
        middle = statistics.median(figure.totals())
        row = [figure.name, f"{count / middle:.2f}" if count else f"{middle * 1e3:.1f}"]
        for reference in references:
            low, median, high = against[reference].get(figure.name, (0.0, 0.0, 0.0))
            row.append(f"{median:.2f} ({low:.2f}-{high:.2f})")
        row += ["{1:.2f} ({0:.2f}-{2:.2f})".format(*used_by.get(figure.name, (0.0, 0.0, 0.0)))] if used_by else []
        if count:
            same, total = agreement(figures[0], figure)
            row += [f"{figure.first_result:.1f}", f"{figure.peak_rss_mb:.0f}", f"{same}/{total}"]
            used = [sum(one) / count for one in figure.processor]
            row.append(f"{statistics.median(used):.2f}" if used else "-")
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def plain(figures: Sequence[Figures]) -> list[dict[str, Any]]:
    """For JSON, without the texts."""
    return [{key: value for key, value in asdict(figure).items() if key != "texts"} for figure in figures]
