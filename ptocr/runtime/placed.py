"""Networks on a device: built when first needed, and shared by all sessions. Loads torch no earlier."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ptocr.checkpoint import Checkpoint, network_of
from ptocr.runtime.devices import own_kernels

if TYPE_CHECKING:
    import torch
    from torch import nn


class PlacedNetwork:
    """The fused network of a checkpoint on a device, built when first needed and shared by all sessions of it.

    device, dtype: torch's, or their names.
    """

    def __init__(self, checkpoint: Checkpoint, device: str | torch.device, dtype: str | torch.dtype) -> None:
        self.checkpoint = checkpoint
        self.place = str(device)
        self.number = str(dtype).removeprefix("torch.")
        self._lock = threading.Lock()
        self._network: nn.Module | None = None

    @property
    def kind(self) -> str:
        """Torch's name of the kind of device."""
        return self.place.partition(":")[0]

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        import torch

        return torch.device(self.place)

    @property
    def dtype(self) -> torch.dtype:
        """The number type that it computes in."""
        import torch

        dtype: torch.dtype = getattr(torch, self.number)
        return dtype

    def fresh(self, decode: bool) -> nn.Module:
        """A network of plain modules, to be exported or compiled; decode: see `module`."""
        network = placed(network_of(self.checkpoint, form="fused"), self.device, self.dtype)
        return network.decoding() if decode else network  # type: ignore[operator]

    def module(self, decode: bool) -> nn.Module:
        """The shared network; decode: with what is decoded beside it, so that class-wide outputs stay on the device."""
        with self._lock:
            if self._network is None:
                kernels = own_kernels(self.kind)
                network = self.fresh(decode=False)
                self._network = network if kernels is None else kernels.laid_out(network, self.dtype)
        return self._network.decoding() if decode else self._network  # type: ignore[operator]


def placed(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The network on a device, in a number type, channels last. The one place that moves networks."""
    import torch

    return network.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
