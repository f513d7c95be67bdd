"""Which model weights belong to, from names, shapes and operations alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from torch import Tensor

from ptocr.checkpoint import Form, empty_network
from ptocr.convert.fingerprint import architecture_key, fingerprint
from ptocr.convert.formats.foreign import ForeignWeights
from ptocr.convert.formats.torch_state import FORMAT as TORCH
from ptocr.convert.hub import HubState, hub_path
from ptocr.errors import PtocrError, WeightsError
from ptocr.spec.model import ModelSpec, load_spec, spec_files
from ptocr.spec.vocabulary import Vocabulary

log = logging.getLogger(__name__)


def in_paddle_layout(source: ForeignWeights, linear: frozenset[str]) -> dict[str, np.ndarray]:
    """The tensors of a source as Paddle lays them out."""
    if source.format != TORCH:
        return source.tensors
    return {name: array.T if name in linear else array for name, array in source.tensors.items()}


def class_count(source: ForeignWeights, spec: ModelSpec) -> int | None:
    """The number of classes of the weights, None for networks without classes or weights of another kind."""
    if not spec.has_classes:
        return None
    known = fingerprint(spec)
    if source.graph is not None:
        return known.classes_of_graph(source.graph)
    if source.format == "safetensors":
        return _hub_classes(source, spec)
    return known.classes_of_tensors(in_paddle_layout(source, known.linear))


def _hub_classes(source: ForeignWeights, spec: ModelSpec) -> int | None:
    for name in fingerprint(spec).by_class:
        path, _, leaf = name.rpartition(".")
        found = source.tensors.get(f"{hub_path(path, spec.architecture)}.{leaf}")
        if leaf == "bias" and found is not None:
            return found.shape[0]
    return None


def hub_state(
    source: ForeignWeights, spec: ModelSpec, classes: int | None
) -> tuple[Form, dict[str, Tensor], list[str], list[str]]:
    """Form, state dict, parameters without a source and unused tensors of a hub file for a spec's network.

    The hub merges the branches of some models; which, its names tell.
    """
    forms: tuple[tuple[Form, bool], ...] = (("train", False), ("train", True), ("deploy", False))
    tried: list[tuple[Form, dict[str, Tensor], list[str], list[str]]] = []
    for form, train in forms:
        if train and tried[0][2]:
            continue  # what is missing without the branches for training is missing with them
        hub = HubState(source.tensors, spec.architecture)
        state, missing = hub.of(empty_network(spec.architecture, classes, form, train=train))
        left = hub.left()
        if not missing and not left:
            return form, state, missing, left
        tried.append((form, state, missing, left))
    return min(tried, key=lambda result: (len(result[2]), len(result[3])))


def fits(source: ForeignWeights, spec: ModelSpec) -> bool:
    """Whether names (or operations) and shapes are those of the spec's network, whatever its class count."""
    classes = class_count(source, spec)
    if spec.has_classes and classes is None:
        return False
    known = fingerprint(spec)
    if source.graph is not None:
        return known.holds_graph(source.graph, classes)
    if source.format == "safetensors":
        _, _, missing, left = hub_state(source, spec, classes)
        return not missing and not left
    return known.holds_tensors(in_paddle_layout(source, known.linear), classes)


@lru_cache(maxsize=1)
def _specs(files: tuple[tuple[str, int], ...]) -> tuple[ModelSpec, ...]:
    """The specs of all files, each given by name and time of its last change; unreadable ones left out."""
    found = []
    for name, _ in files:
        try:
            found.append(load_spec(name))
        except PtocrError as error:
            log.debug("%s: %s", name, error)
    return tuple(found)


def candidates(source: ForeignWeights) -> list[ModelSpec]:
    """All specs whose network the weights fit; every architecture is looked at once, however many specs share it."""
    verdicts: dict[str, bool] = {}
    found = []
    for spec in _specs(tuple((name, path.stat().st_mtime_ns) for name, path in sorted(spec_files().items()))):
        key = architecture_key(spec)
        try:
            if key not in verdicts:
                verdicts[key] = fits(source, spec)
        except PtocrError as error:
            log.debug("%s: %s", spec.name, error)
            verdicts[key] = False
        if verdicts[key]:
            found.append(spec)
    return found


def identify(source: ForeignWeights, characters: Iterable[str] | None = None) -> ModelSpec:
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
    for rule in (_largest, _same_classes, _same_characters, _same_name):
        kept = rule(found, source, list(characters) if characters is not None else None)
        found = kept or found
        if len(found) == 1:
            return found[0]
    if len({_what_it_does(spec) for spec in found}) == 1:
        log.warning("%s: fits several models alike, which do the same; taken as %s", source.where, found[0].name)
        return found[0]
    names = ", ".join(spec.name for spec in found)
    raise WeightsError(f"{source.where}: these weights fit several models alike: {names}; say which one with --model")


def _what_it_does(spec: ModelSpec) -> str:
    """Everything in a spec that changes answers."""
    return spec.model_dump_json(include={"task", "architecture", "preprocess", "postprocess", "charset"})


def _largest(found: list[ModelSpec], source: ForeignWeights, characters: list[str] | None) -> list[ModelSpec]:
    """A network that holds another one's (with a further branch) is the one of weights that have both."""
    del source, characters
    sizes = [len(fingerprint(spec).shapes) for spec in found]
    return [spec for spec, size in zip(found, sizes, strict=True) if size == max(sizes)]


def _same_classes(found: list[ModelSpec], source: ForeignWeights, characters: list[str] | None) -> list[ModelSpec]:
    del characters
    return [spec for spec in found if spec.classes == class_count(source, spec)]


def _same_characters(found: list[ModelSpec], source: ForeignWeights, characters: list[str] | None) -> list[ModelSpec]:
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


def _same_name(found: list[ModelSpec], source: ForeignWeights, characters: list[str] | None) -> list[ModelSpec]:
    del characters
    where = source.where.lower().replace("ptocr", "ppocr")  # PaddleOCR2Pytorch's name of the same
    named = [s for s in found if s.name.lower() in where]
    longest = max((len(s.name) for s in named), default=0)  # en_PP-OCRv4_mobile_rec also holds PP-OCRv4_mobile_rec
    kept = [s for s in named if len(s.name) == longest]
    kept = kept or _general([s for s in found if s.family.lower() in source.where.lower()], source.where)
    if len(kept) == 1 and len(found) > 1:
        log.warning("%s: fits several models alike; %s chosen by the file's name", source.where, kept[0].name)
    return kept
