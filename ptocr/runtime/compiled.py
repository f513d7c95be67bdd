"""Compiled packages: one AOTInductor file per network, data type and kind of processor, with dynamic batch and size.

Built once (needs a C++ compiler), kept in the user's cache, loaded in milliseconds without a compiler. A package is
machine code, so only what this user's cache holds is loaded, and only if its hash is the one written when it was built.
`torch._inductor.aoti_*` has no public name yet; it is used here and in `package.py` alone.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ptocr import paths
from ptocr.checkpoint import Checkpoint
from ptocr.errors import DeviceError
from ptocr.files import made
from ptocr.runtime import machine_code, package
from ptocr.runtime.cpu import library as kernels
from ptocr.runtime.export import example_input
from ptocr.runtime.package import Compiled

log = logging.getLogger(__name__)

# Weights laid out once; as many threads as the caller has, not as many as there were at compile time.
INDUCTOR = {"freezing": True, "cpp.dynamic_threads": True}


def find(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Compiled | None:
    """The compiled network if a sound package of exactly these weights is in the cache, else None."""
    path = package_path(checkpoint, device, dtype)
    if not path.is_file():
        return None
    try:
        return _load(path, device)
    except Exception as error:  # whatever is wrong with it, a package can be made again
        log.warning("%s: compiled package is damaged or foreign (%s)", path, _first_line(error))
        return None


def find_or_build(
    checkpoint: Checkpoint,
    make: Callable[[], nn.Module],
    device: torch.device,
    dtype: torch.dtype,
    rebuild: bool = False,
) -> Compiled:
    """The compiled network, built and cached when there is none.

    make: returns what to compile, in evaluation mode, on `device` and of `dtype`. Several processes may ask at once:
    one builds, the others wait.

    Raises:
        DeviceError: no C++ compiler; the cache cannot be written; another process has been at it for very long.
    """
    compiled = None if rebuild else find(checkpoint, device, dtype)
    if compiled is not None:
        return compiled

    def ready() -> bool:
        nonlocal compiled
        compiled = None if rebuild else find(checkpoint, device, dtype)
        return compiled is not None

    def build(part: Path) -> None:
        native = _build(make(), checkpoint, device, dtype, part)
        machine_code.record(part, path, native=native)

    path = package_path(checkpoint, device, dtype)
    made(path, build, ready, DeviceError, "set PTOCR_COMPILED to a folder that can, with space left")
    return compiled or _load_new(path, device)


def _load_new(path: Path, device: torch.device) -> Compiled:
    """A package that has just been built."""
    try:
        return _load(path, device)
    except Exception as error:
        raise DeviceError(
            f"{path}: was built but does not load here ({_first_line(error)}); use compile='off'"
        ) from error


def package_path(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Path:
    """Where the package is; its name holds everything it depends on."""
    facts = {
        "weights": checkpoint.weights_sha256(),
        "spec": checkpoint.spec.model_dump(mode="json", exclude={"sources", "languages"}),
        "classes": checkpoint.classes,
        "torch": torch.__version__,
        "machine": machine(device),
        "networks": _network_code(),
        "inductor": INDUCTOR,
        "kernels": kernels.key(),
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]
    kind = f"{device.type}-{str(dtype).removeprefix('torch.')}"
    return paths.compiled() / f"{checkpoint.spec.name}-{kind}-{key}.pt2"


def machine(device: torch.device) -> str:
    """The kind of processor that compiled code belongs to."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} {torch.cuda.get_device_capability(device)}"
    return f"{torch.backends.cpu.get_cpu_capability()} bf16={torch.cpu._is_avx512_bf16_supported()}"


@functools.cache
def _network_code() -> str:
    """Hash of the network definitions, so that a package never outlives the code it was made from."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for folder in (package / "nn", package / "runtime" / "cpu"):
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _load(path: Path, device: torch.device) -> Compiled:
    if machine_code.checked(path)["native"]:
        kernels.load()
    return package.load(path, device)


def _build(module: nn.Module, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, part: Path) -> bool:
    """Compile a network into the file `part`; returns whether it calls ptocr's own kernels."""
    require_compiler()
    _import_setuptools()
    example, dynamic = example_input(checkpoint, device, dtype)
    with torch.no_grad():
        program = torch.export.export(
            module.eval(), (example,), dynamic_shapes=(dynamic,), prefer_deferred_runtime_asserts_over_guards=True
        )
        shims = {torch.ops.ptocr.convs.default: [kernels.C_INTERFACE]}
        options = {**INDUCTOR, "aot_inductor.custom_ops_to_c_shims": shims}  # a copy: torch writes into it
        torch._inductor.aoti_compile_and_package(program, package_path=str(part), inductor_configs=options)
    return any("ptocr" in str(node.target) for node in program.graph.nodes)


def _import_setuptools() -> None:
    """Import what torch's compiler imports, in a way that works in a process that has loaded the standard library's
    distutils before: setuptools then refuses to put its own in its place, and has to be told to leave it."""
    try:
        importlib.import_module("setuptools")
    except AssertionError:
        os.environ["SETUPTOOLS_USE_DISTUTILS"] = "stdlib"
        importlib.import_module("setuptools")


def require_compiler() -> None:
    """Raises DeviceError when there is no C++ compiler to build packages with."""
    if machine_code.compiler() is None:
        raise DeviceError(
            "compile='aot' needs a C++ compiler (g++ or clang++), and there is none here; install one, "
            "or use compile='off', or engine='onnxruntime'"
        )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
