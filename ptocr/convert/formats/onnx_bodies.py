"""Loop unrolling: the bodies of an ONNX graph's loops and branches, each run once in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ptocr.convert.formats.onnx_file import OnnxGraph, Operation

CHOICE = "If"  # of two bodies, both of which are read


def unrolled(graph: OnnxGraph) -> OnnxGraph:
    """The same graph with one turn of every `Loop`, and both branches of every `If`, in place of the operation.

    What a body defines gets a name of its own; what goes into its first turn goes by its name outside, so that a weight
    that a loop carries around is a weight.

    Raises:
        ValueError: an operation with a body that is none of the two (Scan), or a body whose inputs and outputs do not
            fit its operation.
    """
    initializers = dict(graph.initializers)
    operations: list[Operation] = []
    _unroll(graph, {}, "", operations, initializers)
    return OnnxGraph(operations, initializers, graph.inputs, graph.outputs)


def _unroll(
    graph: OnnxGraph, names: Mapping[str, str], scope: str, into: list[Operation], initializers: dict[str, np.ndarray]
) -> None:
    """Append the operations of a (sub)graph. names: what its values are called in the whole; scope: before new ones."""
    names = dict(names)
    for name, value in graph.initializers.items():
        names[name] = scope + name
        initializers[scope + name] = value
    for number, operation in enumerate(graph.operations):
        inputs = [names.get(name, name) for name in operation.inputs]
        names.update({name: scope + name for name in operation.outputs if name})
        outputs = [names.get(name, name) for name in operation.outputs]
        if not operation.bodies:
            into.append(replace(operation, inputs=inputs, outputs=outputs))
            continue
        inner = f"{scope}{operation.kind}{number}/"
        if operation.kind == "Loop":
            _loop(operation.bodies[0], inputs, outputs, names, inner, into, initializers)
        elif operation.kind == CHOICE:
            found = []
            for which, body in enumerate(operation.bodies):
                _unroll(body, names, f"{inner}{which}/", into, initializers)
                found.append(_results(body, names, f"{inner}{which}/"))
            for output, *values in zip(outputs, *found, strict=True):
                into.append(Operation(CHOICE, list(values), [output]))
        else:
            raise ValueError(f"bodies of {operation.kind} cannot be read")


def _loop(
    body: OnnxGraph,
    inputs: list[str],
    outputs: list[str],
    names: Mapping[str, str],
    scope: str,
    into: list[Operation],
    initializers: dict[str, np.ndarray],
) -> None:
    """One turn. Inputs: most turns, condition, carried values; of the body: turn, condition, carried values; outputs:
    carried values, then what all turns gave; of the body: the condition before them."""
    if len(body.inputs) != len(inputs) or len(body.outputs) != len(outputs) + 1:
        raise ValueError("a Loop whose body has other inputs or outputs than it")
    first = [f"{scope}turn", *inputs[1:]]
    _unroll(body, {**names, **dict(zip(body.inputs, first, strict=True))}, scope, into, initializers)
    known = {**names, **dict(zip(body.inputs, first, strict=True))}
    for value, output in zip(_results(body, known, scope)[1:], outputs, strict=True):
        if output:
            into.append(Operation("Identity", [value], [output]))


def _results(body: OnnxGraph, names: Mapping[str, str], scope: str) -> list[str]:
    """What the outputs of a body are called in the whole."""
    own = {name for operation in body.operations for name in operation.outputs} | set(body.initializers)
    return [scope + name if name in own else names.get(name, name) for name in body.outputs]
