"""Devices: the kinds that there are, as a table, and from a user's name to torch's device."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ptocr.errors import DeviceError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class DeviceKind:
    """A kind of device.

    backend: torch's name; count: how many are here; numbered: whether names carry an index. host: whether work runs on
    this process's own threads, so that small pictures are better run singly and side by side than in batches. kernels:
    the package of ptocr's own kernels for it, "" for none; the product works without that package.
    """

    backend: str
    count: Callable[[], int]
    numbered: bool = True
    host: bool = False
    kernels: str = ""


def _count(backend: str) -> Callable[[], int]:
    def count() -> int:
        import torch

        module = getattr(torch, backend, None)  # not every build of torch has every one
        return module.device_count() if module is not None and module.is_available() else 0

    return count


def _count_mps() -> int:
    import torch

    return int(torch.backends.mps.is_available())


KINDS: dict[str, DeviceKind] = {
    "cpu": DeviceKind("cpu", lambda: 1, numbered=False, host=True, kernels="ptocr.runtime.cpu"),
    "gpu": DeviceKind("cuda", _count("cuda")),
    "mps": DeviceKind("mps", _count_mps, numbered=False),
    "xpu": DeviceKind("xpu", _count("xpu")),
    "npu": DeviceKind("npu", _count("npu")),
}
ALIASES = {"cuda": "gpu"}
BY_BACKEND = {kind.backend: kind for kind in KINDS.values()}


def available_devices() -> list[str]:
    """Names that `device=` accepts on this machine."""
    names = []
    for name, kind in KINDS.items():
        count = kind.count()
        names += [f"{name}:{i}" for i in range(count)] if kind.numbered else [name] * min(1, count)
    return names


def resolve_device(name: str) -> torch.device:
    """The torch device of a name; never falls back silently. Raises as `place_of`."""
    import torch

    return torch.device(place_of(name))


def place_of(name: str) -> str:
    """Torch's name of the device that is meant ("cpu", "cuda:0"); torch is loaded only where one beside the CPU can be.

    Raises:
        DeviceError: unknown, or not on this machine; lists what is. Or CUDA in a forked process.
    """
    if name == "cpu" or (name == "auto" and not _may_have_more()):
        return "cpu"
    here = available_devices()
    if name == "auto":
        name = next((d for d in here if d != "cpu"), "cpu")
    prefix, _, index = name.partition(":")
    kind = KINDS.get(ALIASES.get(prefix, prefix))
    if kind is None or (index and not index.isdigit()):
        raise DeviceError(f"unknown device {name!r}; devices here: {', '.join(here)}")
    if kind.backend == "cuda" and _cuda_in_bad_fork():
        raise DeviceError(f"device {name!r}: CUDA does not survive a fork; start this process with 'spawn'")
    if int(index or 0) >= kind.count() and (kind.numbered or kind.count() == 0):
        raise DeviceError(f"device {name!r} is not available; devices here: {', '.join(here)}")
    return f"{kind.backend}:{int(index or 0)}" if kind.numbered else kind.backend


def _cuda_in_bad_fork() -> bool:
    from ptocr.runtime import torch_private

    return torch_private.cuda_in_bad_fork()


# How the files of devices beside the CPU begin in Linux's /dev, whoever made them
_NODES = ("nvidia", "nvhost", "nvgpu", "nvmap", "dxg", "kfd", "dri", "accel", "davinci")


def _may_have_more() -> bool:
    """Whether there can be a device beside the CPU; False only where the system shows that there is none."""
    if sys.platform != "linux" or not os.path.isdir("/dev"):
        return True
    return any(name.startswith(_NODES) for name in os.listdir("/dev"))


def device_list(device: str) -> list[str]:
    """'gpu:0,1' -> ['gpu:0', 'gpu:1']; 'cpu,cpu' -> two workers on the CPU; one name -> itself.

    Raises:
        DeviceError: one of them is unknown or not here.
    """
    names: list[str] = []
    for part in (p.strip() for p in device.split(",")):
        if not part:
            raise DeviceError(f"device {device!r}: an empty name in the list")
        kind = names[-1].partition(":")[0] if names else ""
        names.append(f"{kind}:{part}" if part.isdigit() and kind else part)
    for name in names:
        place_of(name)
    return names


def own_kernels(backend: str) -> Any:
    """The package of ptocr's own kernels for a kind of device, as torch names it (see `ptocr.runtime.cpu`), None where
    there is none."""
    name = BY_BACKEND[backend].kernels if backend in BY_BACKEND else ""
    try:
        return importlib.import_module(name) if name else None
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            return None  # the folder has been taken out
        raise
