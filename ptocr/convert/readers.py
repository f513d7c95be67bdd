"""Weight files of every format -> `Source`. What a file is, its content says, not its name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ptocr.convert.diparams import read_tensors
from ptocr.convert.graph import Graph
from ptocr.convert.pdmodel import read_program
from ptocr.convert.pickles import read_pdparams
from ptocr.errors import WeightsError


@dataclass
class Source:
    """Weights as read.

    tensors: name -> float32 array in the file's layout. graph: the operations that use them, for formats whose tensor
    names say nothing; None where the names are structured ones. files: name -> sha256. notes: what was left out or chosen.
    """

    path: Path
    format: str
    tensors: dict[str, np.ndarray]
    graph: Graph | None = None
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read(path: Path) -> Source:
    if path.is_dir():
        program, params = path / "inference.pdmodel", path / "inference.pdiparams"
        graph, shapes = read_program(str(program), program.read_bytes())
        tensors = read_tensors(params, params.read_bytes(), shapes)
        return Source(path, "paddle", tensors, graph, {p.name: sha256(p) for p in (program, params)})
    tensors, notes = read_pdparams(path)
    return Source(path, "pdparams", tensors, None, {path.name: sha256(path)}, notes)
