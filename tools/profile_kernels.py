"""Where a network's time goes on ptocr's own kernels: milliseconds and GFLOP/s of every chain of layers, slowest first.

python tools/profile_kernels.py PP-OCRv4_mobile_rec 1x3x48x320 [--dtype bfloat16] [--threads 1]

A chain reads like "depthwise 48-48 3x3, dense 48-96 1x1"; see ptocr/runtime/cpu. Squeeze-excites, attention and the
like are "the rest", and run slower here than in a compiled package.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from ptocr.runtime.cpu import library as kernels
from ptocr.runtime.cpu.plan import Kind, layers_of
from ptocr.runtime.cpu.rewrite import nativize
from ptocr.runtime.placed import PlacedNetwork
from ptocr.weights import store


def described(plan: list[int], x: Tensor) -> tuple[str, float]:
    """What a chain is, and how many floating point operations it takes for an input like x."""
    names, work = [], 0.0
    for layer, height, width in layers_of(plan, x.shape[2], x.shape[3]):
        kind = layer.kind
        names.append(f"{kind.name.lower()} {layer.inputs}-{layer.outputs} {layer.kh}x{layer.kw}")
        multiplied = {Kind.DEPTHWISE: 1, Kind.MIXED: 0, Kind.POOL: 0}.get(kind, layer.inputs)
        work += 2.0 * x.shape[0] * multiplied * layer.outputs * layer.kh * layer.kw * height * width
    return ", ".join(names), work


def main() -> None:
    """Run the network some times and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("shape", help="1x3x736x1280, for example")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=12)
    args = parser.parse_args()
    dtype, cpu = getattr(torch, args.dtype), torch.device("cpu")
    if not kernels.supports(dtype) or not kernels.build_and_load():
        parser.error(f"there are no kernels for {args.dtype} on this machine")
    torch.set_num_threads(args.threads)
    network = nativize(PlacedNetwork(store.load(args.model), cpu, dtype).fresh(decode=True), kernels.lanes())
    x = torch.rand([int(n) for n in args.shape.split("x")]).to(dtype).to(memory_format=torch.channels_last)
    seconds, about, totals = timed(network, x, args.runs)
    rows = sorted(((statistics.median(took) * 1e3, *about[place]) for place, took in seconds.items()), reverse=True)
    for milliseconds, name, work in rows:
        print(f"{milliseconds:8.3f} ms {work / milliseconds / 1e6:6.0f} GFLOP/s  {name}")
    in_chains, work = sum(row[0] for row in rows), sum(row[2] for row in rows)
    print(f"{in_chains:8.3f} ms {work / in_chains / 1e6:6.0f} GFLOP/s  all chains, {work / 1e9:.2f} GFLOP")
    print(f"{statistics.median(totals) * 1e3 - in_chains:8.3f} ms the rest")


def timed(
    network: torch.nn.Module, x: torch.Tensor, runs: int
) -> tuple[dict[int, list[float]], dict[int, tuple[str, float]], list[float]]:
    """Seconds and description of each chain by its place in the network, and seconds of the whole, over some runs."""
    seconds: dict[int, list[float]] = defaultdict(list)
    about: dict[int, tuple[str, float]] = {}
    totals = []
    operator = torch.ops.ptocr.convs.default

    class Timed(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            start = time.perf_counter()
            result = func(*args, **(kwargs or {}))
            if func is operator:
                seconds[place := next(places)].append(time.perf_counter() - start)
                about[place] = described(args[3], args[0])
            return result

    for _ in range(runs):
        places = itertools.count()
        start = time.perf_counter()
        with torch.inference_mode(), Timed():
            network(x)
        totals.append(time.perf_counter() - start)
    return seconds, about, totals


if __name__ == "__main__":
    main()
