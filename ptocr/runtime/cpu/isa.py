"""ptocr's kernels as libraries, one for each instruction set, and which of them this process uses.

They are built with the package (setup.py) and lie beside it; nothing is compiled when a network runs. A checkout builds
them with `python -m ptocr.runtime.cpu.isa`.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).parent / "src"
FOLDER = Path(__file__).parent / "lib"
FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fvisibility=hidden"]
FLAGS += [] if sys.platform == "win32" else ["-fPIC", "-pthread"]
OVERRIDE = "PTOCR_CPU"


class InstructionSet(NamedTuple):
    """lanes: float32 numbers of a vector; features: of the processor, as Linux calls them, beyond what every machine of
    its kind has; bfloat16: whether it multiplies these.
    """

    lanes: int
    features: tuple[str, ...]
    bfloat16: bool = False

    @property
    def flags(self) -> list[str]:
        """What the compiler is told."""
        return [f"-m{feature.replace('_', '')}" for feature in self.features]


_AVX2 = ("avx2", "fma", "f16c")
_AVX512 = (*_AVX2, "avx512f", "avx512bw", "avx512vl", "avx512dq")
# From the lowest to the highest, by machine
SETS: dict[str, dict[str, InstructionSet]] = {
    "x86_64": {
        "avx2": InstructionSet(8, _AVX2),
        "avx512": InstructionSet(16, _AVX512),
        "avx512bf16": InstructionSet(16, (*_AVX512, "avx512_bf16"), bfloat16=True),
    },
    "arm64": {"neon": InstructionSet(4, ())},
}
# (system, its name of the machine) -> the machine's name above
MACHINES = {
    ("Linux", "x86_64"): "x86_64",
    ("Linux", "aarch64"): "arm64",
    ("Darwin", "arm64"): "arm64",
    ("Windows", "AMD64"): "x86_64",
}
# What Windows tells of a processor by number, and what comes with it on all that it runs on
WINDOWS_FEATURES = {40: _AVX2, 41: _AVX512}


def sets_here() -> dict[str, InstructionSet]:
    """The instruction sets of this kind of machine that there are kernels for; {} elsewhere."""
    return SETS.get(MACHINES.get((platform.system(), platform.machine()), ""), {})


def usable() -> list[str]:
    """Those that this processor has, from the lowest to the highest."""
    features = _features()
    return [name for name, row in sets_here().items() if features.issuperset(row.features)]


@functools.cache
def _features() -> frozenset[str]:
    """What this processor says it can."""
    if sys.platform == "win32":
        has = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return frozenset(name for number, names in WINDOWS_FEATURES.items() if has(number) for name in names)
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    return frozenset(next((line for line in lines if line.startswith("flags")), "").partition(":")[2].split())


def chosen() -> str:
    """The highest instruction set of this processor whose kernels are built, "" if there is none; $PTOCR_CPU names
    another one.

    Raises:
        DeviceError: $PTOCR_CPU names none of this processor's.
    """
    here, wanted = usable(), os.environ.get(OVERRIDE)
    if wanted and wanted not in here:
        from ptocr.errors import DeviceError  # setup.py runs this file alone

        raise DeviceError(f"{OVERRIDE}={wanted!r}: this processor has {', '.join(here) or 'no kernels'}")
    return wanted or next((name for name in reversed(here) if library_path(name).is_file()), "")


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
    """The name of the C++ compiler; on Windows clang's, since Microsoft's has no vectors of GCC's kind."""
    return os.environ.get("CXX") or ("clang++" if sys.platform == "win32" else "g++")


def build(folder: Path = FOLDER) -> list[Path]:
    """Compile the kernels for all instruction sets of this kind of machine, side by side.

    Raises:
        OSError: no compiler. subprocess.CalledProcessError: it fails; stderr says why.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda name: build_one(name, folder), sets_here()))


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
        command = [compiler(), *FLAGS, *sets_here()[name].flags, source, "-o", str(part)]
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
