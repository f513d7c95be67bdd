"""Where weights are: a model's name or an official file -> a `.pth` on this machine, fetched and converted when needed.

Lookup of a name: `weights/NAME.pth` of a checkout, the user's cache, then the sources of the spec. Fetching: `fetch`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ptocr import paths
from ptocr.checkpoint import (
    FORMAT,
    Checkpoint,
    OtherVersion,
    holds_tensors_alone,
    in_safetensors,
    load_checkpoint,
    save_checkpoint,
)
from ptocr.errors import WeightsError
from ptocr.files import made
from ptocr.spec.model import ModelSpec, WeightSource, list_specs, load_spec
from ptocr.spec.vocabulary import Vocabulary
from ptocr.weights import fetch
from ptocr.weights.kept import kept_file, sha256_of
from ptocr.weights.listing import local_file

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

LOCK_SECONDS = 900.0
_NATIVE = (".pth", ".pt")
_NO_SOURCE = (*_NATIVE, ".pdopt", ".states", ".log")
_FOREIGN = (".pdparams", ".pdmodel", ".pdiparams", ".json", ".onnx", ".safetensors", ".tar")


def find(name_or_path: str | Path, model: str | None = None, charset: str | Path | None = None) -> Path:
    """The `.pth` of a model name or of a file with weights.

    A name is looked up in the checkout's `weights/`, then in the user's cache, and else fetched, verified, converted
    and cached. A `.pth` of ours is returned as it is. Any other form (`.pdparams`, Paddle inference folder, ONNX,
    safetensors, `.tar` of one of those, a plain PyTorch state dict) is converted and cached by its content.

    model, charset: for foreign files: the spec to convert to (None: recognised from the tensors) and a character
        dictionary file (None: what the file brings, else the spec's).

    Raises:
        WeightsError: nothing found; every source that was tried is listed with its failure.
        SpecError: neither a path nor a known model.
    """
    path = _as_path(name_or_path)
    if path is None:
        return _find_name(load_spec(str(name_or_path)))
    if not path.exists():
        raise WeightsError(f"{path}: no such file or folder (a model is given by its name, `ptocr models` lists them)")
    if in_safetensors(path) or (path.is_file() and path.suffix in _NATIVE and not holds_tensors_alone(path)):
        return path
    if path.is_dir() and (native := _only_native(path)) is not None:
        return native
    return _find_converted(path, model, charset)


def load(name_or_path: str | Path, model: str | None = None, charset: str | Path | None = None) -> Checkpoint:
    """`find`, read: weights, spec and charset.

    Raises:
        WeightsError: as `find`; the file holds another model than `model`; `charset` does not fit its classes.
    """
    current = _current(load_spec(str(name_or_path))) if _as_path(name_or_path) is None else None
    path = current[0] if current else find(name_or_path, model, charset)
    checkpoint = current[1] if current else load_checkpoint(path)
    if model and checkpoint.spec.name != model:
        raise WeightsError(f"{path}: holds weights of {checkpoint.spec.name}, not of {model}")
    return checkpoint if charset is None else _with_charset(checkpoint, Path(charset), path)


def _with_charset(checkpoint: Checkpoint, charset: Path, path: Path) -> Checkpoint:
    """The checkpoint with the user's dictionary; the number of classes says whether the space belongs to it."""
    for space in (True, False):
        characters = checkpoint.spec.read_charset(charset, space)
        if characters.classes == checkpoint.classes:
            return dataclasses.replace(checkpoint, charset=characters)
    raise WeightsError(
        f"{charset}: {characters.classes} classes with the blank, one more with the space, but {path} has "
        f"{checkpoint.classes}; give the dictionary the weights were trained with"
    )


def build_model(name_or_spec: str | Path | ModelSpec, train: bool = False) -> nn.Module:
    """The untrained network of a model, in eval mode, or in train mode with the training-only branches."""
    from ptocr.nn.build import build_network

    spec = name_or_spec if isinstance(name_or_spec, ModelSpec) else load_spec(name_or_spec)
    return build_network(spec.architecture, spec.classes, train).train(train)


# ------------------------------------------------------------------------------------------------------------ by name


def _as_path(name_or_path: str | Path) -> Path | None:
    """The path that is meant, None for a model's name (a folder called like a model is written ./NAME)."""
    if isinstance(name_or_path, Path):
        return name_or_path
    if name_or_path in list_specs():
        return None
    path = Path(name_or_path).expanduser()
    meant = "/" in name_or_path or "\\" in name_or_path or path.suffix in (*_NATIVE, *_FOREIGN) or path.exists()
    return path if meant else None


def _current(spec: ModelSpec) -> tuple[Path, Checkpoint] | None:
    """`local_file` and what it holds, unless this module fetched it for another spec of the model, as an older or a
    newer version of ptocr has it: then it is made again."""
    path = local_file(spec.name)
    if path is None:
        return None
    try:
        checkpoint = load_checkpoint(path)
    except OtherVersion as error:
        if "fetched" not in error.source:
            raise
        log.info("%s was made by another version of ptocr; it is made again", path)
        return None
    except WeightsError as error:
        if path.parent != paths.cache_weights():
            raise
        log.warning("%s; it is made again", error)
        return None
    if "fetched" not in checkpoint.source or checkpoint.source.get("made_for") == _facts(spec):
        return path, checkpoint  # what the user put there is never replaced
    log.info("%s was made for an older description of %s; it is made again", path, spec.name)
    return None


def _facts(spec: ModelSpec) -> str:
    """Short hash of what in a spec decides how weights are converted and used."""
    facts = spec.model_dump(mode="json", exclude={"sources", "languages", "family"})
    if facts["postprocess"] and facts["postprocess"]["name"] == next(iter(spec.row.postprocess)):
        del facts["postprocess"]["name"]  # as in files that are older than the names
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _find_name(spec: ModelSpec) -> Path:
    if (current := _current(spec)) is not None:
        return current[0]
    target = paths.cache_weights() / f"{spec.name}.pth"
    _made(target, lambda: _fetch(spec), ready=lambda: _current(spec) is not None)
    return local_file(spec.name) or target


def _fetch(spec: ModelSpec) -> Checkpoint:
    """The first source that works, converted; the failures of those before it are logged, all are in one error else."""
    failures: list[str] = []
    for source in fetch.ordered(spec.sources):
        try:
            checkpoint = _fetch_from(spec, source)
        except WeightsError as error:
            failures.append(f"  {fetch.describe(source)}: {error}")
            continue
        for failure in failures:
            log.info("%s", failure.strip())
        return checkpoint
    raise WeightsError("\n".join([f"no weights for {spec.name}; tried:", *failures, *_advice(spec)]))


def _fetch_from(spec: ModelSpec, source: WeightSource) -> Checkpoint:
    with tempfile.TemporaryDirectory(prefix="ptocr-") as folder:
        where = fetch.fetch(source, Path(folder))
        from ptocr.convert.convert import convert  # only where something is converted

        checkpoint = convert(where, model=spec.name)
        origin = {
            **checkpoint.source,
            "fetched": fetch.describe(source),
            "license": source.license,
            "made_for": _facts(spec),
        }
        # the converter may map its source lazily: the tensors must outlive the folder
        state = {name: tensor.clone() for name, tensor in checkpoint.state_dict.items()}
        return dataclasses.replace(checkpoint, source=origin, state_dict=state)


def _advice(spec: ModelSpec) -> list[str]:
    """What a user can do without these sources; what helps most people, a file carried over by hand, stands last."""
    name, folder = spec.name, paths.downloads()
    lines = [] if spec.sources else ["  (its spec names no sources)"]
    lines.append(f"convert official weights: ptocr convert --model {name} --src FILE_OR_FOLDER --out {name}.pth")
    lines.append(f"or put {name}.pth in {paths.cache_weights()}")
    if files := [file for source in spec.sources if (file := kept_file(source))]:
        lines[-1] += f", or one of {', '.join(files)} in {folder}"
    if pinned := next((source.location for source in spec.sources if source.kind == "pip"), None):
        command = f"pip download --no-deps --ignore-requires-python {pinned}"
        lines.append(f"or, on a machine with a network, {command}, and bring the file to {folder}")
    return lines


# ------------------------------------------------------------------------------------------------------------ by file


def _find_converted(path: Path, model: str | None, charset: str | Path | None) -> Path:
    """The cached conversion of a foreign file or folder, made when it is not there."""
    characters = Path(charset) if charset is not None else None
    key = _key(path, model, characters)
    target = paths.cache_weights() / "converted" / f"{model or path.stem}-{key[:16]}.pth"
    if target.is_file():
        return target

    def converted() -> Checkpoint:
        from ptocr.convert.convert import convert  # only where something is converted

        return convert(path, model=model, charset=characters)

    return _made(target, converted)


def _only_native(folder: Path) -> Path | None:
    """The one `.pth` of a folder without weights of other forms."""
    files = [p for p in folder.iterdir() if p.suffix in (*_NATIVE, *_FOREIGN)]
    return files[0] if len(files) == 1 and files[0].suffix in _NATIVE else None


def _key(path: Path, model: str | None, charset: Path | None) -> str:
    """Hash of everything a conversion depends on: the files, the spec and the dictionary."""
    digest = hashlib.sha256(str(FORMAT).encode())
    folder, stem = (path, None) if path.is_dir() else (path.parent, path.stem)  # a file's companions share its stem
    beside = [p for p in folder.iterdir() if p.is_file() and stem in (None, p.stem)]
    files = sorted(p for p in beside if p == path or p.suffix not in _NO_SOURCE)
    if not files:
        raise WeightsError(f"{path}: an empty folder, no weights to convert")
    for file in files:
        digest.update(f"{file.name}:{sha256_of(file)};".encode())
    if model is not None:
        digest.update(_facts(load_spec(model)).encode())
    if charset is not None:
        digest.update(json.dumps(Vocabulary.load(charset).characters).encode())
    return digest.hexdigest()


def _made(target: Path, convert: Callable[[], Checkpoint], ready: Callable[[], bool] | None = None) -> Path:
    """The cached `.pth`, made from what `convert` returns where it is not there yet."""
    remedy = "set PTOCR_HOME to a folder that can, with space left"
    return made(target, lambda part: save_checkpoint(part, convert()), ready, WeightsError, remedy, LOCK_SECONDS)
