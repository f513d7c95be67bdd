"""Fused eager inference: sessions that run torch modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ptocr.runtime.devices import BY_BACKEND
from ptocr.runtime.placed import PlacedNetwork


class TorchSession:
    """A session of a torch module, or of anything that maps tensors to tensors. Stateless and thread-safe.

    parallel: whether several threads may run it at once, each on one thread; batch: pictures per run that suit it
    best, None for as many as there are.
    """

    def __init__(
        self, function: Callable[..., Any], device: torch.device, dtype: torch.dtype, holds_python: bool = False
    ) -> None:
        host = device.type in BY_BACKEND and BY_BACKEND[device.type].host
        self.parallel = host and not holds_python
        self.batch: int | None = 1 if host else None  # as fast as in batches, in less memory, in fewer shapes
        self._function = function
        self._device = device
        self._dtype = dtype

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Inputs of the network (pictures NCHW float32) -> its outputs, float32 or whole numbers."""
        with torch.inference_mode():
            outputs = self._function(*[self._tensor(array) for array in arrays])
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        return [(y.float() if y.is_floating_point() else y).cpu().numpy() for y in outputs]

    def _tensor(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        if not tensor.is_floating_point():
            return tensor.to(self._device)
        layout = torch.channels_last if tensor.ndim == 4 else torch.preserve_format
        return tensor.to(self._device, self._dtype, memory_format=layout)


def open_eager(network: PlacedNetwork, decode: bool) -> TorchSession:
    """The network as it is, fused."""
    return TorchSession(network.module(decode), network.device, network.dtype)


def open_inductor(network: PlacedNetwork, decode: bool) -> TorchSession:
    """The network compiled by torch.compile when it first runs."""
    return TorchSession(torch.compile(network.fresh(decode), dynamic=True), network.device, network.dtype)
