"""ptocr's kernels as libraries, one for each instruction set, and which of them this process uses.

They are built with the package (setup.py) and lie beside it; nothing is compiled when a network runs. A checkout builds
them with `python -m ptocr.runtime.cpu.isa`.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).parent / "src"
FOLDER = Path(__file__).parent / "lib"
FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", "-fvisibility=hidden"]
OVERRIDE = "PTOCR_CPU"


class InstructionSet(NamedTuple):
    """lanes: float32 numbers of a vector; flags: what the compiler is told; bfloat16: whether it multiplies these;
    tried: whether the kernels have run on such a processor. Others are built and used where $PTOCR_CPU names them.
    """

    lanes: int
    flags: tuple[str, ...]
    bfloat16: bool = False
    tried: bool = False


_AVX2 = ("-mavx2", "-mfma", "-mf16c")
_AVX512 = (*_AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq")
# From the lowest to the highest, by machine
SETS: dict[str, dict[str, InstructionSet]] = {
    "x86_64": {
        "avx2": InstructionSet(8, _AVX2, tried=True),
        "avx512": InstructionSet(16, _AVX512),
        "avx512bf16": InstructionSet(16, (*_AVX512, "-mavx512bf16"), bfloat16=True),
    },
}


def sets_here() -> dict[str, InstructionSet]:
    """The instruction sets of this kind of machine that there are kernels for; {} elsewhere."""
    return SETS.get(os.uname().machine, {}) if sys.platform == "linux" else {}


def built_here() -> list[str]:
    """The instruction sets that are built here, from the lowest to the highest."""
    return [name for name, row in sets_here().items() if row.tried or name == os.environ.get(OVERRIDE)]


def library_path(name: str) -> Path:
    """Where the kernels for an instruction set are; the name holds everything that they are made from."""
    return FOLDER / f"kernels-{name}-{_key(name)}.so"


@functools.cache
def _key(name: str) -> str:
    digest = hashlib.sha256(" ".join([*FLAGS, *sets_here()[name].flags]).encode())
    for file in sorted(file for file in SOURCES.iterdir() if file.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def compiler() -> str:
    """The name of the C++ compiler."""
    return os.environ.get("CXX") or "g++"


def build(folder: Path = FOLDER) -> list[Path]:
    """Compile the kernels for the instruction sets of this kind of machine that were tried, and for that of $PTOCR_CPU,
    side by side.

    Raises:
        OSError: no compiler. subprocess.CalledProcessError: it fails; stderr says why.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda name: build_one(name, folder), built_here()))


def build_one(name: str, folder: Path = FOLDER) -> Path:
    """Compile the kernels for an instruction set; those that are there stay, or are copied. Raises as `build`."""
    path, built = folder / library_path(name).name, library_path(name)
    if built.is_file() and not path.is_file():  # the name holds all that they are made from
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built, path)
    if not path.is_file():
        if shutil.which(compiler()) is None:
            raise FileNotFoundError(f"no C++ compiler {compiler()!r}")
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        source = str(SOURCES / "program.cpp")
        command = [compiler(), *FLAGS, *sets_here()[name].flags, source, "-o", str(part), "-pthread"]
        subprocess.run(command, check=True, capture_output=True, text=True)
        part.replace(path)
    return path


@functools.cache
def load(name: str) -> ctypes.CDLL:
    """The kernels for an instruction set, loaded once.

    Raises:
        OSError: they are not built, or do not load.
    """
    library = ctypes.CDLL(str(library_path(name)))
    library.ptocr_program.restype = ctypes.c_void_p
    return library


if __name__ == "__main__":
    build()
