"""Kernels for machines of another kind, cross-compiled and run under an emulator, answer as those of this machine do.

They need Debian's `g++-aarch64-linux-gnu` and `qemu-user`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from ptocr.runtime.cpu import isa
from ptocr.runtime.cpu.lowering import lower
from ptocr.runtime.cpu.program import Program
from ptocr.runtime.eager import open_eager
from tests.runtime.cpu.test_native import CLS, DET, REC, SIZES, alike, picture, placed

COMPILER, EMULATOR, LIBRARIES = "aarch64-linux-gnu-g++", "qemu-aarch64", "/usr/aarch64-linux-gnu"
CHOSEN = isa.SETS["arm64"]["neon"]
SHORT = ["ch_ppocr_mobile_v2.0_cls", "PP-OCRv6_tiny_det", "PP-OCRv6_tiny_rec"]


def compiled(folder: Path, *flags: str) -> Path:
    """The runner, linked with a library of the kernels as wheels have it."""
    if shutil.which(COMPILER) is None or shutil.which(EMULATOR) is None:
        pytest.skip("no compiler for, or no emulator of, arm64")
    library, runner = folder / "libkernels.so", folder / "runner"
    kernels = [*isa.FLAGS, *CHOSEN.flags, *flags, str(isa.SOURCES / "program.cpp"), "-o", str(library)]
    main = ["-std=c++17", str(Path(__file__).with_name("program_runner.cpp")), str(library), "-o", str(runner)]
    for arguments in (kernels, [*main, "-pthread"]):
        subprocess.run([COMPILER, *arguments], check=True)
    return runner


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("quick"), "-O1")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("shipped"))


def emulated(runner: Path, program: Program, x: np.ndarray, like: list[np.ndarray]) -> list[np.ndarray]:
    """What the program makes of x on two threads of the other machine: arrays of the forms of `like`."""
    params, greedy = program.buffer.joined(), int(None in program.outputs)
    numbers = [len(program.code), params.nbytes, len(program.outputs), greedy, 2, *x.shape, *program.code]
    source, results = runner.with_name("program"), runner.with_name("results")
    source.write_bytes(np.array(numbers, np.int64).tobytes() + params.tobytes() + x.tobytes())
    subprocess.run([EMULATOR, "-L", LIBRARIES, str(runner), str(source), str(results)], check=True)
    data = results.read_bytes()
    assert len(data) == sum(array.nbytes for array in like)
    ends = np.cumsum([0, *(array.nbytes for array in like)])
    return [
        np.frombuffer(data, array.dtype, array.size, end).reshape(array.shape)
        for array, end in zip(like, ends[:-1], strict=True)
    ]


def check(runner: Path, name: str) -> None:
    network = placed(name)
    spec = network.checkpoint.spec
    for decode in (True, False) if spec.task == "rec" else (True,):
        with torch.no_grad():
            program = lower(network.fresh(decode), CHOSEN.lanes)
        for shape in (SIZES.get(spec.task) or [(2, *spec.probe)])[1:] or [(2, *spec.probe)]:
            theirs = open_eager(network, decode).run(x := picture(*shape))
            alike(emulated(runner, program, x, theirs), theirs)


@pytest.mark.parametrize("name", SHORT)
def test_arm64_as_eager(name: str, quick: Path) -> None:
    check(quick, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DET, *REC, *CLS])
def test_arm64_as_wheels_have_it(name: str, shipped: Path) -> None:
    check(shipped, name)
