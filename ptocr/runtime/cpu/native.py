"""Native inference: a network as a program of ptocr's own kernels, run by one call without Python or torch inside."""

from __future__ import annotations

import ctypes
import functools
import logging
import threading
import weakref
from collections.abc import Callable

import numpy as np
import torch

from ptocr.runtime.cpu import isa
from ptocr.runtime.cpu.lowering import CannotLower, lower
from ptocr.runtime.cpu.program import Form, Program
from ptocr.runtime.eager import PlacedNetwork, TorchSession, open_eager
from ptocr.runtime.shapes import sizes_of

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
        self._params = program.params()
        self.outputs = program.outputs
        code = (_int64 * len(program.code))(*program.code)
        address = ctypes.c_void_p(self._params.data_ptr())
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

    def __init__(self, program: NativeProgram, name: str, eager: Callable[[], TorchSession]) -> None:
        self._program = program
        self._name = name
        self._open = eager
        self._lock = threading.Lock()
        self._eager: TorchSession | None = None

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Inputs of the network -> its outputs."""
        (x,) = arrays
        if x.dtype != np.float32 or any(step % x.itemsize for step in x.strides):
            x = np.ascontiguousarray(x, np.float32)
        try:
            return self._program(x, torch.get_num_threads())
        except CannotRun as error:
            log.info("%s: %s runs in eager torch (%s)", self._name, x.shape, error)
        with self._lock:
            self._eager = self._eager or self._open()
        return self._eager.run(x)


def open_native(network: PlacedNetwork, decode: bool) -> NativeSession | TorchSession:
    """The network as a program; eager, said in the log, where there are no kernels for it."""
    name = network.checkpoint.spec.name
    try:
        return NativeSession(program_of(network, decode), name, lambda: open_eager(network, decode))
    except NotBuilt as error:
        say(logging.WARNING, f"networks run in eager torch, slower and in more memory: {error}")
    except (CannotRun, CannotLower) as error:
        say(logging.INFO, f"{name} runs in eager torch: {error}")
    return open_eager(network, decode)


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
    if network.dtype != torch.float32 and not (network.dtype == torch.bfloat16 and chosen.bfloat16):
        raise CannotRun(f"there are no {name} kernels for {network.dtype}")
    if not network.checkpoint.spec.row.compiles or len(sizes_of(network.checkpoint)) != 1:
        raise CannotLower("networks of its task are not one pass over one picture")
    with torch.no_grad():
        program = lower(network.fresh(decode), chosen.lanes)
    return NativeProgram(program, name, network.dtype == torch.bfloat16)
