"""Networks without memory: names, shapes and operations of an architecture, whatever its number of classes."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ptocr.checkpoint import empty_network
from ptocr.convert.graph import OUT_CHANNELS, Graph, Node, Shape
from ptocr.convert.mapping import paddle_names, transposed
from ptocr.convert.trace import trace
from ptocr.errors import PtocrError
from ptocr.spec.model import ModelSpec

log = logging.getLogger(__name__)

# A class count that no layer has for other reasons. Sizes near it count classes too: some layers see, beside one value
# for each class, values of another kind, and some leave special tokens out.
MANY = 1_000_003
NEAR = 100_000


class _NoStartValues(TorchFunctionMode):
    """Skips `torch.nn.init`: half the time of building a network on the meta device."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def deploy_graph(spec: ModelSpec, classes: int | None) -> tuple[nn.Module, Graph]:
    """Paddle's deploy form of a spec's network, without memory, and its graph."""
    network = empty_network(spec.architecture, classes, "deploy")
    return network, trace(network, *spec.probes)


def layout(network: nn.Module) -> dict[str, Shape]:
    """Paddle's name -> shape in Paddle's layout."""
    state = network.state_dict()
    shapes = {}
    for key, (name, module) in paddle_names(network).items():
        shape = tuple(state[key].shape)
        shapes[name] = shape[::-1] if transposed(module, key.rpartition(".")[2]) else shape
    return shapes


def linear_names(network: nn.Module) -> frozenset[str]:
    """Paddle's names of the parameters that PyTorch keeps transposed."""
    names = paddle_names(network).items()
    return frozenset(name for key, (name, module) in names if transposed(module, key.rpartition(".")[2]))


def _counts_classes(size: int) -> bool:
    return abs(size - MANY) < NEAR


def _sized(shape: Shape, classes: int | None) -> Shape:
    """A shape for so many classes."""
    return shape if classes is None else tuple(n - MANY + classes if _counts_classes(n) else n for n in shape)


def _classes_in(shape: Shape, found: Shape) -> int | None:
    """The class count that makes a shape the one that was found, None where none does or the shape counts none."""
    if len(shape) != len(found):
        return None
    counts = {f - n + MANY for n, f in zip(shape, found, strict=True) if _counts_classes(n)}
    classes = counts.pop() if len(counts) == 1 else None
    return classes if classes is not None and classes > 0 and _sized(shape, classes) == tuple(found) else None


@dataclass(frozen=True)
class Fingerprint:
    """What tells a network from others. Sizes that count classes stand there for `MANY` classes.

    shapes: Paddle's name -> shape in Paddle's layout; linear: names that PyTorch keeps the other way round.
    """

    spec: ModelSpec
    shapes: Mapping[str, Shape]
    linear: frozenset[str]

    @cached_property
    def by_class(self) -> dict[str, Shape]:
        """Those of the shapes that count classes."""
        return {name: shape for name, shape in self.shapes.items() if any(map(_counts_classes, shape))}

    @cached_property
    def _weights(self) -> frozenset[Shape]:
        """Shapes of what can be multiplied with, as `Graph` has them. Merging branches makes no new ones: the sum of
        kernels is as large as the largest of them. Matrices of recurrent cells are kept the other way round."""
        shapes = {(*s[:2], 1, s[2]) if len(s) == 3 else s for s in self.shapes.values() if len(s) > 1}
        return frozenset(shapes | {s[::-1] for s in shapes if len(s) == 2})

    @cached_property
    def _operations(self) -> Counter[Any] | None:
        """Operations of the deploy form; None where they have no counterpart in exported programs."""
        try:
            graph = trace(_empty(self.spec, "deploy"), *self.spec.probes)
        except PtocrError as error:
            log.debug("%s: %s", self.spec.name, error)
            return None
        return Counter(node.signature for node in graph.nodes)

    def classes_of_tensors(self, tensors: Mapping[str, np.ndarray]) -> int | None:
        """The class count of weights in Paddle's layout, None where no tensor tells it."""
        for name, shape in self.by_class.items():
            if name in tensors and (classes := _classes_in(shape, tensors[name].shape)) is not None:
                return classes
        return None

    def classes_of_graph(self, graph: Graph) -> int | None:
        """The class count of a program: of the last of its products that looks like a layer that counts classes.

        Other layers may look alike (boxes beside classes), so that a count with which all products fit goes before.
        """
        patterns = sorted(shape for shape in self._weights if any(map(_counts_classes, shape)))
        products = [node.shape for node in reversed(graph.nodes) if node.kind in OUT_CHANNELS]
        counts = [c for shape in products for p in patterns if (c := _classes_in(p, shape)) is not None]
        for classes in dict.fromkeys(counts):
            if {_sized(shape, classes) for shape in self._weights} >= set(products):
                return classes
        return counts[0] if counts else None

    def holds_tensors(self, tensors: Mapping[str, np.ndarray], classes: int | None) -> bool:
        """Whether all of the network's tensors are there, in their shapes and Paddle's layout."""
        return all(
            name in tensors and tensors[name].shape == _sized(shape, classes) for name, shape in self.shapes.items()
        )

    def holds_graph(self, graph: Graph, classes: int | None) -> bool:
        """Whether a program has the network's operations, and no other. The network is run only if shapes agree."""
        weights = {_sized(shape, classes) for shape in self._weights}
        if any(shape not in weights for shape in _products(graph.nodes)) or self._operations is None:
            return False
        wanted: Counter[Any] = Counter()
        for (kind, shape, groups), count in self._operations.items():
            wanted[kind, _sized(shape, classes), groups] += count
        return wanted == Counter(node.signature for node in graph.nodes)


def _products(nodes: Iterable[Node]) -> set[Shape]:
    return {node.shape for node in nodes if node.kind in OUT_CHANNELS}


def _empty(spec: ModelSpec, form: Any = "train") -> nn.Module:
    with torch.device("meta"), _NoStartValues():
        return empty_network(spec.architecture, MANY if spec.has_classes else None, form)


def architecture_key(spec: ModelSpec) -> str:
    """Equal for specs whose networks differ in their class counts alone."""
    return f"{spec.has_classes} {json.dumps(spec.architecture, sort_keys=True)}"


_FINGERPRINTS: dict[str, Fingerprint] = {}


def fingerprint(spec: ModelSpec) -> Fingerprint:
    """The fingerprint of a spec's architecture, made at most once in a process."""
    key = architecture_key(spec)
    if key not in _FINGERPRINTS:
        network = _empty(spec)
        _FINGERPRINTS[key] = Fingerprint(spec, layout(network), linear_names(network))
    return _FINGERPRINTS[key]
