"""Which model weights belong to, from names, shapes and operations alone."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor, nn

from ptocr.checkpoint import Form, empty_network
from ptocr.convert.formats.foreign import Source
from ptocr.convert.formats.torch_state import FORMAT as TORCH
from ptocr.convert.graph import Graph
from ptocr.convert.hub import HubState, hub_path
from ptocr.convert.mapping import paddle_names, transposed
from ptocr.convert.trace import trace
from ptocr.errors import PtocrError, WeightsError
from ptocr.spec.model import ModelSpec, list_specs, load_spec
from ptocr.spec.vocabulary import Vocabulary

log = logging.getLogger(__name__)
ODD = 7919  # a class count that no layer has for other reasons


def deploy_graph(spec: ModelSpec, classes: int | None) -> tuple[nn.Module, Graph]:
    """Paddle's deploy form of a spec's network, without memory, and its graph."""
    network = empty_network(spec.architecture, classes, "deploy")
    return network, trace(network, spec.probe)


@dataclass(frozen=True)
class Layout:
    """Paddle's names and shapes of a network; by_class: name -> the axis whose size is the class count; linear: those
    that PyTorch keeps the other way round."""

    shapes: dict[str, tuple[int, ...]]
    by_class: dict[str, int]
    linear: frozenset[str] = frozenset()


def layout(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Paddle's name -> shape in Paddle's layout."""
    state = network.state_dict()
    shapes = {}
    for key, (name, module) in paddle_names(network).items():
        shape = tuple(state[key].shape)
        shapes[name] = shape[::-1] if transposed(module, key.rpartition(".")[2]) else shape
    return shapes


@lru_cache(maxsize=256)
def _layout(architecture: str, by_class: bool) -> Layout:
    config = json.loads(architecture)
    network = empty_network(config, ODD if by_class else None)
    shapes = layout(network)
    axes = {name: shape.index(ODD) for name, shape in shapes.items() if ODD in shape}
    return Layout(shapes, axes, linear_names(network))


def linear_names(network: nn.Module) -> frozenset[str]:
    """Paddle's names of the parameters that PyTorch keeps transposed."""
    names = paddle_names(network).items()
    return frozenset(name for key, (name, module) in names if transposed(module, key.rpartition(".")[2]))


def in_paddle_layout(source: Source, linear: frozenset[str]) -> dict[str, np.ndarray]:
    """The tensors of a source as Paddle lays them out."""
    if source.format != TORCH:
        return source.tensors
    return {name: array.T if name in linear else array for name, array in source.tensors.items()}


def layout_of(spec: ModelSpec) -> Layout:
    """The layout of a spec's network for evaluation."""
    return _layout(json.dumps(spec.architecture, sort_keys=True), spec.has_classes)


def class_count(source: Source, spec: ModelSpec) -> int | None:
    """The number of classes of the weights, None for networks without classes or weights of another kind."""
    if not spec.has_classes:
        return None
    if source.graph is not None:
        products = [n for n in source.graph.nodes if n.kind == "matmul"]
        return products[-1].shape[1] if products else None
    if source.format == "safetensors":
        return _hub_classes(source, spec)
    wanted = layout_of(spec)
    tensors = in_paddle_layout(source, wanted.linear)
    for name, axis in wanted.by_class.items():
        if name in tensors and tensors[name].ndim > axis:
            return tensors[name].shape[axis]
    return None


def _hub_classes(source: Source, spec: ModelSpec) -> int | None:
    for name in layout_of(spec).by_class:
        path, _, leaf = name.rpartition(".")
        found = source.tensors.get(f"{hub_path(path, spec.architecture)}.{leaf}")
        if leaf == "bias" and found is not None:
            return found.shape[0]
    return None


def hub_state(
    source: Source, spec: ModelSpec, classes: int | None
) -> tuple[Form, dict[str, Tensor], list[str], list[str]]:
    """Form, state dict, parameters without a source and unused tensors of a hub file for a spec's network.

    The hub merges the branches of some models; which, its names tell.
    """
    forms: tuple[Form, ...] = ("train", "deploy")
    tried = []
    for form in forms:
        hub = HubState(source.tensors, spec.architecture)
        state, missing = hub.of(empty_network(spec.architecture, classes, form))
        if not missing:
            return form, state, missing, hub.left()
        tried.append((form, state, missing, hub.left()))
    return min(tried, key=lambda result: len(result[2]))


