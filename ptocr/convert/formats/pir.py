"""`inference.json`: Paddle's PIR program as JSON (pir/src/core serialisation, PaddlePaddle 3) -> `Graph`."""

from __future__ import annotations

import json
from typing import Any

from ptocr.convert.formats.paddle_graph import CONVOLUTIONS, NORMS, PRODUCTS, PaddleOp, build_graph
from ptocr.convert.graph import Graph
from ptocr.errors import WeightsError

PARAMETER = "p"
# operations that hold weights -> our roles, in the order of their operands
SLOTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(CONVOLUTIONS, ("x", "weight")),
    **dict.fromkeys(PRODUCTS, ("x", "weight")),
    **dict.fromkeys(NORMS, ("x", "mean", "variance", "weight", "bias")),
    "layer_norm": ("x", "weight", "bias"),
    "prelu": ("x", "weight"),
    "rnn": ("x",),
}
ATTRIBUTES = {"groups", "epsilon", "transpose_y", "axes", "value", "num_layers", "is_bidirec"}
NOTHING = "%0"  # an operand that is not given


def is_program(data: bytes) -> bool:
    """Whether a file starts like a PIR program."""
    return data[:64].lstrip()[:1] == b"{" and b'"base_code"' in data[:4096]


def read_program(where: str, data: bytes) -> tuple[Graph, dict[str, tuple[int, ...]]]:
    """The graph of a program and the shapes of its parameters.

    Raises:
        WeightsError: not a program, a damaged one, or one with operations we cannot place.
    """
    try:
        content = json.loads(data)
        items = content["program"]["regions"][0]["blocks"][0]["ops"]
        stored = [item for item in items if item["#"] == PARAMETER and _is_stored(item)]
        shapes = {_name(item): tuple(item["O"]["TT"]["D"][1]) for item in stored}
        named = {_value(item["O"]): _name(item) for item in stored}
        ops = _unrolled([item for item in items if item["#"] != PARAMETER], named)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"{where}: not a readable Paddle PIR program ({type(error).__name__}: {error}); fetch it again"
        ) from None
    if not ops or not shapes:
        raise WeightsError(f"{where}: a Paddle program without {'parameters' if ops else 'operations'}; fetch it again")
    return build_graph(where, [op for op in ops if op.kind not in ("data", "fetch")], shapes), shapes


def _unrolled(items: list[dict[str, Any]], named: dict[str, str]) -> list[PaddleOp]:
    """The operations of a block, with one turn of every loop and every branch in place of the operation that runs it.

    Values go by numbers of the whole program; the arguments of a loop's body get the names of what goes into its first
    turn.
    """
    ops = []
    for item in items:
        op = _op(item, named)
        if not item.get("regions"):
            ops.append(op)
        elif op.kind == "while":  # condition, carried values -> carried values
            body = item["regions"][0]["blocks"][0]
            arguments = [f"%{argument['#']}" for argument in body["args"]]
            inner = named | dict(zip(arguments, op.inputs[1:], strict=True))
            ops += _unrolled(body["ops"], inner)
            ops += _results(ops.pop(), op.outputs, skip=1)
        elif op.kind == "if":
            found = []
            for region in item["regions"]:
                ops += _unrolled(region["blocks"][0]["ops"], named)
                found.append(ops.pop().inputs)
            ops += [PaddleOp("if", list(values), [output]) for output, *values in zip(op.outputs, *found, strict=True)]
        else:
            raise ValueError(f"the body of {op.kind!r} cannot be read")
    return ops


def _results(end: PaddleOp, outputs: list[str], skip: int) -> list[PaddleOp]:
    """What the operation at the end of a body hands out, under its names outside."""
    if end.kind != "yield":
        raise ValueError("a body without an end")
    return [PaddleOp("assign", [value], [output]) for value, output in zip(end.inputs[skip:], outputs, strict=True)]


def _name(item: dict[str, Any]) -> str:
    return item["A"][3]


def _is_stored(item: dict[str, Any]) -> bool:
    """Whether a parameter is in the file of parameters: what dropout remembers is not."""
    return bool((item.get("OA") or [1])[0])


def _value(operand: dict[str, Any]) -> str:
    return f"%{operand['%']}"


def _op(item: dict[str, Any], named: dict[str, str]) -> PaddleOp:
    kind = item["#"].rpartition(".")[2]  # the dialect in front of the dot is abbreviated to a number
    inputs = [named.get(v, v) for v in map(_value, item.get("I", []))]
    outputs = item.get("O", [])
    slots = {role: value for role, value in zip(SLOTS.get(kind, ()), inputs, strict=False) if value != NOTHING}
    attributes = {a["N"]: _plain(a["AT"].get("D")) for a in item.get("A", []) if a["N"] in ATTRIBUTES}
    outputs = [_value(o) for o in ([outputs] if isinstance(outputs, dict) else outputs)]
    return PaddleOp(kind, [v for v in inputs if v != NOTHING], outputs, slots, attributes)


def _plain(value: Any) -> Any:
    """The value of an attribute; lists hold theirs with types."""
    return [element["D"] for element in value] if isinstance(value, list) else value
