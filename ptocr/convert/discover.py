"""Which files and folders below a folder hold weights."""

from __future__ import annotations

from pathlib import Path

from ptocr.convert.formats.archive import is_archive
from ptocr.convert.formats.foreign import COMPANIONS, kind_of
from ptocr.errors import WeightsError

PROGRAMS = ("pir", "pdmodel")
ALONE = ("pdparams", "onnx", "safetensors")


def find_sources(root: Path) -> list[Path]:
    """Everything that can be converted: inference folders as folders, all others as files.

    A program is preferred to ONNX and `.safetensors` copies in the same folder; training checkpoints stand for
    themselves.

    Raises:
        WeightsError: no such folder, or nothing in it.
    """
    if not root.is_dir():
        raise WeightsError(f"{root}: no such folder")
    found = []
    for folder in [root, *sorted(p for p in root.rglob("*") if p.is_dir())]:
        found += _in_folder(folder)
    if not found:
        raise WeightsError(f"{root}: no weights found in it or below")
    return found


def _in_folder(folder: Path) -> list[Path]:
    kinds: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith(".") or path.name.endswith(COMPANIONS):
            continue
        with path.open("rb") as stream:
            kind = kind_of(stream.read(4096))
        if path.suffix in (".tar", ".tgz", ".gz") and is_archive(path):
            kind = "tar"
        if kind:
            kinds.setdefault(kind, []).append(path)
    programs = [path for kind in PROGRAMS for path in kinds.get(kind, [])]
    if "pdiparams" in kinds and len(programs) == 1:
        return [folder, *kinds.get("pdparams", []), *kinds.get("tar", [])]
    pairs = programs if "pdiparams" in kinds else []
    return [*pairs, *(path for kind in (*ALONE, "tar") for path in kinds.get(kind, []))]
