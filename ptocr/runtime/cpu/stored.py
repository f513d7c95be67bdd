"""Native programs in the user's cache: one file for each, mapped into memory, so that a start neither traces a network
nor loads torch.

A file is a line of JSON (instructions, forms of the outputs) and, aligned, the parameters. The kernels follow what it
says without looking, so it is trusted as machine code is: by owner and hash (`machine_code`). Kept are programs of
weights that are read from a `.pth`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ptocr import paths
from ptocr.checkpoint import Unread
from ptocr.errors import DeviceError
from ptocr.files import made
from ptocr.runtime import machine_code
from ptocr.runtime.cpu import isa
from ptocr.runtime.cpu.program import Form, Program
from ptocr.runtime.placed import PlacedNetwork

log = logging.getLogger(__name__)
ALIGNED = 64


@dataclass(frozen=True)
class Bytes:
    """Parameters in a file."""

    array: np.ndarray

    def joined(self) -> np.ndarray:
        """All of them, one after the other."""
        return self.array


def stored(network: PlacedNetwork, decode: bool, name: str, lower: Callable[[], Program]) -> Program:
    """The network's program for the kernels `name`, from the cache; else lowered, and kept there. Raises as `lower`."""
    path = path_of(network, decode, name)
    if path is None:
        return lower()
    if (found := _read(path)) is not None:
        return found
    program = lower()

    def build(part: Path) -> None:
        _write(part, program)
        machine_code.record(part, path)

    try:
        made(path, build, lambda: machine_code.is_sound(path), DeviceError)
    except (DeviceError, OSError) as error:
        log.info("%s: its program is not kept (%s)", network.checkpoint.spec.name, error)
    return _read(path) or program


def path_of(network: PlacedNetwork, decode: bool, name: str) -> Path | None:
    """Where a program is; its name holds everything it depends on. None for weights in memory."""
    checkpoint, weights = network.checkpoint, network.checkpoint.state_dict
    if not isinstance(weights, Unread):
        return None
    facts = [
        weights.sha256,
        checkpoint.form,
        checkpoint.spec.architecture,
        checkpoint.classes,
        decode,
        network.number,
    ]
    key = hashlib.sha256(json.dumps([*facts, isa.library_path(name).name, _code()]).encode()).hexdigest()[:20]
    return paths.compiled() / f"{checkpoint.spec.name}-{name}-{key}.program"


@functools.cache
def _code() -> str:
    """Hash of what makes programs of networks."""
    digest, here = hashlib.sha256(), Path(__file__).parent
    for folder in (here, here.parents[1] / "nn"):
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _write(path: Path, program: Program) -> None:
    outputs = [None if form is None else int(form) for form in program.outputs]
    head = json.dumps({"code": program.code, "outputs": outputs}).encode()
    head += b" " * (-(len(head) + 1) % ALIGNED) + b"\n"
    with path.open("wb") as stream:
        stream.write(head)
        stream.write(program.buffer.joined().data)


def _read(path: Path) -> Program | None:
    """A sound program, None if there is none."""
    if not path.is_file():
        return None
    try:
        machine_code.checked(path)
        with path.open("rb") as stream:
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        size = data.find(b"\n") + 1
        head = json.loads(data[:size])
        outputs = [None if form is None else Form(form) for form in head["outputs"]]
        return Program(head["code"], Bytes(np.frombuffer(data, np.uint8, offset=size)), outputs)
    except (OSError, ValueError, KeyError) as error:
        log.warning("%s: the program is damaged or foreign, it is made again (%s)", path, error)
        return None
