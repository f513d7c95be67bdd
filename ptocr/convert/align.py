"""Which tensor of an exported program is which of ours: two graphs compared by operation, shape and data flow."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set

import numpy as np

from ptocr.convert.graph import Graph, Node, Shape, squeezed
from ptocr.errors import WeightsError

ROUNDS = 12  # of refinement; depth from both ends separates nearly everything at once


def align(source: Graph, target: Graph, where: str, model: str) -> list[tuple[Node, Node]]:
    """Pairs of (source node, target node).

    Nodes are equal when their operation, shape and position in the data flow are; those that even the data flow cannot
    tell apart are taken in execution order.

    Raises:
        WeightsError: the programs differ; names the first place where they do, with both sides.
    """
    if Counter(n.signature for n in source.nodes) != Counter(n.signature for n in target.nodes):
        raise WeightsError(_disagreement(source, target, where, model))
    left, right = _colours(source.nodes), _colours(target.nodes)
    if Counter(left) == Counter(right):
        ours = defaultdict(list)
        for node, colour in zip(target.nodes, right, strict=True):
            ours[colour].append(node)
        return [(node, ours[colour].pop(0)) for node, colour in zip(source.nodes, left, strict=True)]
    if [n.signature for n in source.nodes] == [n.signature for n in target.nodes]:
        return list(zip(source.nodes, target.nodes, strict=True))
    raise WeightsError(_disagreement(source, target, where, model))


def _depths(nodes: Sequence[Node]) -> list[int]:
    """Longest way from the picture to each node."""
    depth: list[int] = []
    for node in nodes:
        depth.append(1 + max((depth[i] for i in node.inputs), default=0))
    return depth


def _followers(nodes: Sequence[Node]) -> list[list[int]]:
    after: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        for i in node.inputs:
            after[i].append(index)
    return after


def _colours(nodes: Sequence[Node]) -> list[int]:
    """A number per node that depends on the data flow around it and not on the order of the list."""
    after = _followers(nodes)
    height = [0] * len(nodes)
    for index in range(len(nodes) - 1, -1, -1):
        height[index] = 1 + max((height[i] for i in after[index]), default=0)
    colours = [hash(item) for item in zip((n.signature for n in nodes), _depths(nodes), height, strict=True)]
    for _ in range(ROUNDS):
        finer = [
            hash(
                (
                    colours[i],
                    tuple(sorted(colours[j] for j in node.inputs)),
                    tuple(sorted(colours[j] for j in after[i])),
                )
            )
            for i, node in enumerate(nodes)
        ]
        if len(set(finer)) == len(set(colours)):
            return finer
        colours = finer
    return colours


def _disagreement(source: Graph, target: Graph, where: str, model: str) -> str:
    """The first place, by depth in the data flow, where the two sides do not hold the same operations."""
    levels: list[dict[int, list[Node]]] = []
    for graph in (source, target):
        by_depth: dict[int, list[Node]] = defaultdict(list)
        for node, depth in zip(graph.nodes, _depths(graph.nodes), strict=True):
            by_depth[depth].append(node)
        levels.append(by_depth)
    for depth in range(1, max(map(len, levels)) + 1):
        theirs, ours = levels[0].get(depth, []), levels[1].get(depth, [])
        if Counter(n.signature for n in theirs) != Counter(n.signature for n in ours):
            break
    odd = [n for n in theirs if n.signature not in {m.signature for m in ours}] or theirs
    missing = [n for n in ours if n.signature not in {m.signature for m in theirs}] or ours
    return (
        f"{where}: this is not {model}: the first layer that differs is {_list(odd)} in the file, "
        f"{_list(missing)} in the network; give the model's real name, or leave it out to have it recognised"
    )


def _list(nodes: Sequence[Node]) -> str:
    return "; ".join(map(str, nodes[:3])) or "nothing"


def transfer(
    pairs: list[tuple[Node, Node]],
    tensors: Mapping[str, np.ndarray],
    shapes: Mapping[str, Shape],
    where: str,
    rows: Set[str] = frozenset(),
) -> dict[str, np.ndarray]:
    """Our tensor name -> array in Paddle's layout, for all pairs. shapes: of our tensors, by name. rows: our
    matrices that Paddle keeps as (out, in), unlike those of linear layers.

    A batch norm that the exporter folded into its convolution comes back as one that only adds the folded shift.

    Raises:
        WeightsError: one side has a bias or batch norm where the other has none; names both.
    """
    state: dict[str, np.ndarray] = {}
    for theirs, ours in pairs:
        values = {role: tensors[name] for role, name in theirs.tensors.items()}
        if "weight^T" in values:
            values["weight"] = values.pop("weight^T").T
        if "bn.weight" in ours.tensors and "bn.weight" not in values:
            _unfold(values, ours)
        elif "bn.weight" in values and "bn.weight" not in ours.tensors:
            _fold(values, theirs)
        if set(values) != set(ours.tensors):
            raise WeightsError(
                f"{where}: {theirs} holds {', '.join(sorted(values))}; our {ours} wants "
                f"{', '.join(sorted(ours.tensors))}"
            )
        for role, name in ours.tensors.items():
            value = values[role]
            if squeezed(value.shape) == squeezed(shapes[name]):  # [1, C, 1, 1] where we keep [C]
                value = value.reshape(shapes[name]) if role != "weight" or value.ndim != 2 else value
            if ours.kind == "matmul" and role == "weight" and name in rows:
                value = value.T
            if name in state and not np.array_equal(state[name], value):
                raise WeightsError(f"{where}: {name!r} is one tensor in our network and two different ones in the file")
            state[name] = value
    return state


def _fold(values: dict[str, np.ndarray], theirs: Node) -> None:
    """Fold a batch norm into its convolution where our network has no module for it."""
    parts = {role: values.pop(f"bn.{role}").astype(np.float64) for role in ("weight", "bias", "mean", "variance")}
    scale = parts["weight"] / np.sqrt(parts["variance"] + theirs.eps)
    bias = values.get("bias", np.zeros(1)).reshape(-1)
    values["bias"] = (parts["bias"] + (bias - parts["mean"]) * scale).astype(np.float32)
    weight = values["weight"]
    if theirs.kind == "deconv":  # (in, out / groups, H, W)
        spread = np.repeat(scale.reshape(theirs.groups, -1), weight.shape[0] // theirs.groups, axis=0)
        spread = spread.reshape(*spread.shape, *[1] * (weight.ndim - 2))
    elif theirs.kind == "conv":
        spread = scale.reshape(-1, *[1] * (weight.ndim - 1))
    else:  # linear: (in, out)
        spread = scale
    values["weight"] = (weight * spread).astype(np.float32)


def _unfold(values: dict[str, np.ndarray], ours: Node) -> None:
    """Give a convolution with a folded batch norm an identity one that carries the bias."""
    shift = values.pop("bias", None)
    if shift is None:
        return  # the caller reports what is missing
    channels = shift.size
    values["bn.weight"] = np.full(channels, np.sqrt(1.0 + ours.eps), np.float32)
    values["bn.bias"] = shift.reshape(-1)
    values["bn.mean"] = np.zeros(channels, np.float32)
    values["bn.variance"] = np.ones(channels, np.float32)
    if "bias" in ours.tensors:
        values["bias"] = np.zeros(channels, np.float32)
