"""ptocr's own kernels for CPUs. This folder can be deleted: networks then run on torch's operators alone.

What the rest of `ptocr.runtime` asks of a folder of kernels stands here, and is loaded when asked for.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ptocr.runtime.cpu.native import NativeSession
    from ptocr.runtime.placed import PlacedNetwork


def open_native(network: PlacedNetwork, decode: bool) -> NativeSession | None:
    """A session of the network as a program of these kernels; None, said once in the log, where there is none."""
    from ptocr.runtime.cpu import native

    return native.open_native(network, decode)


def instruction_set() -> str:
    """The instruction set of the kernels that are used here, "" for none. Raises as `isa.chosen`."""
    from ptocr.runtime.cpu import isa

    return isa.chosen()


def laid_out(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The fused network, changed in place, for eager inference in a number type."""
    from ptocr.runtime.cpu import packed

    return packed.laid_out(network, dtype)


def load() -> None:
    """Load the kernels that compiled packages call. Raises as `library.load`."""
    from ptocr.runtime.cpu import library

    library.load()


def rewritten(network: nn.Module, dtype: torch.dtype) -> nn.Module | None:
    """A fused network, changed in place, for compiling: on these kernels, which are compiled where they are missing.
    None if there are none for this machine and number type, or they do not compile."""
    from ptocr.runtime.cpu import library

    if not library.supports(dtype) or not library.build_and_load():
        return None
    from ptocr.runtime.cpu.rewrite import nativize

    return nativize(network, library.lanes())


def c_interface() -> dict[Any, list[str]]:
    """The operators of `rewritten` networks, and their C functions as generated code declares them."""
    import torch

    from ptocr.runtime.cpu import library

    return {torch.ops.ptocr.convs.default: [library.C_INTERFACE]}


@functools.cache
def key() -> str:
    """Everything that packages which use the kernels depend on."""
    from ptocr.runtime.cpu import library

    digest = hashlib.sha256(library.key().encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
