"""ONNX files -> `Graph`: as exported by paddle2onnx and shipped by RapidOCR, batch norm folded or not."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ptocr.convert.formats.onnx_bodies import unrolled
from ptocr.convert.formats.onnx_file import Operation, read_model
from ptocr.convert.formats.pdiparams import as_float32
from ptocr.convert.graph import Graph
from ptocr.errors import WeightsError

PADDLE_NAME = re.compile(r"[._][wb]_\d+(\.|$)")  # conv2d_3.w_0: a parameter under Paddle's name
SIZE_ONLY = {"Shape", "Size", "ConstantOfShape", "Range"}
MOVES = {"Identity", "Cast", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Transpose"}
COPIES = {"Identity", "Cast"}
AFFINE = {"Add": "add", "Mul": "mul"}
CONVOLUTIONS = {"Conv": "conv", "ConvTranspose": "deconv"}


@dataclass
class OnnxModel:
    """graph; tensors: name -> float32 array; metadata: what the exporter wrote beside them (RapidOCR: "character")."""

    graph: Graph
    tensors: dict[str, np.ndarray]
    metadata: dict[str, str] = field(default_factory=dict)


def read_onnx(where: str, data: bytes) -> OnnxModel:
    """
    Raises:
        WeightsError: the file is damaged, keeps weights elsewhere, or uses them in an unknown way.
    """
    try:
        file, metadata = read_model(data)
        file = unrolled(file)
        reader = _Reader(where, dict(file.initializers))
        _read_operations(file.operations, reader)
        tensors = reader.used()
    except (ValueError, KeyError, IndexError, OverflowError, TypeError, AttributeError, struct.error) as error:
        # damage can leave a readable message that makes no sense: missing inputs, shapes that do not fit
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{where}: not a readable ONNX file ({reason}); fetch or export it again") from None
    if not reader.graph.nodes:
        raise WeightsError(f"{where}: an ONNX file without weights; it is damaged, fetch it again")
    return OnnxModel(reader.graph, tensors, metadata)


def _read_operations(operations: list[Operation], reader: _Reader) -> None:
    """Give all operations to the reader; plain copies are seen through."""
    alias: dict[str, str] = {}  # value -> the value it is a copy of
    for operation in operations:
        if operation.kind in COPIES and operation.inputs[0] not in reader.constants:
            alias[operation.outputs[0]] = alias.get(operation.inputs[0], operation.inputs[0])
            continue
        for value in operation.inputs:
            value = alias.get(value, value)
            reader.graph.uses[value] = reader.graph.uses.get(value, 0) + 1
    for operation in operations:
        outputs = operation.outputs
        if outputs and outputs[0] in alias and alias[outputs[0]] not in reader.constants:
            continue
        reader.add(operation.kind, [alias.get(v, v) for v in operation.inputs], outputs, operation.attributes)


class _Reader:
    """Collects the weighted operations; `constants` grows by what is computed from constants alone."""

    def __init__(self, where: str, constants: dict[str, np.ndarray]) -> None:
        self.where = where
        self.constants = constants
        self.graph = Graph()
        self.named = {name for name in constants if PADDLE_NAME.search(name)}  # what carries a parameter's name

    def used(self) -> dict[str, np.ndarray]:
        names = {name for node in self.graph.nodes for name in node.tensors.values()}
        return {name: as_float32(self.constants[name]) for name in names}

    def add(self, kind: str, inputs: list[str], outputs: list[str], attributes: dict[str, Any]) -> None:
        if kind in SIZE_ONLY:
            return
        if kind == "Constant":
            value = next(iter(attributes.values()), None)
            self.constants[outputs[0]] = np.asarray(value)
            if PADDLE_NAME.search(outputs[0]):
                self.named.add(outputs[0])
            return
        if kind in MOVES and inputs[0] in self.constants:
            self._moved(kind, inputs, outputs[0], attributes)
            return
        held = [v for v in inputs if v in self.constants]
        if kind in CONVOLUTIONS:
            self._convolution(kind, inputs, outputs[0], attributes)
        elif kind in ("MatMul", "Gemm") and inputs[1] in self.constants:
            self._product(kind, inputs, outputs[0], attributes)
        elif kind == "BatchNormalization":
            roles = dict(zip(("weight", "bias", "mean", "variance"), inputs[1:5], strict=True))
            eps = float(attributes.get("epsilon", 1e-5))
            self.graph.norm(self.constants[inputs[1]].shape, roles, eps, inputs[0], outputs[0])
        elif kind in AFFINE and len(held) == 1 and self._is_parameter(held[0], data := inputs[inputs[0] == held[0]]):
            self.graph.affine(AFFINE[kind], self.constants[held[0]].shape, held[0], data, outputs[0])
        elif kind == "LayerNormalization":
            self._layer_norm(inputs, outputs[0])
        elif kind == "PRelu":
            self.graph.weighted("prelu", self.constants[inputs[1]].shape, {"weight": inputs[1]}, inputs[:1], outputs[0])
        elif kind in ("Squeeze", "Unsqueeze"):
            self.graph.same(inputs[0], outputs[0])
        else:
            self.graph.plain([v for v in inputs if v not in self.constants], outputs)

    def _is_parameter(self, name: str, data: str) -> bool:
        """Whether a factor or summand of `data` was trained.

        One with several values was; one with a single value if it bears a parameter's name (learnable affine layers) or
        is the bias of a convolution to one channel. All others are parts of written-out activations and the like.
        """
        array = self.constants[name]
        if array.dtype.kind != "f":
            return False
        index = self.graph.made_by.get(data)
        return array.size > 1 or name in self.named or (index is not None and self.graph.nodes[index].wants_bias(1))

    def _moved(self, kind: str, inputs: list[str], output: str, attributes: dict[str, Any]) -> None:
        """A constant in another shape is a constant; only what changes the order of values is computed."""
        array = self.constants[inputs[0]]
        if kind == "Transpose":
            array = array.transpose(attributes.get("perm"))
        elif kind == "Reshape" and inputs[1] in self.constants:
            array = array.reshape(self.constants[inputs[1]])
        elif kind in ("Unsqueeze", "Squeeze", "Flatten"):
            array = array.reshape(-1) if array.ndim <= 1 else array
        self.constants[output] = array
        if inputs[0] in self.named:
            self.named.add(output)

    def _convolution(self, kind: str, inputs: list[str], output: str, attributes: dict[str, Any]) -> None:
        missing = [v for v in inputs[1:] if v and v not in self.constants]
        if missing:
            raise WeightsError(
                f"{self.where}: {kind} takes its weight {missing[0]!r} from another operation; "
                "export the model again with constant weights"
            )
        tensors = dict(zip(("weight", "bias"), [v for v in inputs[1:] if v], strict=False))
        shape = self.constants[inputs[1]].shape
        self.graph.weighted(CONVOLUTIONS[kind], shape, tensors, inputs[:1], output, int(attributes.get("group", 1)))

    def _product(self, kind: str, inputs: list[str], output: str, attributes: dict[str, Any]) -> None:
        turned = kind == "Gemm" and bool(attributes.get("transB"))
        shape = self.constants[inputs[1]].shape
        tensors = {"weight^T" if turned else "weight": inputs[1]}
        if kind == "Gemm" and len(inputs) > 2 and inputs[2]:
            tensors["bias"] = inputs[2]
        self.graph.weighted("matmul", shape[::-1] if turned else shape, tensors, inputs[:1], output)

    def _layer_norm(self, inputs: list[str], output: str) -> None:
        middle = ("scaled", output)
        self.graph.affine("mul", self.constants[inputs[1]].shape, inputs[1], inputs[0], middle)
        self.graph.affine("add", self.constants[inputs[2]].shape, inputs[2], middle, output)
