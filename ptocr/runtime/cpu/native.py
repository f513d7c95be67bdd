"""Native inference: a network as a program of ptocr's own kernels, run by one call without Python or torch inside."""

from __future__ import annotations

import ctypes
import functools
import logging
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np

from ptocr.runtime import threads
from ptocr.runtime.cpu import isa
from ptocr.runtime.cpu.program import CannotLower, Form, Program
from ptocr.runtime.cpu.stored import stored
from ptocr.runtime.placed import PlacedNetwork
from ptocr.runtime.shapes import sizes_of

if TYPE_CHECKING:
    from ptocr.runtime.eager import TorchSession

log = logging.getLogger(__name__)
_int64 = ctypes.c_int64
MESSAGE = 256  # bytes for what went wrong


class CannotRun(Exception):
    """There are no kernels for this machine, or an input does not fit the program."""


class NotBuilt(CannotRun):
    """There could be kernels, but they are not there."""


class NativeProgram:
    """A program in memory, ready to run on the kernels of an instruction set. Stateless and thread-safe."""

    def __init__(self, program: Program, name: str, half: bool = False) -> None:
        self._library = isa.load(name)
        self._params = program.buffer.joined()
        self.outputs = program.outputs
        code = (_int64 * len(program.code))(*program.code)
        address = ctypes.c_void_p(self._params.ctypes.data)
        self._handle = ctypes.c_void_p(self._library.ptocr_program(code, _int64(len(program.code)), address, int(half)))
        weakref.finalize(self, self._library.ptocr_free, self._handle).atexit = False

    def __call__(self, x: np.ndarray, threads: int) -> list[np.ndarray]:
        """(N, C, H, W) float32 in any layout -> the network's outputs.

        Raises:
            CannotRun: the program does not take this size. MemoryError: there is not enough.
        """
        message = ctypes.create_string_buffer(MESSAGE)
        shape, strides = (_int64 * 4)(*x.shape), (_int64 * 4)(*(step // x.itemsize for step in x.strides))
        sizes = (_int64 * 4 * len(self.outputs))()
        if self._library.ptocr_shapes(self._handle, shape, sizes, message, _int64(MESSAGE)):
            raise CannotRun(message.value.decode())
        results = _results(self.outputs, sizes)
        places = (ctypes.c_void_p * len(results))(*(result.ctypes.data for result in results))
        address = ctypes.c_void_p(x.ctypes.data)
        run = self._library.ptocr_run
        if run(self._handle, address, strides, shape, places, threads, message, _int64(MESSAGE)):
            raise MemoryError(message.value.decode())
        return results


def _results(forms: list[Form | None], sizes: ctypes.Array[ctypes.Array[_int64]]) -> list[np.ndarray]:
    """Empty arrays for what comes out. sizes: N, H, W, C each."""
    if None in forms:  # greedy CTC
        n, h, w, _ = sizes[0]
        return [np.empty((n, h * w), np.int64), np.empty((n, h * w), np.float32)]
    shapes = []
    for form, (n, h, w, c) in zip(forms, sizes, strict=True):
        shapes.append({Form.MAP: (n, c, h, w), Form.ROWS: (n, h * w, c), Form.VECTOR: (n, c)}[form or Form.MAP])
    return [np.empty(shape, np.float32) for shape in shapes]


class NativeSession:
    """A network on ptocr's kernels; sizes that the program does not take run in eager torch. As `TorchSession`."""

    parallel = True
    batch: int | None = 1

    def __init__(self, program: NativeProgram, network: PlacedNetwork, decode: bool) -> None:
        self._program = program
        self._network = network
        self._decode = decode
        self._lock = threading.Lock()
        self._eager: TorchSession | None = None

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Inputs of the network -> its outputs."""
        (x,) = arrays
        if x.dtype != np.float32 or any(step % x.itemsize for step in x.strides):
            x = np.ascontiguousarray(x, np.float32)
        try:
            return self._program(x, threads.count())
        except CannotRun as error:
            log.info("%s: %s runs in eager torch (%s)", self._network.checkpoint.spec.name, x.shape, error)
        return self._in_torch().run(x)

    def _in_torch(self) -> TorchSession:
        with self._lock:
            if self._eager is None:
                from ptocr.runtime.eager import open_eager

                self._eager = open_eager(self._network, self._decode)
            return self._eager


def open_native(network: PlacedNetwork, decode: bool) -> NativeSession | None:
    """The network as a program; None, said once in the log, where there are no kernels for it."""
    try:
        return NativeSession(program_of(network, decode), network, decode)
    except NotBuilt as error:
        say(logging.WARNING, f"networks run in eager torch, slower and in more memory: {error}")
    except (CannotRun, CannotLower) as error:
        say(logging.INFO, f"{network.checkpoint.spec.name} runs in eager torch: {error}")
    return None


@functools.cache
def say(level: int, message: str) -> None:
    """Log a message once in this process."""
    log.log(level, message)


def program_of(network: PlacedNetwork, decode: bool) -> NativeProgram:
    """The program of a network.

    Raises:
        CannotLower: it holds what programs have no instruction for. CannotRun: no kernels for this machine or type.
    """
    if not isa.usable():
        raise CannotRun("there are no kernels for this processor")
    name = isa.chosen()
    if not name or not isa.library_path(name).is_file():
        raise NotBuilt(
            "the kernels are not built; `python -m ptocr.runtime.cpu.isa` does it where there is a C++ compiler"
        )
    chosen = isa.sets_here()[name]
    if network.number != "float32" and not (network.number == "bfloat16" and chosen.bfloat16):
        raise CannotRun(f"there are no {name} kernels for {network.number}")
    if not network.checkpoint.spec.row.compiles or len(sizes_of(network.checkpoint)) != 1:
        raise CannotLower("networks of its task are not one pass over one picture")
    program = stored(network, decode, name, lambda: _lowered(network, decode, chosen.lanes))
    return NativeProgram(program, name, network.number == "bfloat16")


def _lowered(network: PlacedNetwork, decode: bool, lanes: int) -> Program:
    import torch

    from ptocr.runtime.cpu.lowering import lower

    with torch.no_grad():
        return lower(network.fresh(decode), lanes)
