"""ptocr's own kernels (ptocr/nn/native/src): compiled once for this kind of processor, kept in the user's cache.

They are for compiled packages, which call them through torch's C interface. Without them (another processor or compiler)
packages use torch's own convolutions.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import filelock
import torch
from torch import Tensor

from ptocr import paths
from ptocr.nn.native import chains

log = logging.getLogger(__name__)

SOURCE = Path(__file__).parent / "nn" / "native" / "src" / "convs.cpp"
FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-shared", "-fPIC", "-DPTOCR_TORCH"]
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"]
LOCK_SECONDS = 600.0
# The operator as generated code declares it
C_INTERFACE = (
    "AOTITorchError aoti_torch_cpu_convs(AtenTensorHandle x, const AtenTensorHandle* extra, int64_t extra_len_, "
    "AtenTensorHandle params, const int64_t* plan, int64_t plan_len_, AtenTensorHandle* ret0)"
)


def machine_flags() -> list[str]:
    """What the compiler is told about this processor; [] where there are no kernels for it."""
    if sys.platform != "linux":
        return []
    capability = torch.backends.cpu.get_cpu_capability()
    if capability == "AVX512":
        return [*AVX512, *(["-mavx512bf16"] if torch.cpu._is_avx512_bf16_supported() else [])]
    return AVX2 if capability == "AVX2" else []


def lanes() -> int:
    """float32 numbers in a vector of this processor."""
    return 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8


def supports(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether there are kernels for this kind of machine and number."""
    flags = machine_flags() if device.type == "cpu" else []
    return dtype == torch.float32 and bool(flags) or dtype == torch.bfloat16 and "-mavx512bf16" in flags


@functools.cache
def key() -> str:
    """Everything the compiled kernels depend on."""
    sources = [file.read_text() for file in sorted(SOURCE.parent.iterdir())]
    facts = [sources, FLAGS, machine_flags(), torch.__version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]


def library_path() -> Path:
    """Where the compiled kernels are."""
    return paths.compiled() / f"kernels-{key()}.so"


@functools.cache
def load() -> None:
    """Load the compiled kernels into this process, and give the operator its implementation.

    Raises:
        ValueError, OSError: there are none, or they are damaged.
    """
    path = library_path()
    if hashlib.sha256(path.read_bytes()).hexdigest() != json.loads(path.with_suffix(".json").read_text())["sha256"]:
        raise ValueError(f"{path}: its hash is not the one it was built with")
    library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)  # packages look for its functions

    def convs(x: Tensor, extra: list[Tensor], params: Tensor, plan: list[int]) -> Tensor:
        result = chains.result_of(x, plan)
        maps = [x.contiguous(memory_format=torch.channels_last), *(e.contiguous(memory_format=torch.channels_last) for e in extra)]
        other = maps[1].data_ptr() if plan[0] & chains.HAS_OTHER else None
        gates = maps[-1].data_ptr() if plan[0] & chains.HAS_GATES else None
        shape, numbers = (ctypes.c_int64 * 4)(*x.shape), (ctypes.c_int64 * len(plan))(*plan)
        pointers = [ctypes.c_void_p(p) for p in (other, gates, params.data_ptr())]
        half = int(x.dtype == torch.bfloat16)
        library.ptocr_convs(ctypes.c_void_p(maps[0].data_ptr()), shape, *pointers, numbers, half, ctypes.c_void_p(result.data_ptr()))
        return result

    chains.OPERATOR.impl("convs", convs, "CPU")


def build_and_load() -> bool:
    """Compile the kernels where they are not in the cache yet, and load them; False (and a warning) if that fails."""
    path = library_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS):
            try:
                load()
            except (OSError, ValueError):
                _compile(path)
                load()
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        log.warning("ptocr's own kernels do not compile here, torch's are used: %s", error)
        return False
    return True


def _compile(path: Path) -> None:
    compiler = os.environ.get("CXX") or next((c for c in ("g++", "clang++") if shutil.which(c)), "c++")
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.so")
    libraries = Path(torch.__file__).parent / "lib"
    command = [compiler, *FLAGS, *machine_flags(), str(SOURCE), "-o", str(part), f"-L{libraries}", "-ltorch_cpu"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        path.unlink(missing_ok=True)  # never a new record beside an old file
        path.with_suffix(".json").write_text(json.dumps({"sha256": digest}))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
