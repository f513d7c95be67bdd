"""Weight files of every format -> `ForeignWeights`. What a file is, its content says, not its name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ptocr.convert.formats import pdmodel, pir
from ptocr.convert.formats.archive import Member, members
from ptocr.convert.formats.description import Description, read_description
from ptocr.convert.formats.onnx_graph import read_onnx
from ptocr.convert.formats.paddle_graph import is_constant
from ptocr.convert.formats.pdiparams import read_tensors
from ptocr.convert.formats.pdparams import read_pdparams
from ptocr.convert.formats.safetensors import is_safetensors, read_safetensors
from ptocr.convert.formats.variants import as_published
from ptocr.convert.graph import Graph
from ptocr.errors import WeightsError

# the order in which a folder's files are looked at: what can be trained further comes first
ORDER = ("checkpoint", "pdparams", "pir", "pdmodel", "onnx", "safetensors")
COMPANIONS = (".info", ".pdopt", ".states")  # pickles that stand beside weights and are none
BRANCHES = ("Student.", "Student2.", "Teacher.")  # of distillation checkpoints, in the order of preference


@dataclass
class ForeignWeights:
    """Weights as read.

    tensors: name -> float32 array in the file's layout. graph: the operations that use them, for formats whose tensor
    names say nothing; None where the names are structured ones. description: of an `inference.yml`. characters: of ONNX
    metadata. files: name -> sha256, the one with the weights first. notes: what was left out or chosen.
    """

    where: str
    format: str
    tensors: dict[str, np.ndarray]
    graph: Graph | None = None
    description: Description | None = None
    characters: list[str] | None = None
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def kind_of(head: bytes) -> str | None:
    """The format of a file by its first bytes, None when it is none that holds weights."""
    if head[:4] == b"PK\x03\x04":
        return "checkpoint" if b"data.pkl" in head else None
    if len(head) > 2 and head[0] == 0x80 and head[1] in (2, 3, 4, 5):
        return "pdparams"
    if pir.is_program(head):
        return "pir"
    if is_safetensors(head):
        return "safetensors"
    if head[:4] == b"\0\0\0\0" and len(head) > 24:
        return "pdiparams"
    if head[:1] == b"\x08":  # ModelProto.ir_version
        return "onnx"
    if head[:1] == b"\x0a":  # ProgramDesc.blocks
        return "pdmodel"
    return None


def is_checkpoint(path: Path) -> bool:
    """Whether a path is a `.pth` of ours."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return kind_of(stream.read(4096)) == "checkpoint"


def read(path: str | Path, prefer: str | None = None) -> ForeignWeights:
    """Read the weights of a file, folder or archive.

    prefer: "Student", "Student2" or "Teacher" of a distillation checkpoint; None: the first of these that is there.

    Raises:
        WeightsError: nothing readable there; names the file and what to do.
    """
    path = Path(path).expanduser()
    found = members(path)
    kinds: dict[str, list[Member]] = {}
    for member in found:
        companion = member.name.endswith(COMPANIONS) and (member is not found[0] or path.is_dir())
        if not companion and (kind := kind_of(member.head())):
            kinds.setdefault(kind, []).append(member)
    named = None if path.is_dir() else kind_of(found[0].head())  # a single file says itself which one is meant
    if named == "pdiparams":
        named = None
    chosen = named if named in ORDER else next((kind for kind in ORDER if kind in kinds), None)
    if chosen is None:
        raise WeightsError(f"{path}: {_nothing(kinds)}")
    if len(kinds[chosen]) > 1 and named is None:
        names = ", ".join(m.name for m in kinds[chosen])
        raise WeightsError(f"{path}: holds more than one {chosen} file ({names}); give one of them")
    return _read(kinds[chosen][0], chosen, kinds, found, prefer)


def _nothing(kinds: dict[str, list[Member]]) -> str:
    if "pdiparams" in kinds:
        return "parameters without their program; put inference.json or inference.pdmodel beside inference.pdiparams"
    return (
        "no weights found; known are .pdparams, Paddle inference folders (inference.pdmodel or inference.json with "
        "inference.pdiparams), .onnx, .safetensors, .pth, and .tar archives of these"
    )


