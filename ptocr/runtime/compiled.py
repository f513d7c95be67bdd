"""Compiled packages: one AOTInductor file per network, number type and kind of processor, with dynamic batch and size.

Built once (needs a C++ compiler), kept in the user's cache, loaded in milliseconds without a compiler. A package is
machine code, so only what this user's cache holds is loaded, and only if its hash is the one written when it was built.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ptocr import paths
from ptocr.checkpoint import Checkpoint
from ptocr.errors import DeviceError
from ptocr.files import made
from ptocr.runtime import machine_code, package, shapes, torch_private
from ptocr.runtime.devices import own_kernels, resolve_device
from ptocr.runtime.eager import TorchSession, open_eager
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.placed import PlacedNetwork

log = logging.getLogger(__name__)

# Weights laid out once; as many threads as the caller has, not as many as there were at compile time.
INDUCTOR = {"freezing": True, "cpp.dynamic_threads": True}
REMEDY = "set PTOCR_COMPILED to a folder that can, with space left"


class PackageOrNetwork:
    """A package, and the network itself for sizes that the package was not made for.

    Packages do not check what was ruled out when the network was exported, and refuse more (a map one pixel high).
    """

    def __init__(self, compiled: package.Compiled, network: PlacedNetwork, decode: bool) -> None:
        self._compiled = compiled
        self._network = network
        self._decode = decode

    def __call__(self, *inputs: Tensor) -> Any:
        checkpoint = self._network.checkpoint
        sizes = [tuple(x.shape) for x in inputs]
        if shapes.fits(checkpoint, *sizes):
            try:
                return self._compiled(*inputs)
            except RuntimeError as error:
                log.info("%s: the package refuses %s (%s)", checkpoint.spec.name, sizes, error)
        return self._network.module(self._decode)(*inputs)


def open_built(network: PlacedNetwork, decode: bool) -> TorchSession:
    """The network's package, built when there is none."""
    if not network.checkpoint.spec.row.compiles:
        return open_eager(network, decode)
    return _session(find_or_build(network, decode), network, decode)


def open_found(network: PlacedNetwork, decode: bool) -> TorchSession | None:
    """The network's package if there is one; never compiles."""
    found = find(network, decode) if network.checkpoint.spec.row.compiles else None
    return None if found is None else _session(found, network, decode)


def _session(compiled: package.Compiled, network: PlacedNetwork, decode: bool) -> TorchSession:
    holds_python = not isinstance(compiled, package.Package)
    return TorchSession(PackageOrNetwork(compiled, network, decode), network.device, network.dtype, holds_python)


def find(network: PlacedNetwork, decode: bool = True) -> package.Compiled | None:
    """The compiled network if a sound package of exactly these weights is in the cache, else None."""
    path = package_path(network, decode)
    if not path.is_file():
        return None
    try:
        return _load(path, network.device)
    except Exception as error:  # whatever is wrong with it, a package can be made again
        log.warning("%s: compiled package is damaged or foreign (%s)", path, _first_line(error))
        return None


def find_or_build(network: PlacedNetwork, decode: bool = True, rebuild: bool = False) -> package.Compiled:
    """The compiled network, built and cached when there is none. Of several processes one builds, the others wait.

    Raises:
        DeviceError: no C++ compiler; the cache cannot be written; another process has been at it for very long.
    """
    compiled = None if rebuild else find(network, decode)
    if compiled is not None:
        return compiled

    def ready() -> bool:
        nonlocal compiled
        compiled = None if rebuild else find(network, decode)
        return compiled is not None

    def build(part: Path) -> None:
        native = _build(network, decode, part)
        machine_code.record(part, path, native=native)

    path = package_path(network, decode)
    made(path, build, ready, DeviceError, REMEDY)
    return compiled or _load_new(path, network.device)


def _load_new(path: Path, device: torch.device) -> package.Compiled:
    """A package that has just been built."""
    try:
        return _load(path, device)
    except Exception as error:
        reason = _first_line(error)
        raise DeviceError(f"{path}: was built but does not load here ({reason}); use compile='off'") from error


