"""Compiled packages as functions of a tensor, several threads at a time.

torch's own runner holds Python's lock while a package runs (pytorch/pytorch#197516). `Package` calls the C interface of
the library inside (torch/csrc/inductor/aoti_runtime/interface.h) through ctypes, which lets go of the lock.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import threading
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ptocr.runtime import torch_private

Compiled = Callable[..., Any]  # tensors -> a tensor, or several
MEMBERS = "/data/aotinductor/model/"
NEEDED = ("_metadata.json", ".cpp", ".so")  # files of a package that needs nothing from torch's runner
_size = ctypes.c_size_t
# torch passes tensor handles as unnamed capsules.
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)


def load(path: Path, device: torch.device) -> Compiled:
    """The package of a file: a `Package` where it can be one, else torch's runner, which holds Python's lock.

    Raises:
        RuntimeError, OSError: not a package, or one for another machine.
    """
    library = _library_of(path) if device.type == "cpu" else ""
    return Package(path, library) if library else torch_private.load_package(path)


def _library_of(path: Path) -> str:
    """The library in the package, or "" if it is not all there is: operators without a C function (listed in a `.json`
    beside it) and weights outside the library need torch's runner."""
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if MEMBERS in name or "/data/weights/" in name]
    libraries = [name for name in members if name.endswith(".so")]
    return libraries[0] if len(libraries) == 1 and all(name.endswith(NEEDED) for name in members) else ""


class Package:
    """A CPU package of a network; as many threads as there are processors run it at once, others wait.

    Weights are in memory once. A call returns the outputs; a size that the compiler ruled out is a RuntimeError (and a
    line on stderr, from the library).
    """

    def __init__(self, path: Path, library: str) -> None:
        slots = os.cpu_count() or 1
        count = _size()
        self._container = ctypes.c_void_p()
        # The library never waits for a free slot itself: a run that fails wakes nobody there.
        self._slots = threading.BoundedSemaphore(slots)
        with tempfile.TemporaryDirectory(prefix="ptocr-", ignore_cleanup_errors=True) as folder:
            file = Path(folder) / Path(library).name
            with zipfile.ZipFile(path) as archive:
                file.write_bytes(archive.read(library))
            self._library = ctypes.CDLL(str(file))  # stays mapped when the file is gone
            create = self._library.AOTInductorModelContainerCreateWithDevice
            self._check(create(ctypes.byref(self._container), _size(slots), b"cpu", None))
        delete = self._library.AOTInductorModelContainerDelete
        weakref.finalize(self, delete, self._container).atexit = False  # another thread may still be in it
        self._check(self._library.AOTInductorModelContainerGetNumInputs(self._container, ctypes.byref(count)))
        self._inputs = count.value
        self._check(self._library.AOTInductorModelContainerGetNumOutputs(self._container, ctypes.byref(count)))
        self._outputs = count.value

    def __call__(self, *tensors: Tensor) -> list[Tensor]:
        if len(tensors) != self._inputs:
            raise RuntimeError(f"the package takes {self._inputs} inputs, not {len(tensors)}")
        inputs, outputs = (ctypes.c_void_p * self._inputs)(), (ctypes.c_void_p * self._outputs)()
        run = self._library.AOTInductorModelContainerRun
        with self._slots:
            for place, handle in enumerate(torch_private.handles_of(list(tensors))):
                inputs[place] = _pointer(handle, None)  # the library frees them
            code = run(self._container, inputs, _size(self._inputs), outputs, _size(self._outputs), None, None)
        self._check(code)
        handles: list[Any] = [_capsule(output, None, None) for output in outputs]
        return torch_private.tensors_of(handles)

    def _check(self, code: int) -> None:
        if code:
            message = ctypes.c_char_p()
            if hasattr(self._library, "AOTInductorGetLastError"):  # torch 2.13
                self._library.AOTInductorGetLastError(ctypes.byref(message))
            raise RuntimeError((message.value or b"the package failed, see stderr").decode(errors="replace"))
