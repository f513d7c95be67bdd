"""Sessions: how a network is run, chosen from one table by engine and kind of device."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from ptocr.errors import DeviceError
from ptocr.runtime import compiled, eager, torch_private
from ptocr.runtime.devices import KINDS, own_kernels
from ptocr.runtime.eager import PlacedNetwork
from ptocr.runtime.onnx import OnnxRuntimeSession, OpenVinoSession
from ptocr.runtime.options import Compile, RuntimeOptions

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

# How networks are compiled -> a session, None where they are not
_COMPILED: dict[Compile, Callable[[PlacedNetwork, bool], Session | None]] = {
    "off": lambda network, decode: None,
    "auto": compiled.open_found,
    "aot": compiled.open_built,
    "inductor": eager.open_inductor,
}


def _open_torch(network: PlacedNetwork, decode: bool, options: RuntimeOptions) -> Session:
    return _COMPILED[options.compile](network, decode) or eager.open_eager(network, decode)


def _open_native(network: PlacedNetwork, decode: bool, options: RuntimeOptions) -> Session:
    """On ptocr's own kernels, unless the network has been compiled."""
    if (session := _COMPILED[options.compile](network, decode)) is not None:
        return session
    kernels = own_kernels(network.device)
    return eager.open_eager(network, decode) if kernels is None else kernels.open_native(network, decode)


# (engine, torch's name of the kind of device) -> how to open a session there
SESSIONS: dict[tuple[str, str], Open] = {
    **{("torch", kind.backend): _open_torch for kind in KINDS.values()},
    **{("auto", kind.backend): _open_torch for kind in KINDS.values()},
    ("auto", "cpu"): _open_native,
    ("native", "cpu"): _open_native,
    ("onnxruntime", "cpu"): lambda network, decode, options: OnnxRuntimeSession(network, decode, options.threads),
    ("openvino", "cpu"): lambda network, decode, options: OpenVinoSession(network, decode, options.threads),
}


def open_session(network: PlacedNetwork, options: RuntimeOptions, decode: bool = True) -> Session:
    """A session of a network.

    decode: with what is decoded beside the network (recognisers: the best class per step and its probability);
    False: the network's own output, all classes.

    Raises:
        DeviceError: the engine does not run on this kind of device, is not installed or cannot compute in this type.
    """
    opened = SESSIONS.get((options.engine, network.device.type))
    if opened is None:
        kinds = ", ".join(kind for engine, kind in SESSIONS if engine == options.engine)
        raise DeviceError(
            f"engine={options.engine!r} runs on {kinds} here, not on {network.device}; engine='torch' does"
        )
    if (
        options.engine in ("auto", "torch", "native")
        and network.device.type == "cpu"
        and network.dtype == torch.bfloat16
        and not torch_private.cpu_has_bfloat16()
    ):
        log.warning(
            "%s: this processor does not multiply bfloat16, so dtype='bfloat16' is many times slower than float32 here",
            network.checkpoint.spec.name,
        )
    return opened(network, decode, options)
