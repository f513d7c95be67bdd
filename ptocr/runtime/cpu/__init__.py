"""ptocr's own kernels for CPUs. This folder can be deleted: networks then run on torch's operators alone.

What the rest of `ptocr.runtime` asks of a folder of kernels stands here, and is loaded when asked for.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ptocr.runtime.cpu import library
from ptocr.runtime.cpu.library import load
from ptocr.runtime.cpu.packed import laid_out

if TYPE_CHECKING:
    from ptocr.runtime.cpu.native import NativeSession
    from ptocr.runtime.eager import PlacedNetwork, TorchSession

__all__ = ["c_interface", "key", "laid_out", "load", "open_native", "rewritten"]


def open_native(network: PlacedNetwork, decode: bool) -> NativeSession | TorchSession:
    """A session of the network as a program of these kernels; eager torch where there is none."""
    from ptocr.runtime.cpu import native

    return native.open_native(network, decode)


def rewritten(network: nn.Module, dtype: torch.dtype) -> nn.Module | None:
    """A fused network, changed in place, for compiling: on these kernels, which are compiled where they are missing.
    None if there are none for this machine and number type, or they do not compile."""
    if not library.supports(dtype) or not library.build_and_load():
        return None
    from ptocr.runtime.cpu.rewrite import nativize

    return nativize(network, library.lanes())


def c_interface() -> dict[Any, list[str]]:
    """The operators of `rewritten` networks, and their C functions as generated code declares them."""
    return {torch.ops.ptocr.convs.default: [library.C_INTERFACE]}


@functools.cache
def key() -> str:
    """Everything that packages which use the kernels depend on."""
    digest = hashlib.sha256(library.key().encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
