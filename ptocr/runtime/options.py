"""How networks run: device, number type, compilation, engine, threads. Checked when it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from ptocr.errors import DeviceError

if TYPE_CHECKING:
    import torch

Compile = Literal["off", "auto", "aot", "inductor"]
Engine = Literal["auto", "native", "torch", "onnxruntime", "openvino"]
DTYPES = ("float32", "bfloat16", "float16")  # as torch calls them
ALIASES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
MOST_THREADS = 1024


@dataclass(frozen=True)
class RuntimeOptions:
    """Inference settings of a network.

    device: "auto" (CUDA, else MPS, else CPU), "cpu", "gpu", "gpu:1", "cuda:0", "mps", "xpu", "npu:0".
    dtype: "float32", "bfloat16", "float16" (weights and activations; what comes out is float32).
    compile: "off" = fused eager; "aot" = compiled package, built and cached when absent; "auto" = a package when one is
    there, never compiles; "inductor" = torch.compile. engine: "native" (ptocr's own kernels on a CPU, without torch
    inside), "torch", "onnxruntime", "openvino"; "auto" = "native" on a CPU, unless networks are compiled, else "torch".
    threads: CPU threads, None = torch's setting.

    Raises:
        DeviceError: an unknown value; names it and what is allowed.
    """

    device: str = "auto"
    dtype: str = "float32"
    compile: Compile = "off"
    engine: Engine = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", ALIASES.get(self.dtype, self.dtype))
        _known("dtype", self.dtype, [*DTYPES, *ALIASES])
        _known("compile", self.compile, get_args(Compile))
        _known("engine", self.engine, get_args(Engine))
        if self.engine not in ("auto", "torch") and self.compile != "off":
            raise DeviceError(f"engine={self.engine!r} with compile={self.compile!r}: only engine='torch' is compiled")
        if not isinstance(self.device, str):
            raise DeviceError(f"device {self.device!r} is not a name like 'cpu' or 'gpu:0'")
        threads: Any = self.threads
        if threads is not None and (type(threads) is not int or not 1 <= threads <= MOST_THREADS):
            raise DeviceError(
                f"threads={threads!r}: give a number from 1 to {MOST_THREADS}, or none for torch's own setting"
            )

    @property
    def torch_dtype(self) -> torch.dtype:
        """The number type as torch calls it."""
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype


def _known(name: str, value: object, allowed: Any) -> None:
    if value not in allowed:
        raise DeviceError(f"unknown {name} {value!r}; known: {', '.join(allowed)}")
