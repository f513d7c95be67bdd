"""ONNX protobuf (ModelProto of onnx.proto) -> operations, initializers and metadata, without the `onnx` package."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ptocr.convert.formats.pdiparams import as_float32
from ptocr.convert.formats.protobuf import Value, integers, message, signed, text, view

Attribute = float | int | str | np.ndarray | list[float] | list[int] | list[str]
MAX_DEPTH = 16  # of bodies inside bodies

# TensorProto.DataType -> (type of raw_data, field of the values when they do not stand in raw_data)
_FLOATS, _INT32S, _INT64S, _DOUBLES, _UINT64S = 4, 5, 7, 10, 11
DTYPES: dict[int, tuple[str, int]] = {
    1: ("<f4", _FLOATS), 2: ("u1", _INT32S), 3: ("i1", _INT32S), 4: ("<u2", _INT32S), 5: ("<i2", _INT32S),
    6: ("<i4", _INT32S), 7: ("<i8", _INT64S), 9: ("?", _INT32S), 10: ("<f2", _INT32S), 11: ("<f8", _DOUBLES),
    12: ("<u4", _UINT64S), 13: ("<u8", _UINT64S), 16: ("bfloat16", _INT32S),
}  # fmt: skip
_RAW, _EXTERNAL, _LOCATION = 9, 13, 14


@dataclass(frozen=True)
class Operation:
    """A NodeProto. bodies: the graphs that an If, Loop or Scan runs."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    bodies: tuple[OnnxGraph, ...] = ()


@dataclass(frozen=True)
class OnnxGraph:
    """A GraphProto: operations in execution order, initializers, names of inputs and outputs."""

    operations: list[Operation]
    initializers: dict[str, np.ndarray]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


def read_model(data: bytes) -> tuple[OnnxGraph, dict[str, str]]:
    """The graph of a model and its metadata_props.

    Initializers are views into `data`; bfloat16 comes as float32.

    Raises:
        ValueError: no ModelProto, a damaged one, or weights that are not in this file.
    """
    model = message(memoryview(data))
    if 7 not in model:
        raise ValueError("it holds no graph")
    entries = [message(view(entry)) for entry in model.get(14, [])]
    return _graph(model[7][-1], 0), {_string(entry, 1): _string(entry, 2) for entry in entries}


def _string(parts: dict[int, list[Value]], number: int) -> str:
    return text(parts[number][-1]) if number in parts else ""


def _strings(parts: dict[int, list[Value]], number: int) -> list[str]:
    return [text(value) for value in parts.get(number, [])]


def _graph(value: Value, depth: int) -> OnnxGraph:
    if depth > MAX_DEPTH:
        raise ValueError(f"bodies of operations more than {MAX_DEPTH} deep")
    parts = message(view(value))
    if 15 in parts:
        raise ValueError("sparse initializers are not supported")
    tensors = dict(_tensor(view(item)) for item in parts.get(5, []))
    inputs, outputs = (tuple(_string(message(view(item)), 1) for item in parts.get(n, [])) for n in (11, 12))
    return OnnxGraph([_operation(view(item), depth) for item in parts.get(1, [])], tensors, inputs, outputs)


def _operation(data: memoryview, depth: int) -> Operation:
    parts = message(data)
    attributes: dict[str, Attribute] = {}
    bodies: list[OnnxGraph] = []
    for item in parts.get(5, []):
        attribute = message(view(item))
        bodies += [_graph(graph, depth + 1) for graph in (*attribute.get(6, []), *attribute.get(11, []))]
        if (found := _attribute(attribute)) is not None:
            attributes[_string(attribute, 1)] = found
    kind = _string(parts, 4)
    if not kind:
        raise ValueError("an operation without a type")
    return Operation(kind, _strings(parts, 1), _strings(parts, 2), attributes, tuple(bodies))


def _float(value: Value) -> float:
    return float(struct.unpack("<f", view(value))[0])


