"""A network as what conversion needs of it: the operations that hold weights, and how data flows between them.

Exported programs (Paddle, ONNX) and our own networks are all read into a `Graph`, and `align.py` compares two of them.
Operations without weights only pass on where their data comes from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

Shape = tuple[int, ...]


@dataclass
class Node:
    """One operation with weights.

    kind: conv, deconv, matmul, embedding, bn, add, mul, prelu. shape: of its main tensor in Paddle's layout; for
    additions and products without its ones. tensors: role -> tensor. inputs: nodes its data comes from. eps: of a
    batch norm.
    """

    kind: str
    shape: Shape
    tensors: dict[str, str]
    inputs: frozenset[int]
    groups: int = 1
    eps: float = 0.0

    @property
    def signature(self) -> tuple[str, Shape, int]:
        return self.kind, self.shape, self.groups

    def wants_bias(self, channels: int) -> bool:
        """Whether a following addition of so many values would be this layer's bias."""
        return self.kind in OUT_CHANNELS and "bias" not in self.tensors and OUT_CHANNELS[self.kind](self) == channels

    def __str__(self) -> str:
        return f"{self.kind} {list(self.shape)} ({', '.join(self.tensors.values())})"


def squeezed(shape: Iterable[int]) -> Shape:
    """A shape without its ones: [1, C, 1, 1] and [C] are the same shift."""
    return tuple(int(n) for n in shape if n != 1)


@dataclass
class Graph:
    """Weighted nodes in execution order. `frontier` tells of each value which nodes its data comes from."""

    nodes: list[Node] = field(default_factory=list)
    frontier: dict[object, frozenset[int]] = field(default_factory=dict)
    made_by: dict[object, int] = field(default_factory=dict)  # value -> node that directly produced it
    uses: dict[object, int] = field(default_factory=dict)  # value -> number of operations that read it

    def weighted(
        self,
        kind: str,
        shape: Iterable[int],
        tensors: dict[str, str],
        inputs: Iterable[object],
        output: object,
        groups: int = 1,
        eps: float = 0.0,
    ) -> None:
        """Add an operation with weights that reads the values `inputs` and makes `output`."""
        shape = tuple(int(n) for n in shape)
        if kind in ("conv", "deconv") and len(shape) == 3:
            shape = (*shape[:2], 1, shape[2])  # over a sequence: Paddle runs it as a picture of height 1
        inputs = list(inputs)
        index = len(self.nodes)
        self.nodes.append(Node(kind, shape, tensors, self._come_from(inputs), groups, eps))
        self.frontier[output] = frozenset({index})
        self.made_by[output] = index

    def plain(self, inputs: Iterable[object], outputs: Iterable[object]) -> None:
        """Add an operation without weights."""
        reached = self._come_from(list(inputs))
        for output in outputs:
            self.frontier[output] = reached

    def same(self, value: object, output: object) -> None:
        """Add an operation that only changes the shape: what made `value` made `output` as well."""
        self.frontier[output] = self.frontier.get(value, frozenset())
        if value in self.made_by and self.uses.get(value, 1) == 1:
            self.made_by[output] = self.made_by[value]

    def affine(self, kind: str, shape: Iterable[int], tensor: str, value: object, output: object) -> None:
        """Add `value + tensor` ("add") or `value * tensor` ("mul").

        An addition right behind a convolution or product that nothing else reads is that layer's bias.
        """
        shape = squeezed(shape)
        index = self.made_by.get(value)
        if kind == "add" and index is not None and self.uses.get(value, 1) == 1:
            node = self.nodes[index]
            if len(shape) <= 1 and node.wants_bias(shape[0] if shape else 1):
                node.tensors["bias"] = tensor
                self.frontier[output] = self.frontier[value]
                self.made_by[output] = index
                return
        self.weighted(kind, shape, {"weight" if kind == "mul" else "bias": tensor}, [value], output)

    def norm(self, shape: Iterable[int], tensors: dict[str, str], eps: float, value: object, output: object) -> None:
        """Add a batch norm (roles weight, bias, mean, variance).

        Right behind a convolution it becomes part of that node (roles bn.*), because exporters may have folded it away.
        """
        index = self.made_by.get(value)
        if index is not None and self.uses.get(value, 1) == 1 and self.nodes[index].kind in OUT_CHANNELS:
            node = self.nodes[index]
            if "bn.weight" not in node.tensors:
                node.tensors.update({f"bn.{role}": name for role, name in tensors.items()})
                node.eps = eps
                self.frontier[output] = self.frontier[value]
                self.made_by[output] = index
                return
        self.weighted("bn", shape, tensors, [value], output, eps=eps)

    def _come_from(self, values: list[object]) -> frozenset[int]:
        return frozenset().union(*(self.frontier.get(v, frozenset()) for v in values))


def without_parts(graph: Graph, parts: Iterable[str]) -> Graph:
    """A graph without the layers of some modules, by their paths, and without what only these read.

    A tensor belongs to a module that its name begins with; exporters put their own in with slashes around.
    """
    found = tuple(parts)
    nodes = graph.nodes
    gone = {
        index
        for index, node in enumerate(nodes)
        for name in node.tensors.values()
        for part in found
        if name.startswith(f"{part}.") or f"/{part}/" in name
    }
    for index in range(len(nodes) - 1, -1, -1):  # a node's readers come behind it
        readers = [after for after in range(index + 1, len(nodes)) if index in nodes[after].inputs]
        if gone and readers and gone.issuperset(readers):
            gone.add(index)
    kept = [index for index in range(len(nodes)) if index not in gone]
    place = {index: new for new, index in enumerate(kept)}
    moved = [replace(nodes[i], inputs=frozenset(place[j] for j in nodes[i].inputs if j in place)) for i in kept]
    return Graph(moved)


OUT_CHANNELS = {
    "conv": lambda node: node.shape[0],
    "deconv": lambda node: node.shape[1] * node.groups,
    "matmul": lambda node: node.shape[1],
}
