"""ptocr's own kernels (src/): compiled once for this kind of processor, kept in the user's cache.

They are for compiled packages, which call them through torch's C interface. Where there are none (another processor,
system or number type, a compiler that cannot) packages use torch's own convolutions.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import logging
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from ptocr import paths
from ptocr.errors import DeviceError
from ptocr.files import made
from ptocr.runtime import machine_code, torch_private
from ptocr.runtime.cpu import chains
from ptocr.runtime.cpu.plan import Extra

log = logging.getLogger(__name__)

SOURCES = Path(__file__).parent / "src"
FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-shared", "-fPIC", "-DPTOCR_TORCH"]
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"]
# The operator as generated code declares it
C_INTERFACE = (
    "AOTITorchError aoti_torch_cpu_convs(AtenTensorHandle x, const AtenTensorHandle* extra, int64_t extra_len_, "
    "AtenTensorHandle params, const int64_t* plan, int64_t plan_len_, AtenTensorHandle* ret0)"
)


def supports(dtype: torch.dtype) -> bool:
    """Whether there are kernels for this kind of machine and number."""
    flags = _machine_flags()
    return bool(flags) and (dtype == torch.float32 or (dtype == torch.bfloat16 and "-mavx512bf16" in flags))


def lanes() -> int:
    """float32 numbers in a vector of this processor."""
    return 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8


@functools.cache
def key() -> str:
    """Everything the compiled kernels depend on."""
    sources = [file.read_text() for file in sorted(SOURCES.iterdir()) if file.is_file()]
    facts = [sources, FLAGS, _machine_flags(), torch.__version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]


def library_path() -> Path:
    """Where the compiled kernels are."""
    return paths.compiled() / f"kernels-{key()}.so"


def load() -> None:
    """Load the compiled kernels into this process, once; they are the operator's implementation from then on.

    Raises:
        ValueError, OSError: there are none in the cache, or they are damaged.
    """
    machine_code.checked(library_path())
    _load()


def build_and_load() -> bool:
    """As `load`, but compile the kernels where they are missing; False, and a warning, if that fails."""
    path = library_path()

    def build(part: Path) -> None:
        _compile(part)
        machine_code.record(part, path)

    try:
        made(path, build, lambda: machine_code.is_sound(path), DeviceError, "set PTOCR_COMPILED to a folder that can")
        load()
    except DeviceError as error:
        log.warning("ptocr's own kernels are not used, packages use torch's: %s", error)
        return False
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        reason = error.stderr if isinstance(error, subprocess.CalledProcessError) else error
        log.warning("ptocr's own kernels do not compile here, packages use torch's: %s", reason)
        return False
    return True


def _machine_flags() -> list[str]:
    """What the compiler is told about this processor; [] where there are no kernels for it."""
    capability = torch.backends.cpu.get_cpu_capability() if sys.platform == "linux" else ""
    if capability == "AVX512":
        return [*AVX512, *(["-mavx512bf16"] if torch_private.cpu_has_bfloat16() else [])]
    return AVX2 if capability == "AVX2" else []


@functools.cache
def _load() -> None:
    library = ctypes.CDLL(str(library_path()), mode=ctypes.RTLD_GLOBAL)  # packages look for its functions

    def address(x: Tensor | None) -> ctypes.c_void_p:
        return ctypes.c_void_p(None if x is None else x.data_ptr())

    def convs(x: Tensor, extra: list[Tensor], params: Tensor, plan: list[int]) -> Tensor:
        result = chains.result_of(x, plan)
        x, *extra = (y.contiguous(memory_format=torch.channels_last) for y in (x, *extra))
        other = extra[0] if plan[0] & Extra.HAS_OTHER else None
        gates = extra[-1] if plan[0] & Extra.HAS_GATES else None
        shape, numbers = (ctypes.c_int64 * 4)(*x.shape), (ctypes.c_int64 * len(plan))(*plan)
        half = int(x.dtype == torch.bfloat16)
        library.ptocr_convs(
            address(x), shape, address(other), address(gates), address(params), numbers, half, address(result)
        )
        return result

    chains.OPERATOR.impl("convs", convs, "CPU")


def _compile(part: Path) -> None:
    libraries = Path(torch.__file__).parent / "lib"
    command = [machine_code.compiler() or "c++", *FLAGS, *_machine_flags(), str(SOURCES / "convs.cpp"), "-o", str(part)]
    subprocess.run([*command, f"-L{libraries}", "-ltorch_cpu"], check=True, capture_output=True, text=True)
