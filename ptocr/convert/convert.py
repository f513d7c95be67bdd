"""Official weights of any format -> `Checkpoint`. No Paddle anywhere."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ptocr.checkpoint import Checkpoint, Form, empty_network, holds_tensors_alone, load_checkpoint
from ptocr.convert.align import align, transfer
from ptocr.convert.fingerprint import deploy_graph, layout, linear_names
from ptocr.convert.formats.description import apply_description
from ptocr.convert.formats.foreign import ForeignWeights, is_checkpoint, read
from ptocr.convert.formats.torch_state import read_torch_state
from ptocr.convert.graph import Graph, without_parts
from ptocr.convert.identify import class_count, hub_state, identify, in_paddle_layout
from ptocr.convert.mapping import lstm_aliases, map_state, paddle_names, transposed
from ptocr.convert.pieces import joined, piece_of, with_pieces
from ptocr.errors import WeightsError
from ptocr.spec.model import ModelSpec, load_spec
from ptocr.spec.vocabulary import Vocabulary

log = logging.getLogger(__name__)


def convert(
    src: str | Path,
    model: str | ModelSpec | None = None,
    charset: str | Path | Vocabulary | None = None,
    prefer: str | None = None,
) -> Checkpoint:
    """Read weights and fit them into one of our networks.

    src: a `.pdparams`, an ONNX or `.safetensors` file, a Paddle inference folder (or one of its files), a `.tar` of
    these, or a plain PyTorch state dict; a `.pth` of ours is only given another dictionary. model: the spec or its
    name; None: recognised from the weights. charset: the dictionary of a recogniser; None: the one that comes with the
    weights, else the model's official one. prefer: "Student", "Student2" or "Teacher" of a distillation checkpoint.

    Raises:
        WeightsError: unreadable, another model's, or a character set of another size; names file, tensor and shapes.
        SpecError: unknown model.
    """
    given = charset if charset is None or isinstance(charset, Vocabulary) else Vocabulary.load(charset, space=False)
    plain = is_checkpoint(Path(src)) and holds_tensors_alone(Path(src))
    if is_checkpoint(Path(src)) and not plain:
        return _converted_before(Path(src), model, given)
    source = read_torch_state(Path(src)) if plain else read(src, prefer)
    log.info("%s: %s, %d tensors", source.where, source.format, len(source.tensors))
    if model is None:
        spec = identify(source, given.characters if given else _brought(source))
        log.info("%s: recognised as %s", source.where, spec.name)
    else:
        spec = model if isinstance(model, ModelSpec) else load_spec(model)
    notes = list(source.notes)
    if source.description is not None:
        notes += _check_name(source, spec)
        spec, differences = apply_description(spec, source.description)
        notes += differences
    classes = _classes(source, spec)
    characters = _charset(source, spec, classes, given)
    form, state, more = _state(source, spec, classes)
    for note in notes + more:
        log.warning("%s: %s", source.where, note)
    log.info("%s: %d tensors in %s form", spec.name, len(state), form)
    return Checkpoint(spec, characters, form, state, _origin(source, notes + more))


def _converted_before(path: Path, model: str | ModelSpec | None, given: Vocabulary | None) -> Checkpoint:
    """A `.pth` as it is, or with another dictionary of the same size."""
    checkpoint = load_checkpoint(path)
    wanted = model.name if isinstance(model, ModelSpec) else model
    if wanted is not None and wanted != checkpoint.spec.name:
        raise WeightsError(f"{path}: holds {checkpoint.spec.name}, not {wanted}; leave the model out, or give its file")
    if given is None or checkpoint.classes is None:
        return checkpoint
    characters = _fitting(
        given.characters, checkpoint.classes, "the character dictionary that was given", str(path), checkpoint.spec
    )
    return replace(checkpoint, charset=characters)


def _origin(source: ForeignWeights, notes: list[str]) -> dict[str, Any]:
    name, digest = next(iter(source.files.items()))
    return {"name": name, "sha256": digest, "format": source.format, "files": dict(source.files), "notes": notes}


def _check_name(source: ForeignWeights, spec: ModelSpec) -> list[str]:
    assert source.description is not None
    name = source.description.name
    return [f"{source.description.where} calls this model {name}"] if name not in (None, spec.name) else []


# ------------------------------------------------------------------------------------------------- classes, characters


def _brought(source: ForeignWeights) -> list[str] | None:
    """The characters that come with the weights, in class order, without the blank and perhaps without the space."""
    if source.description is not None and source.description.characters:
        return source.description.characters
    return source.characters


def _classes(source: ForeignWeights, spec: ModelSpec) -> int | None:
    classes = class_count(source, spec)
    if spec.has_classes and classes is None:
        raise WeightsError(
            f"{source.where}: not {spec.name}: there is no classification layer in these weights; "
            "give the model's real name, or leave it out to have it recognised"
        )
    if spec.labels and classes != len(spec.labels):
        raise WeightsError(
            f"{source.where}: not {spec.name}: {classes} classes in the weights, {len(spec.labels)} labels in the spec "
            f"({', '.join(spec.labels)})"
        )
    return classes


def _charset(
    source: ForeignWeights, spec: ModelSpec, classes: int | None, given: Vocabulary | None
) -> Vocabulary | None:
    """The character set that fits the class count; with the space appended where that makes it fit.

    Raises:
        WeightsError: no character set of the right size; names both numbers.
    """
    if not spec.row.vocabulary or classes is None:
        return None
    brought = _brought(source)
    if given is not None:
        return _fitting(given.characters, classes, "the character dictionary that was given", source.where, spec)
    if brought is not None:
        return _fitting(tuple(brought), classes, "the character list that comes with it", source.where, spec)
    official = spec.load_charset()
    if official is not None and official.classes == classes:
        return official
    has = (
        "no official character set" if official is None else f"an official character set of {official.classes} classes"
    )
    raise WeightsError(
        f"{source.where}: the weights have {classes} classes (blank included) and {spec.name} has {has}; "
        "give the dictionary they were trained with (--charset FILE, one character per line)"
    )


def _fitting(characters: tuple[str, ...], classes: int, what: str, where: str, spec: ModelSpec) -> Vocabulary:
    charset = spec.vocabulary_of(Vocabulary(characters))
    spaced = replace(charset, characters=(*characters, " "))
    for candidate in (charset, spaced):
        if candidate.classes == classes:
            return candidate
    raise WeightsError(
        f"{where}: {what} has {len(characters)} characters, that makes {charset.classes} classes with the special "
        f"tokens of {spec.postprocess.name!r} and {spaced.classes} with the space, but the weights have {classes}; "
        "give the dictionary they were trained with (--charset FILE, one character per line)"
    )


# --------------------------------------------------------------------------------------------------------- state dicts


def _state(source: ForeignWeights, spec: ModelSpec, classes: int | None) -> tuple[Form, dict[str, Tensor], list[str]]:
    read_as = _deploy if source.graph is not None else _hub if source.format == "safetensors" else _train
    form, state, notes = read_as(source, spec, classes)
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{source.where}: {name!r} holds values that are no numbers; the weights are damaged")
    return form, state, notes


def _hub(source: ForeignWeights, spec: ModelSpec, classes: int | None) -> tuple[Form, dict[str, Tensor], list[str]]:
    """Weights under the names of the hub's transformers releases."""
    form, state, missing, left = hub_state(source, spec, classes)
    if missing or left:
        parts = [
            f"{len(names)} {label}: {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"
            for label, names in (("parameters without a tensor", missing), ("tensors unknown to the network", left))
            if names
        ]
        raise WeightsError(
            f"{source.where}: these weights do not fit {spec.name}: {'; '.join(parts)}. Known is the layout of "
            "the hub's NAME_safetensors repositories; for others convert the .pdparams or the inference folder"
        )
    return form, state, []


