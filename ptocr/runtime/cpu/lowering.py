"""Lowering: a fused network on ptocr's kernels -> a program (src/program.cpp) that needs no torch.

The network is traced symbolically (torch.fx), so that sizes stay open. Every value is (N, H, W, C) in memory; torch's
axes are followed beside it, so that transpositions cost nothing. What has no instruction is a `CannotLower`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from ptocr.nn.decode import GreedyCTC
from ptocr.nn.layers import Affine, HardSigmoid
from ptocr.nn.necks.sequence import Attention
from ptocr.runtime.cpu.chains import ACTIVATIONS, Buffer, Convs, Layer, as_greedy, takes
from ptocr.runtime.cpu.plan import FIELDS, Act, Added, Extra, Kind
from ptocr.runtime.cpu.program import Binary, CannotLower, Form, Op, Program, Unary, bits
from ptocr.runtime.cpu.rewrite import NativeLinear, nativize
from ptocr.runtime.cpu.symbolic import followed

MAP, ROWS, VECTOR = "NCHW", "NLC", "NC"  # a letter per axis as torch sees it; L: height and width as one
PLANES, LAST = "NCL", "NHWC"  # rows transposed; a map whose channels come last for torch, too
FORMS = {MAP: Form.MAP, ROWS: Form.ROWS, VECTOR: Form.VECTOR}


@dataclass(frozen=True)
class Value:
    """A value of the program.

    axes: torch's. like: the map whose height and width it had before they became one axis. single: whether a map is one
    pixel. factor: how much larger it is for torch, by nearest neighbour; enlarged only where it is used.
    """

    place: int
    axes: str = MAP
    like: int = -1
    single: bool = False
    factor: int = 1


def lower(network: nn.Module, lanes: int) -> Program:
    """The program of a fused network with one picture as its input; the network is changed in place.

    Raises:
        CannotLower: says what there is no instruction for.
    """
    network = nativize(network.eval(), lanes)
    try:
        return _Lowering(network, followed(network, MODULES), lanes).program
    except CannotLower:
        raise
    except Exception as error:  # any code of a network may be what cannot be traced, or be called as nobody foresaw
        raise CannotLower(f"its code cannot be followed ({error})") from error


class _Lowering:
    """One pass over the nodes of a graph."""

    def __init__(self, network: nn.Module, graph: fx.Graph, lanes: int) -> None:
        self.network = network
        self.lanes = lanes
        self.buffer = Buffer()
        self.program = Program([0], self.buffer)
        self.values: dict[fx.Node, Any] = {}
        head = _logits(graph) if isinstance(network, GreedyCTC) else None
        for node in graph.nodes:
            if node is head:
                self.greedy(node)
                return
            if node not in self.values:  # else it is part of an earlier instruction
                self.values[node] = self.node(node)

    def node(self, node: fx.Node) -> Any:
        """What a node becomes."""
        args, kwargs = self.of(node.args), self.of(node.kwargs)
        if node.op == "placeholder":
            return Value(self.program.add(Op.INPUT))
        if node.op == "output":
            return self.outputs(args[0])
        if node.op == "get_attr":
            raise CannotLower(f"parameter {node.target} outside of a known layer")
        if node.op == "call_module":
            module = self.network.get_submodule(str(node.target))
            return MODULES[type(module)](self, module, node, *args, **kwargs)
        if node.target not in FUNCTIONS:
            raise CannotLower(f"operator {getattr(node.target, '__name__', node.target)}")
        return FUNCTIONS[node.target](self, *args, **kwargs)

    def of(self, tree: Any) -> Any:
        """Arguments of a node with the values that its nodes have become."""
        return fx.node.map_arg(tree, lambda node: self.values[node])

    def outputs(self, values: Any) -> None:
        for value in [values] if isinstance(values, Value) else values:
            form = FORMS.get(value.axes)
            if form is None:
                raise CannotLower(f"output with axes {value.axes}")
            self.program.add(Op.OUTPUT, [self.full(value).place], [form == Form.MAP], result=False)
            self.program.outputs.append(form)

    def add(self, op: Op, sources: Sequence[Value], *args: int, **changes: Any) -> Value:
        """A new value, like the first source but for what changes."""
        sources = [self.full(source) for source in sources]
        return replace(sources[0], place=self.program.add(op, [s.place for s in sources], args), **changes)

    def full(self, value: Value) -> Value:
        """The value at the size that it has for torch."""
        if value.factor == 1:
            return value
        place = self.program.add(Op.CONCAT, [value.place], [value.factor])
        return replace(value, place=place, factor=1)

    def convs(self, module: Convs, node: fx.Node, *sources: Value | None, **more: Value) -> Value:
        given = [source for source in (*sources, *more.values()) if source is not None]
        if given[0].axes != MAP:
            raise CannotLower(f"convolution over axes {given[0].axes}")
        return self.chain(module, node, given)

    def chain(self, module: Convs, node: fx.Node | None, sources: list[Value]) -> Value:
        """A chain of convolutions, with the activation or the sum behind it in its last step."""
        plan, (user, *others) = list(module.plan), [*node.users, None] if node is not None else [None]
        end = len(plan) - FIELDS
        folded = None
        if user is not None and others == [None] and plan[end + 11] == Act.NONE and module.bare:
            act, residual = self.activation_of(user), self.residual_of(user, node)
            if act is not None:
                for at in range(2, len(plan), FIELDS):  # the four parts of a transposed one alike
                    if plan[at] == Kind.TRANSPOSED or at == end:
                        plan[at + 11] = act
                folded = user
            elif residual is not None and plan[0] == 0 and end == 2 and plan[2] == Kind.DENSE:
                plan[0], plan[end + 15], folded = int(Extra.HAS_OTHER), int(Added.OTHER), user
                sources = [*sources, residual]
        place = self.buffer.add(module.params)
        single = sources[0].single and module.pointwise
        made = self.add(Op.CONVS, sources, place, *map(int, plan), single=single)
        if folded is not None:
            self.values[folded] = made
        return made

    def activation_of(self, node: fx.Node) -> Act | None:
        if node.op == "call_module":
            return ACTIVATIONS.get(type(self.network.get_submodule(str(node.target))))
        return FUNCTION_ACTS.get(node.target)

    def residual_of(self, node: fx.Node, made: fx.Node | None) -> Value | None:
        """The other summand, if the node is the sum of something already known and `made`."""
        if node.target is not operator.add or len(node.args) != 2:
            return None
        left, right = node.args
        other = right if left is made else left
        value = self.values.get(other) if isinstance(other, fx.Node) else None
        return value if isinstance(value, Value) and value.factor == 1 and value.axes in (MAP, ROWS) else None

    def linear(self, module: NativeLinear, node: fx.Node | None, x: Value) -> Value:
        if x.axes not in (ROWS, VECTOR, LAST):
            raise CannotLower(f"linear layer over axes {x.axes}")
        return self.chain(module.convs, node, [x])

    def conv1d(self, module: nn.Conv1d, node: fx.Node, x: Value) -> Value:
        """Along the line: a convolution over a map of height 1."""
        (kernel,), (stride,), (dilation,) = module.kernel_size, module.stride, module.dilation
        padding = (0, int(module.padding[0]))
        conv = nn.Conv2d(
            module.in_channels, module.out_channels, (1, kernel), (1, stride), padding, (1, dilation), module.groups
        )
        if x.axes != PLANES or module.padding_mode != "zeros" or not takes(conv):
            raise CannotLower(f"{module} over axes {x.axes}")
        conv.weight = nn.Parameter(module.weight.detach()[:, :, None], requires_grad=False)
        conv.bias = module.bias
        return self.chain(Convs([Layer(conv)], self.lanes), node, [x])

    def norm(self, module: nn.LayerNorm, node: fx.Node, x: Value) -> Value:
        if x.axes not in (ROWS, VECTOR, LAST) or len(module.normalized_shape) != 1:
            raise CannotLower(f"{module} over axes {x.axes}")
        places = [self.buffer.add(part.detach().float()) for part in (module.weight, module.bias)]
        return self.add(Op.NORM, [x], *places, bits(module.eps))

    def attention(self, module: Attention, node: fx.Node, x: Value) -> Value:
        if x.axes != ROWS:
            raise CannotLower(f"attention over axes {x.axes}")
        assert isinstance(module.qkv, NativeLinear) and isinstance(module.proj, NativeLinear)
        mixed = self.add(Op.ATTENTION, [self.linear(module.qkv, None, x)], module.heads)
        return self.linear(module.proj, node, mixed)

    def shuffle(self, module: nn.PixelShuffle, node: fx.Node, x: Value) -> Value:
        return self.add(Op.SHUFFLE, [x], module.upscale_factor)

    def affine(self, module: Affine, node: fx.Node, x: Value) -> Value:
        return self.unary(Unary.SCALE, x, module.scale, float(module.bias))

    def hard_sigmoid(self, module: HardSigmoid, node: fx.Node, x: Value) -> Value:
        return self.unary(Unary.CLAMP, self.unary(Unary.SCALE, x, module.slope, 0.5), 0.0, 1.0)

    def activation(self, module: nn.Module, node: fx.Node, x: Value) -> Value:
        return self.unary(ACTIVATIONS[type(module)], x)

    def greedy(self, node: fx.Node) -> None:
        """The best class and its probability, from the last linear layer's input: the logits are never made."""
        module = self.network.get_submodule(str(node.target)) if node.op == "call_module" else None
        if not isinstance(module, NativeLinear):
            raise CannotLower("logits that are not a linear layer's")
        layer = as_greedy(module.weight, module.bias, self.buffer, self.lanes)
        self.program.add(Op.GREEDY, [self.of(node.args[0]).place], layer.pack(), result=False)
        self.program.outputs += [None, None]

    def unary(self, kind: Act | Unary, x: Value, a: float = 0.0, b: float = 0.0) -> Value:
        return self.add(Op.UNARY, [x], int(kind), bits(a), bits(b))

    def binary(self, kind: Binary, a: Any, b: Any) -> Any:
        """Of two values or of a value and a number."""
        if isinstance(a, int | float) and isinstance(b, Value) and kind != Binary.SUBTRACT:
            a, b = b, a
        if isinstance(a, Value) and isinstance(b, int | float):
            scale, shift = {Binary.ADD: (1, b), Binary.MULTIPLY: (b, 0), Binary.SUBTRACT: (1, -b)}[kind]
            return self.unary(Unary.SCALE, a, scale, shift)
        if not isinstance(a, Value) or not isinstance(b, Value) or a.axes != b.axes:
            raise CannotLower(f"{kind.name} of {a} and {b}")
        if kind == Binary.ADD and b.factor > 1 and a.factor == 1:
            place = self.program.add(Op.ENLARGE, [a.place, b.place], [b.factor])
            return replace(a, place=place)
        return self.add(Op.BINARY, [a, b], int(kind))

    def mean(self, x: Value, axes: Any, keepdim: bool = False) -> Value:
        if x.axes != MAP or tuple(axes) != (2, 3):
            raise CannotLower(f"mean over axes {axes}")
        return self.add(Op.MEAN, [x], axes=MAP if keepdim else VECTOR, single=True)

    def concat(self, values: Sequence[Value], dim: int = 0) -> Value:
        if any(value.axes != values[0].axes or value.axes[dim] != "C" for value in values):
            raise CannotLower(f"concatenation along axis {dim}")
        factors = [value.factor for value in values]
        return replace(values[0], place=self.program.add(Op.CONCAT, [v.place for v in values], factors), factor=1)

    def enlarged(self, x: Value, size: Any, scale_factor: Any, mode: str, **others: Any) -> Value:
        if any(value not in (None, False) for value in others.values()):
            raise CannotLower(f"interpolation with {others}")
        if x.axes != MAP or size is not None or mode != "nearest" or scale_factor != int(scale_factor):
            raise CannotLower(f"interpolation ({mode}, {scale_factor})")
        return replace(x, factor=x.factor * int(scale_factor))

    def pooled(self, largest: bool, x: Value, kernel: Any, stride: Any = None, padding: Any = 0) -> Value:
        if x.axes != MAP:
            raise CannotLower(f"pooling over axes {x.axes}")
        kh, kw = _pair(kernel)
        sh, sw = (kh, kw) if stride is None or stride == [] else _pair(stride)
        top, left = _pair(padding)
        if kh == "H":
            kh, sh = 0, 0
        sizes = (kh, kw, sh, sw, top, left)
        if not all(isinstance(size, int) for size in sizes) or (not largest and (top or left)):
            raise CannotLower(f"pooling with {sizes}")
        return self.add(Op.POOLING, [x], int(largest), *sizes)

    def largest(self, x: Value, kernel: Any, stride: Any, padding: Any, dilation: Any, **others: Any) -> Value:
        if dilation not in (1, (1, 1)) or any(others.values()):
            raise CannotLower(f"maxima with {others}")
        return self.pooled(True, x, kernel, stride, padding)

    def softmax(self, x: Value, dim: int) -> Value:
        if x.axes[dim] != "C":
            raise CannotLower(f"softmax over axis {dim} of {x.axes}")
        return self.add(Op.SOFTMAX, [x])

    def clamp(self, x: Value, low: float = -math.inf, high: float = math.inf) -> Value:
        return self.unary(Unary.CLAMP, x, low, high)

    def attribute(self, x: Any, name: str) -> Any:
        if not isinstance(x, Value) or name != "shape":
            raise CannotLower(f"attribute {name}")
        return tuple(x.axes)  # the length of an axis is known by the axis

    def same(self, x: Value, *rest: Any) -> Value:
        return x

    def dropout(self, x: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
        if training:
            raise CannotLower("dropout that drops")
        return x

    def permute(self, x: Value, *order: Any) -> Value:
        places = order[0] if isinstance(order[0], tuple | list) else order
        return self.viewed(x, "".join(x.axes[place] for place in places))

    def transpose(self, x: Value, first: int, second: int) -> Value:
        axes = list(x.axes)
        axes[first], axes[second] = axes[second], axes[first]
        return self.viewed(x, "".join(axes))

    def viewed(self, x: Value, axes: str) -> Value:
        if axes not in (MAP, ROWS, PLANES, LAST):
            raise CannotLower(f"axes {axes}")
        return replace(x, axes=axes)

    def flatten(self, x: Value, first: int = 0, last: int = -1) -> Value:
        last %= len(x.axes)
        if x.axes == MAP and x.single and (first, last) == (1, 3):
            return replace(x, axes=VECTOR)
        if x.axes[first : last + 1] != "HW":
            raise CannotLower(f"axes {first} to {last} of {x.axes} as one")
        x = self.full(x)
        return self.add(Op.ROWS, [x], axes=x.axes.replace("HW", "L"), like=x.place)

    def unflatten(self, x: Value, dim: int, sizes: Any) -> Value:
        if x.axes[dim] != "L" or "".join(sizes) != "HW":
            raise CannotLower(f"axis {dim} of {x.axes} as {sizes}")
        place = self.program.add(Op.MAP, [x.place, x.like])
        return replace(x, place=place, axes=x.axes.replace("L", "HW"))

    def reshape(self, x: Value, *sizes: Any) -> Value:
        if x.axes.replace("L", "HW") != "".join(map(str, sizes)):
            raise CannotLower(f"{x.axes} as {sizes}")
        return self.unflatten(x, x.axes.index("L"), "HW")

    def squeeze(self, x: Value, dim: int) -> Value:
        if x.axes != MAP or dim != 2:
            raise CannotLower(f"squeezing axis {dim} of {x.axes}")
        return replace(self.full(x), axes=PLANES)  # the kernels' maps of sequences are one row high


def _pair(value: Any) -> tuple[Any, Any]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _logits(graph: fx.Graph) -> fx.Node | None:
    """The node whose maximum greedy decoding takes."""
    best = next((node for node in graph.nodes if node.op == "call_method" and node.target == "max"), None)
    logits = None if best is None else best.args[0]
    while isinstance(logits, fx.Node) and logits.target == "float":
        logits = logits.args[0]
    return logits if isinstance(logits, fx.Node) else None


def _binary(kind: Binary) -> Callable[..., Any]:
    return lambda lowering, a, b: lowering.binary(kind, a, b)


def _unary(kind: Act) -> Callable[..., Any]:
    return lambda lowering, x, inplace=False: lowering.unary(kind, x)


FUNCTION_ACTS: dict[Any, Act] = {
    F.relu: Act.RELU,
    torch.relu: Act.RELU,
    F.hardswish: Act.HARDSWISH,
    torch.sigmoid: Act.SIGMOID,
}
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **{function: _unary(act) for function, act in FUNCTION_ACTS.items()},
    operator.add: _binary(Binary.ADD),
    operator.mul: _binary(Binary.MULTIPLY),
    operator.sub: _binary(Binary.SUBTRACT),
    operator.getitem: lambda lowering, values, index: values[index],
    getattr: _Lowering.attribute,
    torch.cat: _Lowering.concat,
    torch.clamp: _Lowering.clamp,
    F.interpolate: _Lowering.enlarged,
    F.avg_pool2d: lambda lowering, *args: lowering.pooled(False, *args),
    F.max_pool2d: _Lowering.largest,
    F.dropout: _Lowering.dropout,
    "mean": _Lowering.mean,
    "softmax": _Lowering.softmax,
    "detach": _Lowering.same,
    "float": _Lowering.same,
    "permute": _Lowering.permute,
    "transpose": _Lowering.transpose,
    "flatten": _Lowering.flatten,
    "unflatten": _Lowering.unflatten,
    "reshape": _Lowering.reshape,
    "squeeze": _Lowering.squeeze,
}
MODULES: dict[type[nn.Module], Callable[..., Any]] = {
    **dict.fromkeys(ACTIVATIONS, _Lowering.activation),
    Convs: _Lowering.convs,
    NativeLinear: _Lowering.linear,
    nn.Conv1d: _Lowering.conv1d,
    nn.LayerNorm: _Lowering.norm,
    Attention: _Lowering.attention,
    nn.PixelShuffle: _Lowering.shuffle,
    Affine: _Lowering.affine,
    HardSigmoid: _Lowering.hard_sigmoid,
}