_SINGLE: dict[int, tuple[int, Callable[[Value], Attribute]]] = {  # AttributeType -> its field and how to read it
    1: (2, _float),
    2: (3, signed),
    3: (4, lambda value: bytes(view(value)).decode("utf-8", "replace")),
    4: (5, lambda value: _tensor(view(value))[1]),
}
_REPEATED: dict[int, tuple[int, Callable[[list[Value]], Attribute]]] = {
    6: (7, lambda values: _numbers(values, "<f4").tolist()),
    7: (8, integers),
    8: (9, lambda values: [bytes(view(value)).decode("utf-8", "replace") for value in values]),
}
_LEFT_OUT: dict[int, Attribute] = {1: 0.0, 2: 0, 3: ""}  # some writers leave zeros out


def _attribute(parts: dict[int, list[Value]]) -> Attribute | None:
    """An AttributeProto's value; None for graphs and types that no weight hangs on."""
    kinds = [signed(parts[20][-1])] if 20 in parts else [*_SINGLE, *_REPEATED]  # first files carried no type
    for kind in kinds:
        if kind in _SINGLE and _SINGLE[kind][0] in parts:
            number, read = _SINGLE[kind]
            return read(parts[number][-1])
        if kind in _REPEATED and (_REPEATED[kind][0] in parts or 20 in parts):
            number, read_all = _REPEATED[kind]
            return read_all(parts.get(number, []))
    return _LEFT_OUT.get(kinds[0]) if 20 in parts else None


def _tensor(data: memoryview) -> tuple[str, np.ndarray]:
    """Name and values of a TensorProto."""
    parts = message(data)
    name = _string(parts, 8)
    shape = tuple(integers(parts.get(1, [])))
    code = signed(parts[2][-1]) if 2 in parts else 0
    if _EXTERNAL in parts or (_LOCATION in parts and parts[_LOCATION][-1] != 0):
        raise ValueError(f"the values of {name!r} stand in another file; save it as one file")
    if code not in DTYPES or any(n < 0 for n in shape):
        raise ValueError(f"tensor {name!r}: data type {code} and shape {list(shape)} are not supported")
    dtype, place = DTYPES[code]
    count = 1
    for n in shape:
        count *= n
    stored = np.dtype("<u2" if dtype == "bfloat16" else dtype)
    values = _raw(parts[_RAW][-1], stored) if _RAW in parts else _typed(parts.get(place, []), place, dtype)
    if values.size != count:
        raise ValueError(f"tensor {name!r} of shape {list(shape)} has {values.size} values")
    return name, as_float32(values.reshape(shape), dtype) if dtype == "bfloat16" else values.reshape(shape)


def _raw(value: Value, stored: np.dtype) -> np.ndarray:
    data = view(value)
    if len(data) % stored.itemsize:
        raise ValueError("a tensor ends inside a value")
    return np.frombuffer(data, stored)


def _typed(values: list[Value], place: int, dtype: str) -> np.ndarray:
    """Values of float_data, int32_data, ...; halves stand in int32_data as their bits."""
    if place in (_FLOATS, _DOUBLES):
        return _numbers(values, dtype)
    stored = np.dtype("<u2" if dtype in ("<f2", "bfloat16") else dtype)
    numbers = np.array(integers(values), np.int64)
    if dtype == "<u8":
        numbers = numbers.view(np.uint64)
    elif stored.kind in "iu" and len(numbers) and not _fits(numbers, stored):
        raise ValueError("a value does not fit the tensor's data type")
    numbers = numbers.astype(stored)
    return numbers.view(np.float16) if dtype == "<f2" else numbers


def _fits(numbers: np.ndarray, stored: np.dtype) -> bool:
    limits = np.iinfo(stored)
    return bool(numbers.min() >= limits.min and numbers.max() <= limits.max)


def _numbers(values: list[Value], dtype: str) -> np.ndarray:
    """A repeated float or double field, packed or not."""
    return _raw(memoryview(b"".join(bytes(view(value)) for value in values)), np.dtype(dtype))
