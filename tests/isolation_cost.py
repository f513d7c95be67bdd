"""A script, `python -m tests.isolation_cost TURNS MODEL FILE ...`: what decoding in processes of their own costs.

Files are read in turns with `isolate="never"` and `"always"`, decoded only and through the whole pipeline of MODEL.
Prints, for both, the median over the turns of the throughput with isolation to that without: by the clock, and by
processor time of this process and its decoders.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ptocr
from ptocr.inputs import isolation
from ptocr.inputs.page import Isolate
from ptocr.inputs.read import iter_pages

TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds() -> float:
    """Of this process and the decoders that run."""
    total = time.process_time()
    for decoder in isolation._POOL.all:
        if decoder.process.poll() is None:
            fields = Path(f"/proc/{decoder.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def taken(read: Callable[[Isolate], Any], isolate: Isolate) -> tuple[float, float]:
    """(clock, processor) seconds."""
    clock, processor = time.monotonic(), processor_seconds()
    for _ in read(isolate):
        pass
    return time.monotonic() - clock, processor_seconds() - processor


def ratios(read: Callable[[Isolate], Any], turns: int) -> tuple[float, float]:
    """Medians of (clock, processor) without isolation to those with it, after a turn to warm up."""
    found: list[tuple[float, float]] = []
    for turn in range(turns + 1):
        order: list[Isolate] = ["never", "always"] if turn % 2 else ["always", "never"]
        seconds = {isolate: taken(read, isolate) for isolate in order}
        if turn:
            found.append(tuple(a / b for a, b in zip(seconds["never"], seconds["always"], strict=True)))  # type: ignore[arg-type]
    return statistics.median(a for a, _ in found), statistics.median(b for _, b in found)


def main(turns: int, model: str, files: list[str]) -> None:
    pipeline = ptocr.create_pipeline(model, device="cpu")
    ways: dict[str, Callable[[Isolate], Any]] = {
        "decoded only": lambda isolate: iter_pages(files, isolate=isolate),
        "pages read": lambda isolate: pipeline.predict(files, isolate=isolate),
    }
    for name, read in ways.items():
        clock, processor = ratios(read, turns)
        print(f"{name}: {clock:.3f} of the throughput by the clock, {processor:.3f} by processor time", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