def _deploy(source: ForeignWeights, spec: ModelSpec, classes: int | None) -> tuple[Form, dict[str, Tensor], list[str]]:
    """Weights of an exported program in Paddle's deploy form of our network."""
    assert source.graph is not None
    network, graph = deploy_graph(spec, classes)
    theirs, dropped = source.graph, set[str]()
    if len(theirs.nodes) > len(graph.nodes):
        theirs, dropped = _wanted(theirs, spec, classes, network)
    pairs = align(theirs, graph, source.where, spec.name)
    names = paddle_names(network)
    shapes = layout(network)
    wanted = {key: shapes[name] for key, (name, _) in names.items()}
    rows = {key for key, (_, module) in names.items() if not transposed(module, key.rpartition(".")[2])}
    wanted |= {str(p): p.shape_in(wanted[p.whole]) for p in map(piece_of, _names(graph)) if p is not None}
    taken = _names(theirs)
    tensors = {name: array for name, array in source.tensors.items() if name not in dropped}
    tensors = with_pieces(tensors, taken)
    arrays = joined(transfer(pairs, tensors, wanted, source.where, rows), wanted)
    if idle := sorted(set(tensors) - taken):
        raise WeightsError(
            f"{source.where}: {len(idle)} tensors that no known operation uses: {', '.join(idle[:8])}; "
            "convert the training checkpoint (.pdparams) of the model"
        )
    state, report = map_state({names[key][0]: value for key, value in arrays.items()}, network, source.where)
    report.check(spec.name)
    return "deploy", state, _left_out(sorted(dropped))


def _wanted(graph: Graph, spec: ModelSpec, classes: int | None, network: nn.Module) -> tuple[Graph, set[str]]:
    """A program without the parts that only training has (a second head), and the tensors that went with them."""
    beyond = set(layout(empty_network(spec.architecture, classes, train=True))) - set(layout(network))
    parts = {name.partition(".")[0] for name in beyond} - {name.partition(".")[0] for name in layout(network)}
    wanted = without_parts(graph, parts)
    return wanted, _names(graph) - _names(wanted)


def _names(graph: Graph) -> set[str]:
    """The tensors that a program's operations use."""
    return {name for node in graph.nodes for name in node.tensors.values()}


def _train(source: ForeignWeights, spec: ModelSpec, classes: int | None) -> tuple[Form, dict[str, Tensor], list[str]]:
    """Weights under structured names, with the training-only branches where the file has them completely."""
    full = empty_network(spec.architecture, classes, train=True)
    tensors = in_paddle_layout(source, linear_names(full))
    known_beyond = {name for name in tensors if name.startswith(full.left_out())}  # type: ignore[operator]
    whole, report = map_state(tensors, full, source.where, known_beyond)
    if report.ok:
        return "train", whole, _left_out(report.training_only)
    network = empty_network(spec.architecture, classes)
    beyond = known_beyond | {*layout(full), *lstm_aliases(full)} - set(layout(network))
    state, report = map_state(tensors, network, source.where, beyond)
    report.check(spec.name)
    return "train", state, _left_out(report.training_only)


def _left_out(names: list[str]) -> list[str]:
    """What to say of tensors of training-only branches."""
    return [f"{len(names)} tensors of training-only branches left out: not a complete set"] if names else []
