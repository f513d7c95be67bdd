"""Operations of a Paddle inference program -> `Graph`. The two program formats name the same operations differently."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ptocr.convert.graph import Graph
from ptocr.convert.pieces import Piece
from ptocr.errors import WeightsError


@dataclass
class PaddleOp:
    """One operation: `slots` maps a role ("x", "weight", ...) to a value, `inputs` are all values it reads, lists one
    after the other."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    slots: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


# operations whose output holds no picture data, only sizes
SIZE_ONLY = {"shape", "shape64", "full", "full_int_array", "fill_constant", "assign_value", "assign_value_"}
# operations that pass a parameter on with another shape
RESHAPES = {"reshape", "reshape2", "unsqueeze", "unsqueeze2", "squeeze", "squeeze2", "assign", "cast", "flatten"}
# operations between a convolution over a sequence and its batch norm or bias
SAME = {"squeeze", "squeeze2", "unsqueeze", "unsqueeze2"}
CONVOLUTIONS = {"conv2d": "conv", "depthwise_conv2d": "conv", "conv2d_transpose": "deconv",
                "depthwise_conv2d_transpose": "deconv"}  # fmt: skip
PRODUCTS = {"matmul", "matmul_v2", "mul"}
SUMS = {"add": "add", "elementwise_add": "add", "multiply": "mul", "elementwise_mul": "mul"}
EMBEDDINGS = {"embedding", "lookup_table_v2"}
NORMS = {"batch_norm", "batch_norm_", "sync_batch_norm", "sync_batch_norm_"}


def build_graph(where: str, ops: list[PaddleOp], shapes: dict[str, tuple[int, ...]]) -> Graph:
    """The graph of a program.

    shapes: of the parameters, by name.

    Raises:
        WeightsError: a parameter is used by an operation that we do not know; names both.
    """
    graph = Graph()
    shapes = {name: shape for name, shape in shapes.items() if not is_constant(name)}
    for op in ops:
        for value in op.inputs:
            graph.uses[value] = graph.uses.get(value, 0) + 1
    parameter = {name: name for name in shapes}  # value -> parameter it is (a new shape of)
    lists: dict[str, list[int]] = {}  # value -> numbers that the program holds
    bundles: dict[str, list[str]] = {}  # value -> the parameters that it lists
    for op in ops:
        op.inputs = [one for value in op.inputs for one in bundles.get(value, [value])]
        if op.kind == "full_int_array":
            lists[op.outputs[0]] = op.attributes["value"]
        if op.kind == "combine" and all(value in parameter for value in op.inputs):
            bundles[op.outputs[0]] = op.inputs
        elif op.kind == "slice" and op.inputs[0] in parameter:
            piece = _piece(where, op, shapes[parameter[op.inputs[0]]], parameter[op.inputs[0]], lists)
            parameter[op.outputs[0]] = str(piece)
            shapes[str(piece)] = piece.shape_in(shapes[piece.whole])
        elif op.kind not in SIZE_ONLY:
            _add(graph, where, op, shapes, parameter)
    return graph


def is_constant(name: str) -> bool:
    """Whether a tensor was written into the program by the code that made it, and is no parameter: anchors, bins."""
    return re.match(r"(eager_tmp|generated_tensor)_\d", name) is not None


def _piece(where: str, op: PaddleOp, shape: tuple[int, ...], name: str, lists: dict[str, list[int]]) -> Piece:
    """What a slice along one axis takes of a parameter."""
    given = [lists.get(value) for value in op.inputs[1:]]
    starts, ends = given if len(given) == 2 else (op.attributes.get("starts"), op.attributes.get("ends"))
    axes = op.attributes.get("axes") or []
    if not starts or not ends or len(axes) != 1:
        raise WeightsError(f"{where}: the parameter {name!r} is cut in a way this converter does not know")
    start, stop = (min(n + shape[axes[0]] if n < 0 else n, shape[axes[0]]) for n in (starts[0], ends[0]))
    return Piece(name, axes[0], start, stop)


