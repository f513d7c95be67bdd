"""Sessions: how a network is run, chosen from one table by engine and kind of device."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from ptocr.errors import DeviceError
from ptocr.runtime.devices import KINDS, own_kernels
from ptocr.runtime.options import Compile, RuntimeOptions
from ptocr.runtime.placed import PlacedNetwork

log = logging.getLogger(__name__)


class Session(Protocol):
    """Arrays to arrays, on some device in some engine. Stateless and thread-safe.

    parallel: whether several threads may run it at once, each on one thread, and gain by it; batch: pictures per run
    that suit it best, None for as many as there are.
    """

    parallel: bool
    batch: int | None

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Inputs of the network (pictures NCHW float32) -> its outputs, float32 or whole numbers."""
        ...


Open = Callable[[PlacedNetwork, bool, RuntimeOptions], Session]


def _open_compiled(network: PlacedNetwork, decode: bool, how: Compile) -> Session | None:
    """The network compiled as asked for; None where it is not."""
    if how == "off":
        return None
    from ptocr.runtime import compiled, eager

    ways: dict[str, Callable[[PlacedNetwork, bool], Session | None]] = {
        "auto": compiled.open_found,
        "aot": compiled.open_built,
        "inductor": eager.open_inductor,
    }
    return ways[how](network, decode)


def _open_torch(network: PlacedNetwork, decode: bool, options: RuntimeOptions) -> Session:
    from ptocr.runtime import eager

    return _open_compiled(network, decode, options.compile) or eager.open_eager(network, decode)


def _open_native(network: PlacedNetwork, decode: bool, options: RuntimeOptions) -> Session:
    """On ptocr's own kernels, unless the network has been compiled or lacks them."""
    session = _open_compiled(network, decode, options.compile)
    if session is None and (kernels := own_kernels(network.kind)) is not None:
        session = kernels.open_native(network, decode)
    return session or _open_torch(network, decode, replace(options, engine="torch", compile="off"))


def _open_onnx(network: PlacedNetwork, decode: bool, options: RuntimeOptions) -> Session:
    from ptocr.runtime import onnx

    opened: dict[str, Callable[..., Session]] = {
        "onnxruntime": onnx.OnnxRuntimeSession,
        "openvino": onnx.OpenVinoSession,
    }
    return opened[options.engine](network, decode, options.threads)


# (engine, torch's name of the kind of device) -> how to open a session there; what it needs is loaded only then
SESSIONS: dict[tuple[str, str], Open] = {
    **{(engine, kind.backend): _open_torch for engine in ("auto", "torch") for kind in KINDS.values()},
    ("auto", "cpu"): _open_native,
    ("native", "cpu"): _open_native,
    ("onnxruntime", "cpu"): _open_onnx,
    ("openvino", "cpu"): _open_onnx,
}


def open_session(network: PlacedNetwork, options: RuntimeOptions, decode: bool = True) -> Session:
    """A session of a network.

    decode: with what is decoded beside the network (recognisers: the best class per step and its probability);
    False: the network's own output, all classes.

    Raises:
        DeviceError: the engine does not run on this kind of device, is not installed or cannot compute in this type.
    """
    opened = SESSIONS.get((options.engine, network.kind))
    if opened is None:
        kinds = ", ".join(kind for engine, kind in SESSIONS if engine == options.engine)
        raise DeviceError(
            f"engine={options.engine!r} runs on {kinds} here, not on {network.place}; engine='torch' does"
        )
    if options.engine in ("auto", "native", "torch") and (network.kind, network.number) == ("cpu", "bfloat16"):
        _warn_of_bfloat16(network.checkpoint.spec.name)
    return opened(network, decode, options)


def _warn_of_bfloat16(name: str) -> None:
    from ptocr.runtime import torch_private

    if not torch_private.cpu_has_bfloat16():
        log.warning(
            "%s: this processor does not multiply bfloat16, so dtype='bfloat16' is many times slower than float32 here",
            name,
        )
