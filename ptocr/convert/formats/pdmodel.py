"""`inference.pdmodel`: Paddle's ProgramDesc protobuf (framework.proto) -> `Graph`."""

from __future__ import annotations

import struct
from typing import Any

from ptocr.convert.formats.paddle_graph import CONVOLUTIONS, NORMS, PRODUCTS, SAME, PaddleOp, build_graph
from ptocr.convert.formats.protobuf import Value, integers, message, signed, text, view
from ptocr.convert.graph import Graph
from ptocr.errors import WeightsError

LOD_TENSOR = 7  # VarType.Type
# argument names of the operations that hold weights -> our roles
SLOTS: dict[str, dict[str, str]] = {
    **{kind: {"Input": "x", "Filter": "weight", "Bias": "bias"} for kind in CONVOLUTIONS},
    **{kind: {"X": "x", "Y": "weight"} for kind in PRODUCTS},
    **{kind: {"X": "x", "Scale": "weight", "Bias": "bias", "Mean": "mean", "Variance": "variance"} for kind in NORMS},
    **{kind: {"X": "x"} for kind in SAME},
    "layer_norm": {"X": "x", "Scale": "weight", "Bias": "bias"},
    "prelu": {"X": "x", "Alpha": "weight"},
    "rnn": {"Input": "x"},
}
OUTPUTS = ("Output", "Out", "Y")  # the argument that holds an operation's result
BODY = "sub_block"
BODIED = {"while", "conditional_block", "conditional_block_infer"}
LISTS = {"axes", "starts", "ends"}  # of a slice
ATTRIBUTES = {
    "groups", "epsilon", "trans_y", "transpose_Y", "num_layers", "is_bidirec", BODY, *LISTS,
}  # fmt: skip


def read_program(where: str, data: bytes) -> tuple[Graph, dict[str, tuple[int, ...]]]:
    """The graph of a program and the shapes of its parameters.

    Raises:
        WeightsError: not a program, a damaged one, or one with operations we cannot place.
    """
    try:
        blocks = [message(view(block)) for block in message(memoryview(data))[1]]
        shapes = _parameters(blocks[0].get(3, []))
        ops = _unrolled(blocks, 0, set())
    except (ValueError, KeyError, IndexError, UnicodeDecodeError, struct.error) as error:
        raise WeightsError(f"{where}: not a readable Paddle program ({error}); fetch it again") from None
    if not ops or not shapes:
        raise WeightsError(f"{where}: a Paddle program without {'parameters' if ops else 'operations'}; fetch it again")
    return build_graph(where, [op for op in ops if op.kind not in ("feed", "fetch")], shapes), shapes


def _unrolled(blocks: list[dict[int, list[Value]]], number: int, around: set[int]) -> list[PaddleOp]:
    """The operations of a block, with one turn of every loop and every branch in place of the operation that runs it.

    Blocks see the names of those around them, so that nothing needs another name.
    """
    if number in around:
        raise ValueError(f"block {number} runs itself")
    ops = []
    for item in blocks[number].get(4, []):
        op = _op(view(item))
        body = op.attributes.get(BODY)
        if body is None:
            ops.append(op)
        elif op.kind in BODIED:
            ops += _unrolled(blocks, body, {*around, number})
        else:
            raise ValueError(f"the body of {op.kind!r} cannot be read")
    return ops


def _parameters(variables: list[Value]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the persistable tensors."""
    shapes = {}
    for item in variables:
        variable = message(view(item))
        kind = message(view(variable[2][0]))
        if signed(variable.get(3, [0])[0]) and signed(kind[1][0]) == LOD_TENSOR:
            tensor = message(view(message(view(kind[3][0]))[1][0]))
            shapes[text(variable[1][0])] = tuple(integers(tensor.get(2, [])))
    return shapes


def _arguments(items: list[Value]) -> dict[str, list[str]]:
    found = {}
    for item in items:
        argument = message(view(item))
        found[text(argument[1][0])] = [text(value) for value in argument.get(2, [])]
    return found


def _op(data: memoryview) -> PaddleOp:
    parts = message(data)
    kind = text(parts[3][0])
    inputs, outputs = _arguments(parts.get(1, [])), _arguments(parts.get(2, []))
    slots = {role: inputs[name][0] for name, role in SLOTS.get(kind, {}).items() if inputs.get(name)}
    main = next((outputs[name] for name in OUTPUTS if outputs.get(name)), [])
    others = [value for values in outputs.values() for value in values if value not in main]
    attributes = dict(pair for item in parts.get(4, []) if (pair := _attribute(view(item))) is not None)
    attributes["transpose_y"] = attributes.get("trans_y") or attributes.get("transpose_Y")
    return PaddleOp(kind, [v for values in inputs.values() for v in values], main + others, slots, attributes)


def _attribute(data: memoryview) -> tuple[str, Any] | None:
    parts = message(data)
    name = text(parts[1][0])
    if name not in ATTRIBUTES:
        return None
    if name in LISTS:
        return name, integers(parts.get(6, []))
    if 4 in parts:  # float
        return name, struct.unpack("<f", view(parts[4][0]))[0]
    number = parts.get(3) or parts.get(10) or parts.get(13) or parts.get(12)  # int, bool, long, block
    return None if number is None else (name, signed(number[0]))