def _read(
    main: Member, kind: str, kinds: dict[str, list[Member]], found: list[Member], prefer: str | None
) -> ForeignWeights:
    if kind == "checkpoint":
        raise WeightsError(f"{main.where}: already a .pth; it needs no conversion")
    description = _description(main, found)
    if kind in ("pdmodel", "pir"):
        return _program(main, kind, kinds, description)
    files = {main.name: main.sha256()}
    if kind == "onnx":
        model = read_onnx(main.where, main.read())
        text = model.metadata.get("character")
        characters = text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else None
        return ForeignWeights(main.where, kind, model.tensors, model.graph, description, characters, files)
    if kind == "safetensors":
        tensors = read_safetensors(main.where, main.read())
        return ForeignWeights(main.where, kind, tensors, None, description, _hub_characters(main, found), files)
    with main.open() as stream:
        tensors, notes = read_pdparams(main.where, stream)
    tensors, branch = _branch(main.where, tensors, prefer)
    return ForeignWeights(main.where, kind, as_published(tensors, True), None, description, None, files, notes + branch)


def _description(main: Member, found: list[Member]) -> Description | None:
    """The `.yml` that stands beside the weights: `inference.yml`, or one with the weights' own name."""
    stem = Path(main.name).stem
    names = ("inference.yml", "inference.yaml", f"{stem}.yml", f"{stem}.yaml")
    for member in found:
        if member.name in names and member.folder == main.folder and b"PostProcess" in (data := member.read()):
            description = read_description(member.where, data)
            if description.postprocess or description.preprocess or description.characters:
                return description
    return None


def _hub_characters(main: Member, found: list[Member]) -> list[str] | None:
    """The characters in the `preprocessor_config.json` of a hub repository, where the blank comes first."""
    for member in found:
        if member.name == "preprocessor_config.json" and member.folder == main.folder:
            try:
                listed = json.loads(member.read()).get("character_list")
            except (ValueError, AttributeError):
                raise WeightsError(f"{member.where}: not a readable JSON file; fetch it again") from None
            if isinstance(listed, list) and listed:
                return [str(character) for character in listed[1:]]
    return None


def _program(
    main: Member, kind: str, kinds: dict[str, list[Member]], description: Description | None
) -> ForeignWeights:
    """A program with its parameters: the `.pdiparams` of the same folder."""
    beside = [m for m in kinds.get("pdiparams", []) if m.folder == main.folder]
    same = [m for m in beside if Path(m.name).stem == Path(main.name).stem] or beside
    if len(same) != 1:
        what = "its parameters are missing" if not same else "more than one parameter file beside it"
        raise WeightsError(f"{main.where}: {what}; put the one inference.pdiparams of this model into the same folder")
    reader = pdmodel if kind == "pdmodel" else pir
    graph, shapes = reader.read_program(main.where, main.read())
    tensors = read_tensors(same[0].where, same[0].read(), shapes)
    tensors = {name: array for name, array in tensors.items() if not is_constant(name)}
    files = {m.name: m.sha256() for m in (same[0], main)}
    return ForeignWeights(main.where, kind, tensors, graph, description, None, files)


def _branch(where: str, tensors: dict[str, np.ndarray], prefer: str | None) -> tuple[dict[str, np.ndarray], list[str]]:
    """One network of a distillation checkpoint, which holds several under prefixes."""
    present = [p for p in BRANCHES if any(name.startswith(p) for name in tensors)]
    if not present:
        if prefer is not None:
            raise WeightsError(f"{where}: not a distillation checkpoint, there is no {prefer!r} in it")
        return tensors, []
    chosen = present[0] if prefer is None else f"{prefer}."
    if chosen not in present:
        raise WeightsError(f"{where}: no {prefer!r} in this checkpoint, it holds {', '.join(p[:-1] for p in present)}")
    rest = [name for name in tensors if not name.startswith(tuple(present))]
    if rest:
        raise WeightsError(f"{where}: a distillation checkpoint with other tensors beside it: {', '.join(rest[:8])}")
    picked = {name.removeprefix(chosen): array for name, array in tensors.items() if name.startswith(chosen)}
    note = f"distillation checkpoint of {', '.join(p[:-1] for p in present)}: {chosen[:-1]} taken"
    return picked, [note]