def _recurrent(graph: Graph, op: PaddleOp, names: list[str], shapes: dict[str, tuple[int, ...]]) -> None:
    """An LSTM of several layers and directions, `units` in all. Paddle lists the two matrices of all units, then their
    biases; PyTorch unit by unit."""
    units = len(names) // 4
    layers = int(op.attributes["num_layers"])
    order = [2 * (units * part + unit) + number for unit in range(units) for part in (0, 1) for number in (0, 1)]
    tensors = {str(place): names[number] for place, number in enumerate(order)}
    shape = (layers, units // layers, shapes[names[0]][1], shapes[names[1]][1])
    graph.weighted("lstm", shape, tensors, [op.slots["x"]], op.outputs[0])


def _is_lstm(op: PaddleOp, names: list[str], shapes: dict[str, tuple[int, ...]]) -> bool:
    """Whether an operation is a recurrent layer with four gates and all its biases."""
    layers = int(op.attributes.get("num_layers") or 0)
    if op.kind != "rnn" or layers < 1 or len(names) != 4 * layers * (2 if op.attributes.get("is_bidirec") else 1):
        return False
    rows, hidden = shapes[names[1]]
    return rows == 4 * hidden


def _pass_on(graph: Graph, op: PaddleOp) -> None:
    """An operation without parameters."""
    if op.kind in SAME:
        graph.same(op.slots.get("x", op.inputs[0]), op.outputs[0])
    else:
        graph.plain(op.inputs, op.outputs)


def _add(graph: Graph, where: str, op: PaddleOp, shapes: dict[str, tuple[int, ...]], parameter: dict[str, str]) -> None:
    held = [v for v in op.inputs if v in parameter]
    if not held:
        _pass_on(graph, op)
        return
    out = op.outputs[0]
    names = [parameter[v] for v in held]
    if op.kind in RESHAPES and op.inputs[0] in parameter:
        parameter[out] = names[0]
    elif op.kind in CONVOLUTIONS:
        tensors: dict[str, str] = {role: parameter[op.slots[role]] for role in ("weight", "bias") if role in op.slots}
        groups = int(op.attributes.get("groups", 1))
        graph.weighted(CONVOLUTIONS[op.kind], shapes[tensors["weight"]], tensors, [op.slots["x"]], out, groups)
    elif op.kind in PRODUCTS and op.slots["weight"] in parameter:
        weight = names[0]
        turned = bool(op.attributes.get("transpose_y") or op.attributes.get("trans_y"))
        shape = shapes[weight][::-1] if turned else shapes[weight]
        graph.weighted("matmul", shape, {"weight" + ("^T" if turned else ""): weight}, [op.slots["x"]], out)
    elif op.kind in SUMS and len(held) == 1:
        data = next(v for v in op.inputs if v != held[0])
        graph.affine(SUMS[op.kind], shapes[names[0]], names[0], data, out)
    elif op.kind in NORMS:
        roles = {role: parameter[op.slots[role]] for role in ("weight", "bias", "mean", "variance")}
        graph.norm(shapes[roles["weight"]], roles, float(op.attributes.get("epsilon", 1e-5)), op.slots["x"], out)
    elif op.kind == "layer_norm":
        weight, bias = parameter[op.slots["weight"]], parameter[op.slots["bias"]]
        graph.affine("mul", shapes[weight], weight, op.slots["x"], ("scaled", out))
        graph.affine("add", shapes[bias], bias, ("scaled", out), out)
    elif op.kind in EMBEDDINGS:
        data = next(v for v in op.inputs if v != held[0])
        graph.weighted("embedding", shapes[names[0]], {"weight": names[0]}, [data], out)
    elif op.kind == "prelu":
        graph.weighted("prelu", shapes[names[0]], {"weight": names[0]}, [op.slots["x"]], out)
    elif _is_lstm(op, names, shapes):
        _recurrent(graph, op, names, shapes)
    else:
        raise WeightsError(
            f"{where}: operation {op.kind!r} uses the parameter {names[0]!r} in a way this converter does not know; "
            "convert the training checkpoint (.pdparams) of the model, or its ONNX file"
        )