def fits(source: Source, spec: ModelSpec) -> bool:
    """Whether names (or operations) and shapes are those of the spec's network, whatever its class count."""
    classes = class_count(source, spec)
    if spec.has_classes and classes is None:
        return False
    if source.graph is not None:
        return _operations(source.graph) == _spec_operations(
            json.dumps(spec.architecture, sort_keys=True), spec.name, classes
        )
    if source.format == "safetensors":
        _, _, missing, left = hub_state(source, spec, classes)
        return not missing and not left
    wanted = layout_of(spec)
    tensors = in_paddle_layout(source, wanted.linear)
    for name, shape in wanted.shapes.items():
        if name not in tensors:
            return False
        found = list(tensors[name].shape)
        if name in wanted.by_class and len(found) == len(shape):
            found[wanted.by_class[name]] = ODD
        if tuple(found) != shape:
            return False
    return True


def _operations(graph: Graph) -> Counter[Any]:
    return Counter(n.signature for n in graph.nodes)


@lru_cache(maxsize=256)
def _spec_operations(architecture: str, name: str, classes: int | None) -> Counter[Any]:
    del architecture
    return _operations(deploy_graph(load_spec(name), classes)[1])


def candidates(source: Source) -> list[ModelSpec]:
    """All specs whose network the weights fit."""
    found = []
    verdicts: dict[str, bool] = {}
    for name in list_specs():
        try:
            spec = load_spec(name)
            key = f"{spec.task} {json.dumps(spec.architecture, sort_keys=True)}"
            if key not in verdicts:
                verdicts[key] = fits(source, spec)
        except PtocrError as error:
            log.debug("%s: %s", name, error)
            continue
        if verdicts[key]:
            found.append(spec)
    return found


def identify(source: Source, characters: Iterable[str] | None = None) -> ModelSpec:
    """The one model the weights belong to.

    Twins (identical networks) are told apart by the name in `inference.yml`, the class count, the characters and at
    last the file's or folder's name.

    Raises:
        WeightsError: none fits, or several do; lists them.
    """
    found = candidates(source)
    if not found:
        raise WeightsError(
            f"{source.where}: these weights belong to no model that ptocr knows (`ptocr models` lists them); "
            "for a fine-tuned one give its training YAML with --config, or the base model's name with --model"
        )
    named = source.description.name if source.description else None
    if any(spec.name == named for spec in found):
        return next(spec for spec in found if spec.name == named)
    for rule in (_same_classes, _same_characters, _same_name):
        kept = rule(found, source, list(characters) if characters is not None else None)
        found = kept or found
        if len(found) == 1:
            return found[0]
    names = ", ".join(spec.name for spec in found)
    raise WeightsError(f"{source.where}: these weights fit several models alike: {names}; say which one with --model")


def _same_classes(found: list[ModelSpec], source: Source, characters: list[str] | None) -> list[ModelSpec]:
    del characters
    return [spec for spec in found if spec.classes == class_count(source, spec)]


def _same_characters(found: list[ModelSpec], source: Source, characters: list[str] | None) -> list[ModelSpec]:
    del source
    if characters is None:
        return []
    wanted = {tuple(characters), (*characters, " ")}
    return [
        s for s in found if (c := s.load_charset()) is not None and isinstance(c, Vocabulary) and c.characters in wanted
    ]


def _general(found: list[ModelSpec], where: str) -> list[ModelSpec]:
    """Without variants whose own word (PP-OCRv4_mobile_seal_det: "seal") does not stand in the file's name."""
    words = {s.name: set(s.name.split("_")) for s in found}
    own = {s.name: [words[s.name] - w for w in words.values() if w < words[s.name]] for s in found}
    return [s for s in found if all(word in where for more in own[s.name] for word in more)]


def _same_name(found: list[ModelSpec], source: Source, characters: list[str] | None) -> list[ModelSpec]:
    del characters
    named = [s for s in found if s.name.lower() in source.where.lower()]
    longest = max((len(s.name) for s in named), default=0)  # en_PP-OCRv4_mobile_rec also holds PP-OCRv4_mobile_rec
    kept = [s for s in named if len(s.name) == longest]
    kept = kept or _general([s for s in found if s.family.lower() in source.where.lower()], source.where)
    if len(kept) == 1 and len(found) > 1:
        log.warning("%s: fits several models alike; %s chosen by the file's name", source.where, kept[0].name)
    return kept
