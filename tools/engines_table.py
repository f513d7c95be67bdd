"""Which engine runs which network: each is opened with each engine, run once and compared with eager torch.

    python tools/engines_table.py                    # all networks, written to docs/engines.json as they are measured
    python tools/engines_table.py --only rec_ --compile
    python tools/models_table.py                     # then the table in docs/models.md

Networks have random numbers for weights and a small picture. Models of one
architecture (languages) are measured once.
A network that takes longer than --seconds counts as one that the engine does not run, and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ptocr.checkpoint import Checkpoint
from ptocr.nn.build import build_network
from ptocr.runtime.eager import open_eager
from ptocr.runtime.placed import PlacedNetwork
from ptocr.runtime.session import Session
from ptocr.runtime.shapes import sizes_of
from ptocr.spec.model import list_specs, load_spec

FILE = Path(__file__).resolve().parents[1] / "docs" / "engines.json"
MARK = "measured: "
COLORS = re.compile(r"\x1b\[[0-9;]*m")  # of messages for terminals
CLOSE = 1e-3  # of the largest output: rounding of networks that pass their decisions on stays well below


def architectures() -> dict[str, str]:
    """Every model -> the first one with the same architecture."""
    first: dict[str, str] = {}
    return {n: first.setdefault(json.dumps(load_spec(n).architecture, sort_keys=True), n) for n in list_specs()}


def checkpoint_of(name: str) -> Checkpoint:
    """The untrained network of a model."""
    torch.manual_seed(0)
    spec = load_spec(name)
    state = build_network(spec.architecture, spec.classes).state_dict()
    return Checkpoint(spec, spec.load_charset(), "train", state)


def inputs_of(checkpoint: Checkpoint) -> list[np.ndarray]:
    """One picture of the size that a network is traced with, and what it is given beside."""
    random = np.random.RandomState(0)
    return [random.standard_normal((1, *sizes.shape[1:])).astype(np.float32) for sizes in sizes_of(checkpoint)]


def open_native(network: PlacedNetwork) -> Session | None:
    from ptocr.runtime.cpu import native

    return native.open_native(network, True)


def open_onnx(network: PlacedNetwork) -> Session | None:
    from ptocr.runtime.onnx import OnnxRuntimeSession

    return OnnxRuntimeSession(network, True, None)


def open_compiled(network: PlacedNetwork) -> Session | None:
    from ptocr.runtime.compiled import open_built

    return open_built(network, True) if network.checkpoint.spec.row.compiles else None


OPEN: dict[str, Callable[[PlacedNetwork], Session | None]] = {
    "native": open_native,
    "onnx": open_onnx,
    "compiled": open_compiled,
}


def measured(name: str, engine: str) -> str:
    """ "yes", or why not. "torch" is what the others are compared with: it runs."""
    checkpoint = checkpoint_of(name)
    network = PlacedNetwork(checkpoint, "cpu", "float32")
    inputs = inputs_of(checkpoint)
    wanted = open_eager(network, True).run(*inputs)
    try:
        session = OPEN[engine](network)
        if session is None:
            return "no"
        found = session.run(*inputs)
    except Exception as error:  # whatever an engine says of a network that it does not take
        lines = COLORS.sub("", str(error)).strip().splitlines() or [type(error).__name__]
        return f"no: {lines[0][:120]}"
    away = max(_away(a, b) for a, b in zip(found, wanted, strict=True))
    return "yes" if away <= CLOSE else f"no: differs by {away:.1e}"


def _away(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference relative to the largest value; infinite for other shapes."""
    if found.shape != wanted.shape:
        return float("inf")
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-9)) if wanted.size else 0.0


def in_its_own_process(name: str, engines: list[str], seconds: int) -> dict[str, str]:
    """The same of several engines, where a network that takes long or ends the process harms no other."""
    with tempfile.TemporaryDirectory(prefix="ptocr-engines-") as cache:
        command, found = [sys.executable, __file__, "--one", name, *engines], ""
        try:
            environment = {**os.environ, "PTOCR_HOME": cache}
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)
            found, why = done.stdout, f"ended with status {done.returncode}"
        except subprocess.TimeoutExpired as error:
            found, why = (error.stdout or b"").decode(), f"longer than {seconds} s"
    answers = [line.removeprefix(MARK) for line in found.splitlines() if line.startswith(MARK)]
    return dict(zip(engines, [*answers, *[f"no: {why}"] * len(engines)], strict=False))


def main() -> int:
    """Measure and write; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--only", default="", help="only models whose name contains this")
    add("--compile", action="store_true", help="compile them too, which takes minutes each")
    add("--new", action="store_true", help="leave out what has been measured")
    add("--seconds", type=int, default=600, help="longest time for one network with one engine")
    add("--one", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        for engine in args.one[1:]:
            print(MARK + measured(args.one[0], engine), flush=True)
        return 0
    known: dict[str, dict[str, Any]] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    names = [name for name in sorted(set(architectures().values())) if args.only in name]
    engines = [engine for engine in OPEN if args.compile or engine != "compiled"]
    for name in tqdm(names, unit="model", disable=None):
        row = known.setdefault(name, {})
        wanted = [engine for engine in engines if not (args.new and engine in row)]
        if wanted:
            row |= in_its_own_process(name, wanted, args.seconds)
        FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
