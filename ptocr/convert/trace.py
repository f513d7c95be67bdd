"""Our networks -> `Graph`: one forward pass on the meta device, in which nothing is computed and no memory is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ptocr.convert.graph import Graph
from ptocr.convert.pieces import Piece
from ptocr.errors import WeightsError


def trace(model: nn.Module, *sizes: tuple[int, ...]) -> Graph:
    """The weighted operations of `model` on inputs of these `sizes` (a picture's: C, H, W), tensors named as in its
    state dict.

    `model` is in evaluation mode and on the meta device.

    Raises:
        WeightsError: the network uses a parameter in a way that has no counterpart in exported programs.
    """
    tracer = _Tracer(model)
    with torch.no_grad(), tracer:
        model(*(torch.empty(1, *size, device="meta") for size in sizes))
    return tracer.graph


class _Tracer(TorchFunctionMode):
    """Sees every torch function with its arguments; values are known by the identity of their tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.graph = Graph()
        self.names = {id(t): n for n, t in [*model.named_parameters(), *model.named_buffers()]}
        self.keep: list[Tensor] = []  # identities stay unique only while the tensors live

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is torch.lstm:
            return self._lstm(*args)
        if function is F.grid_sample:
            return self._grid_sample(*args[:2])
        result = function(*args, **kwargs)
        outputs = list(_tensors([result]))
        if not outputs:
            return result
        inputs = list(_tensors([*args, *kwargs.values()]))
        self.keep += outputs
        held = [t for t in inputs if id(t) in self.names]
        fresh = [t for t in outputs if not any(t is i for i in inputs)]
        if not held:
            if fresh:
                self.graph.plain([id(t) for t in inputs], [id(t) for t in fresh])
        elif len(held) == len(inputs) and len(held) == 1:
            self._renamed(held[0], fresh)
        else:
            self._record(function, args, kwargs, held, outputs[0])
        return result

    def _renamed(self, parameter: Tensor, outputs: list[Tensor]) -> None:
        """A parameter in another shape or type keeps its name."""
        for output in outputs:
            self.names[id(output)] = self.names[id(parameter)]

    def _record(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        held: list[Tensor],
        out: Tensor,
    ) -> None:
        recorder = RECORDERS.get(function)
        if recorder is None:
            raise self._unknown(function, held[0])
        recorder(self, args, kwargs, id(out))

    def _lstm(
        self, x: Tensor, start: tuple[Tensor, Tensor], weights: list[Tensor], biases: bool, layers: int, *rest: Any
    ) -> tuple[Tensor, ...]:
        """A recurrent layer is not run: the meta device would unroll it, which takes seconds for a long line."""
        hidden, directions = start[0].shape[-1], start[0].shape[0] // layers
        out = x.new_empty(*x.shape[:-1], hidden * directions)
        self.keep.append(out)
        shape = (layers, directions, x.shape[-1], hidden)
        self.graph.weighted("lstm", shape, {str(i): self.name(w) for i, w in enumerate(weights)}, [id(x)], id(out))
        return out, *start

    def _grid_sample(self, x: Tensor, grid: Tensor) -> Tensor:
        """Nor is sampling, which the meta device takes apart into hundreds of operations."""
        out = x.new_empty(*x.shape[:2], *grid.shape[1:-1])
        self.keep.append(out)
        self.graph.plain([id(x), id(grid)], [id(out)])
        return out

    def _unknown(self, function: Callable[..., Any], held: Tensor) -> WeightsError:
        name = getattr(function, "__name__", str(function))
        return WeightsError(
            f"the network uses {self.names[id(held)]!r} in {name!r}, which conversion from exported programs "
            "does not know; convert its training checkpoint (.pdparams)"
        )

    def name(self, tensor: Tensor) -> str:
        return self.names[id(tensor)]


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _convolution(kind: str) -> Callable[..., None]:
    position = 6  # of `groups`, in both kinds

    def record(tracer: _Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: int) -> None:
        x, weight = args[0], args[1]
        bias = args[2] if len(args) > 2 else kwargs.get("bias")
        groups = args[position] if len(args) > position else kwargs.get("groups", 1)
        tensors = {"weight": tracer.name(weight)}
        if bias is not None:
            tensors["bias"] = tracer.name(bias)
        tracer.graph.weighted(kind, weight.shape, tensors, [id(x)], out, groups)

    return record


def _linear(tracer: _Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: int) -> None:
    x, weight = args[0], args[1]
    bias = args[2] if len(args) > 2 else kwargs.get("bias")
    tensors = {"weight": tracer.name(weight)}
    if bias is not None:
        tensors["bias"] = tracer.name(bias)
    tracer.graph.weighted("matmul", weight.shape[::-1], tensors, [id(x)], out)


def _attention(tracer: _Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: int) -> None:
    """Three products with parts of one matrix, of query, key and value, and one of what they make."""
    dim, weight, bias = args[3], tracer.name(args[5]), tracer.name(args[6])
    parts: list[object] = []
    for number, value in enumerate(args[:3]):
        start, stop = number * dim, (number + 1) * dim
        tensors = {"weight": str(Piece(weight, 1, start, stop)), "bias": str(Piece(bias, 0, start, stop))}
        parts.append((out, number))
        tracer.graph.weighted("matmul", (value.shape[2], dim), tensors, [id(value)], parts[-1])
    tracer.graph.plain(parts, [(out, "mixed")])
    tensors = {"weight": tracer.name(args[11]), "bias": tracer.name(args[12])}
    tracer.graph.weighted("matmul", args[11].shape[::-1], tensors, [(out, "mixed")], out)


def _embedding(tracer: _Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: int) -> None:
    tracer.graph.weighted("embedding", args[1].shape, {"weight": tracer.name(args[1])}, [id(args[0])], out)


def _gru_cell(tracer: _Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: int) -> None:
    """Two products, of the input and of the state, and what has no weights."""
    x, state, *weights = args
    parts: list[object] = [id(state)]
    for value, weight, bias in zip((x, state), weights[:2], weights[2:], strict=True):
        tensors = {"weight": tracer.name(weight), "bias": tracer.name(bias)}
        parts.append((out, len(parts)))
        tracer.graph.weighted("matmul", weight.shape[::-1], tensors, [id(value)], parts[-1])
    tracer.graph.plain(parts, [out])


def _batch_norm(tracer: _Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: int) -> None:
    keys = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    given = {**dict(zip(keys, args, strict=False)), **kwargs}
    roles = {"weight": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}
    tensors = {role: tracer.name(given[key]) for role, key in roles.items()}
    tracer.graph.norm(given["weight"].shape, tensors, given.get("eps", 1e-5), id(given["input"]), out)


def _layer_norm(tracer: _Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: int) -> None:
    given = {**dict(zip(("input", "normalized_shape", "weight", "bias"), args, strict=False)), **kwargs}
    middle = ("scaled", out)
    tracer.graph.affine("mul", given["weight"].shape, tracer.name(given["weight"]), id(given["input"]), middle)
    tracer.graph.affine("add", given["bias"].shape, tracer.name(given["bias"]), middle, out)


def _affine(kind: str) -> Callable[..., None]:
    def record(tracer: _Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: int) -> None:
        left, right = args[0], args[1]
        value, tensor = (right, left) if id(left) in tracer.names else (left, right)
        tracer.graph.affine(kind, tensor.shape, tracer.name(tensor), id(value), out)

    return record


def _cell(tracer: _Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: int) -> None:
    weights = [t for t in args[2:] if t is not None]
    tensors = {str(number): tracer.name(weight) for number, weight in enumerate(weights)}
    tracer.graph.weighted("cell", weights[0].shape, tensors, [id(args[0])], out)


def _prelu(tracer: _Tracer, args: tuple[Any, ...], kwargs: dict[str, Any], out: int) -> None:
    tracer.graph.weighted("prelu", args[1].shape, {"weight": tracer.name(args[1])}, [id(args[0])], out)


RECORDERS: dict[Any, Callable[..., None]] = {
    F.conv1d: _convolution("conv"),
    F.conv2d: _convolution("conv"),
    F.conv_transpose2d: _convolution("deconv"),
    F.embedding: _embedding,
    F.linear: _linear,
    F.multi_head_attention_forward: _attention,
    F.batch_norm: _batch_norm,
    F.layer_norm: _layer_norm,
    F.prelu: _prelu,
    torch.gru_cell: _gru_cell,
    torch.lstm_cell: _cell,
    torch.add: _affine("add"),
    torch.mul: _affine("mul"),
    Tensor.add: _affine("add"),
    Tensor.add_: _affine("add"),
    Tensor.__add__: _affine("add"),
    Tensor.__radd__: _affine("add"),
    Tensor.mul: _affine("mul"),
    Tensor.mul_: _affine("mul"),
    Tensor.__mul__: _affine("mul"),
    Tensor.__rmul__: _affine("mul"),
}