def package_for(checkpoint: Checkpoint, options: RuntimeOptions, rebuild: bool = False) -> tuple[Path, bool]:
    """Make sure the compiled package of a model is in the cache: its path, and whether it was built now.

    Raises:
        DeviceError: no such device, no compiler, or a network that is not compiled ahead of time.
    """
    if not checkpoint.spec.row.compiles:
        raise DeviceError(f"{checkpoint.spec.name}: networks for {checkpoint.spec.row.title} are not compiled")
    network = PlacedNetwork(checkpoint, resolve_device(options.device), options.torch_dtype)
    path = package_path(network)
    if not rebuild and find(network) is not None:
        return path, False
    find_or_build(network, rebuild=rebuild)
    return path, True


def package_path(network: PlacedNetwork, decode: bool = True) -> Path:
    """Where the package is; its name holds everything it depends on."""
    checkpoint, device = network.checkpoint, network.device
    kernels = own_kernels(device.type)
    facts = {
        "weights": checkpoint.weights_sha256(),
        "spec": checkpoint.spec.model_dump(mode="json", exclude={"sources", "languages"}),
        "classes": checkpoint.classes,
        "decode": decode,
        "sizes": shapes.key_of(checkpoint),
        "torch": torch.__version__,
        "machine": machine(device),
        "networks": _code_of("nn"),
        "inductor": INDUCTOR,
        "kernels": kernels and kernels.key(),
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]
    kind = f"{device.type}-{str(network.dtype).removeprefix('torch.')}{'' if decode else '-all'}"
    return paths.compiled() / f"{checkpoint.spec.name}-{kind}-{key}.pt2"


def machine(device: torch.device) -> str:
    """The kind of processor that compiled code belongs to."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} {torch.cuda.get_device_capability(device)}"
    return f"{torch.backends.cpu.get_cpu_capability()} bf16={torch_private.cpu_has_bfloat16()}"


@functools.cache
def _code_of(folder: str) -> str:
    """Hash of the network definitions, so that a package never outlives the code it was made from."""
    digest = hashlib.sha256()
    for file in sorted((Path(__file__).parents[1] / folder).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _load(path: Path, device: torch.device) -> package.Compiled:
    if machine_code.checked(path)["native"]:
        own_kernels(device.type).load()
    return package.load(path, device)


def _build(network: PlacedNetwork, decode: bool, part: Path) -> bool:
    """Compile a network into the file `part`; returns whether it calls ptocr's own kernels."""
    require_compiler()
    _import_setuptools()
    kernels, module, shims = own_kernels(network.kind), network.fresh(decode).eval(), {}
    if kernels is not None and (native := kernels.rewritten(module, network.dtype)) is not None:
        module, shims = native, kernels.c_interface()
    inputs, dynamic = shapes.examples(network.checkpoint, network.device, network.dtype)
    with torch.no_grad():
        program = torch.export.export(
            module, inputs, dynamic_shapes=dynamic, prefer_deferred_runtime_asserts_over_guards=True
        )
        options = {**INDUCTOR, "aot_inductor.custom_ops_to_c_shims": shims} if shims else INDUCTOR
        try:
            built = torch_private.compile_package(program, options)
        except RuntimeError as error:
            raise DeviceError(
                f"{network.checkpoint.spec.name}: does not compile here ({_first_line(error)})"
            ) from error
    part.write_bytes(built)
    return bool(shims)


def _import_setuptools() -> None:
    """Import what torch's compiler imports, in a way that works in a process that has loaded the standard library's
    distutils before: setuptools then refuses to put its own in its place, and has to be told to leave it. Told for the
    import alone: processes started later, such as pip's, would build wheels by the old rules."""
    try:
        importlib.import_module("setuptools")
    except AssertionError:
        os.environ["SETUPTOOLS_USE_DISTUTILS"] = "stdlib"
        try:
            importlib.import_module("setuptools")
        finally:
            del os.environ["SETUPTOOLS_USE_DISTUTILS"]


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
