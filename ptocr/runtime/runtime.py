"""Runtime: a batch in, arrays out. Nothing else in ptocr knows devices, data types, fusing or compilation."""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ptocr.checkpoint import Checkpoint, network_of
from ptocr.errors import DeviceError
from ptocr.nn.decode import FlatWithGrid, GreedyCTC
from ptocr.nn.heads.multi import MultiHead
from ptocr.nn.uvdoc import UVDoc
from ptocr.runtime import compiled as aot
from ptocr.runtime.cpu import library as kernels
from ptocr.runtime.cpu.packed import pack
from ptocr.runtime.cpu.rewrite import nativize
from ptocr.runtime.export import example_shape, fits
from ptocr.runtime.onnx import SESSIONS
from ptocr.runtime.package import Package
from ptocr.runtime.threads import set_threads, side_by_side
from ptocr.weights import store

log = logging.getLogger(__name__)

Compile = Literal["off", "auto", "aot", "inductor"]
Engine = Literal["torch", "onnxruntime", "openvino"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ALIASES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
BACKENDS = {"gpu": "cuda", "cuda": "cuda", "cpu": "cpu", "mps": "mps", "xpu": "xpu", "npu": "npu"}


@dataclass(frozen=True)
class RuntimeOptions:
    """How networks run.

    device: "auto" (CUDA, else MPS, else CPU), "cpu", "gpu", "gpu:1", "cuda:0", "mps", "xpu", "npu:0".
    dtype: "float32", "bfloat16", "float16" (weights and activations; what comes out is float32).
    compile: "off" = fused eager; "aot" = compiled package, built and cached when absent; "auto" = a package when one is
    there, never compiles; "inductor" = torch.compile. threads: CPU threads, None = torch's setting.
    """

    device: str = "auto"
    dtype: str = "float32"
    compile: Compile = "off"
    engine: Engine = "torch"
    threads: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", ALIASES.get(self.dtype, self.dtype))
        if self.dtype not in DTYPES:
            raise DeviceError(f"unknown dtype {self.dtype!r}; known: {', '.join([*DTYPES, *ALIASES])}")
        for name, allowed in (("compile", Compile), ("engine", Engine)):
            value = getattr(self, name)
            if value not in allowed.__args__:  # type: ignore[attr-defined]
                raise DeviceError(f"unknown {name} {value!r}; known: {', '.join(allowed.__args__)}")  # type: ignore[attr-defined]


def available_devices() -> list[str]:
    """Names that `device=` accepts on this machine."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"gpu:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    for kind in ("xpu", "npu"):
        module = getattr(torch, kind, None)
        if module is not None and module.is_available():
            names += [f"{kind}:{i}" for i in range(module.device_count())]
    return names


def resolve_device(name: str) -> torch.device:
    """The torch device of a name; never falls back silently.

    Raises:
        DeviceError: unknown, or not on this machine; lists what is. Or CUDA in a forked process.
    """
    if name == "auto":
        here = available_devices()
        return resolve_device(next((d for d in here if d != "cpu"), "cpu"))
    kind, _, index = name.partition(":")
    here = available_devices()
    if kind not in BACKENDS or (index and not index.isdigit()):
        raise DeviceError(f"unknown device {name!r}; devices here: {', '.join(here)}")
    backend = BACKENDS[kind]
    if backend == "cuda" and torch.cuda._is_in_bad_fork():
        raise DeviceError(f"device {name!r}: CUDA does not survive a fork; start this process with 'spawn'")
    wanted = backend if backend in ("cpu", "mps") else f"{'gpu' if backend == 'cuda' else backend}:{index or 0}"
    if wanted not in here:
        raise DeviceError(f"device {name!r} is not available; devices here: {', '.join(here)}")
    return torch.device(backend if backend in ("cpu", "mps") else f"{backend}:{index or 0}")


def load_model(
    name_or_pth: str | os.PathLike[str], fuse: bool = True, device: str = "cpu", dtype: str = "float32"
) -> nn.Module:
    """A network with its weights, in evaluation mode.

    name_or_pth: a model name (fetched and converted when it is not on this machine) or a `.pth` of ptocr. The module
    maps NCHW float tensors to: det (N, 1, H, W) probabilities; rec (N, T, C) softmax; cls (N, K) softmax; unwarp
    (N, 3, H, W).

    Raises:
        SpecError, WeightsError, DeviceError: unknown name, no weights, no such device.
    """
    options = RuntimeOptions(device=device, dtype=dtype)
    network = network_of(store.load(os.fspath(name_or_pth)), form="fused" if fuse else None)
    network = network.to(resolve_device(options.device), DTYPES[options.dtype])
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def placed_network(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The fused network on its device, in its data type, channels last."""
    network = network_of(checkpoint, form="fused").to(device, dtype)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def with_decoding(network: nn.Module) -> nn.Module:
    """The network with what is decoded beside it on the device."""
    if isinstance(network, UVDoc):
        return FlatWithGrid(network)
    return GreedyCTC(network) if isinstance(getattr(network, "head", None), MultiHead) else network


def compile_package(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, rebuild: bool = False) -> Any:
    """The compiled package of a network, from the cache or built now."""

    def make() -> nn.Module:
        network = with_decoding(placed_network(checkpoint, device, dtype))
        own = kernels.supports(device, dtype) and kernels.build_and_load()
        return nativize(network, kernels.lanes()) if own else network

    return aot.find_or_build(checkpoint, make, device, dtype, rebuild)


class Runtime:
    """One network on one device: NCHW float32 batch -> list of float32 / int64 arrays. Stateless and thread-safe.

    Recognisers return the best class and its probability per step, (N, T) each; `raw` returns all classes.
    """

    def __init__(self, checkpoint: Checkpoint, options: RuntimeOptions | None = None) -> None:
        self.checkpoint = checkpoint
        self.options = options or RuntimeOptions()
        self.device = resolve_device(self.options.device)
        self.dtype = DTYPES[self.options.dtype]
        if self.options.threads is not None:
            set_threads(self.options.threads)
        self._lock = threading.Lock()
        self._network: nn.Module | None = None
        self._locked = False  # whether a batch keeps other threads of Python waiting
        engine = SESSIONS.get(self.options.engine)
        if engine is not None and self.device.type != "cpu":
            raise DeviceError(f"engine={self.options.engine!r} runs on the CPU here, not on {self.device}")
        self._session = engine and engine(checkpoint, self.options.dtype, self.options.threads)
        self._compiled = self._compile() if engine is None else None

    @property
    def network(self) -> nn.Module:
        """The fused network as it runs without compilation, built when first needed: a package does without it."""
        with self._lock:
            if self._network is None:
                network = placed_network(self.checkpoint, self.device, self.dtype)
                packable = self.device.type == "cpu" and self.dtype in (torch.float32, torch.bfloat16)
                self._network = pack(network) if packable else network
            return self._network

    def _compile(self) -> aot.Compiled:
        """What runs a batch: a package, a compiled module, or the module itself."""
        mode = self.options.compile
        if mode == "inductor":
            return torch.compile(with_decoding(placed_network(self.checkpoint, self.device, self.dtype)), dynamic=True)
        if mode != "off" and self.checkpoint.spec.row.compiles:
            package = aot.find(self.checkpoint, self.device, self.dtype)
            if package is None and mode == "aot":
                package = compile_package(self.checkpoint, self.device, self.dtype)
            if package is not None:
                self._locked = not isinstance(package, Package)
                return functools.partial(self._run_package, package)
        return with_decoding(self.network)

    def _run_package(self, package: aot.Compiled, x: Tensor) -> Any:
        """The package's answer, or the network's own for a size that it was not made for.

        Packages do not check what was ruled out when the network was exported, and refuse more (a map one pixel high).
        """
        if fits(self.checkpoint, x.shape):
            try:
                return package(x)
            except RuntimeError as error:
                log.info("%s: the package refuses %s (%s)", self.checkpoint.spec.name, tuple(x.shape), error)
        return with_decoding(self.network)(x)

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        if self._session is not None:
            return self._session(batch)
        assert self._compiled is not None
        return self._run(self._compiled, batch)

    def warm_up(self) -> None:
        """Run a small input once, so that the first real one finds everything loaded, built and allocated."""
        self(np.zeros((1, *example_shape(self.checkpoint)[1:]), np.float32))

    def stream(self, batches: Iterable[Callable[[], np.ndarray]]) -> Iterator[list[np.ndarray]]:
        """Outputs of many small batches, in their order; a batch is made when its turn comes.

        On a CPU several batches run at once, each on one thread; answers are the same as one by one.
        """
        tasks = (functools.partial(self._made, make) for make in batches)
        threads = torch.get_num_threads()
        if threads == 1 or not self.prefers_single or self._locked:
            return (task() for task in tasks)
        return side_by_side(tasks, threads)

    @property
    def prefers_single(self) -> bool:
        """Whether pictures are better run singly than in batches: as fast, in less memory, in fewer shapes."""
        return self.device.type == "cpu" and self._session is None

    def _made(self, make: Callable[[], np.ndarray]) -> list[np.ndarray]:
        return self(make())

    def raw(self, batch: np.ndarray) -> np.ndarray:
        """The whole output of the network, all classes included."""
        return self._run(self.network, batch)[0]

    def _run(self, module: aot.Compiled, batch: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            x = torch.from_numpy(batch).to(self.device, self.dtype, memory_format=torch.channels_last)
            outputs = module(x)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        return [(y.float() if y.is_floating_point() else y).cpu().numpy() for y in outputs]

    def __getstate__(self) -> dict[str, Any]:
        """Only what the runtime is made of: the other process builds its own."""
        return {"checkpoint": self.checkpoint, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["checkpoint"], state["options"])  # type: ignore[misc]


def package_for(checkpoint: Checkpoint, options: RuntimeOptions, rebuild: bool = False) -> tuple[Path, bool]:
    """Make sure the compiled package of a model is in the cache: its path, and whether it was built now.

    Raises:
        DeviceError: no such device, no compiler, or a network that is not compiled ahead of time.
    """
    device, dtype = resolve_device(options.device), DTYPES[options.dtype]
    path = aot.package_path(checkpoint, device, dtype)
    if not rebuild and aot.find(checkpoint, device, dtype) is not None:
        return path, False
    compile_package(checkpoint, device, dtype, rebuild)
    return path, True


def make_runtime(
    model: str | os.PathLike[str] | Checkpoint,
    options: RuntimeOptions,
    expected: str | None = None,
    charset: str | os.PathLike[str] | None = None,
) -> Runtime:
    """The runtime of a model name, a weights file (converted when needed) or a checkpoint.

    expected: the model that a file must hold; charset: a dictionary file instead of the weights' own.
    """
    if not isinstance(model, Checkpoint):
        model = store.load(os.fspath(model), expected, None if charset is None else os.fspath(charset))
    return Runtime(model, options)
