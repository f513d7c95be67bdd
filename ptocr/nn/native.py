"""Fused networks on ptocr's own kernels (ptocr/native/convs.cpp): chains of convolutions that run tile by tile in the cache.

`nativize` replaces convolutions of a fused network on the CPU; what remains is plain modules. The operator
`torch.ops.ptocr.convs` has shapes only, until `ptocr.kernels` loads the compiled kernels: networks made here are for compiled
packages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.backbones.stem import FusedStem, grown, max_2x2
from ptocr.nn.heads.db import PyramidConv
from ptocr.nn.layers import SE, Affine, Residual
from ptocr.nn.necks.db_fpn import concat_at_finest

OTHER, ENTERING, GATED = 1, 2, 4  # what a plan says is added at the end, and whether channels are scaled at the beginning
DENSE, DEPTHWISE, TRANSPOSED = range(3)
ACTIVATIONS: dict[type[nn.Module], int] = {
    nn.ReLU: 1,
    nn.Hardswish: 2,
    nn.Hardsigmoid: 3,
    nn.Sigmoid: 4,
    nn.SiLU: 5,
    nn.GELU: 6,
}
FIELDS = 15  # of a layer in a plan
MOST_ROWS = 16  # of a kernel

OPERATOR = torch.library.Library("ptocr", "FRAGMENT")
OPERATOR.define("convs(Tensor x, Tensor[] extra, Tensor params, int[] plan) -> Tensor", tags=(torch.Tag.needs_exact_strides,))


@torch.library.register_fake("ptocr::convs", lib=OPERATOR)
def _fake(x: Tensor, extra: list[Tensor], params: Tensor, plan: list[int]) -> Tensor:
    return result_of(x, plan)


def result_of(x: Tensor, plan: list[int]) -> Tensor:
    """An empty map for what the chain makes of x (N, C, H, W), channels last in memory."""
    kind, _, _, kh, kw, sh, sw, top, left, bottom, right = plan[2:13]
    batch, _, height, width = x.shape
    if kind == TRANSPOSED:
        height, width = 2 * height, 2 * width
    else:
        height, width = (height + top + bottom - kh) // sh + 1, (width + left + right - kw) // sw + 1
    channels = plan[2 + FIELDS * (plan[1] - 1) + 2]
    return x.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)


@dataclass
class Layer:
    """A convolution with the activation and the affine layer that follow it; grow: rows of zeros below, columns on the right."""

    conv: nn.Conv2d | nn.ConvTranspose2d
    act: nn.Module | None = None
    affine: Affine | None = None
    grow: int = 0

    @property
    def pointwise(self) -> bool:
        return isinstance(self.conv, nn.Conv2d) and self.conv.groups == 1 and _is_single(self.conv)

    @property
    def depthwise(self) -> bool:
        return isinstance(self.conv, nn.Conv2d) and self.conv.groups > 1

    @property
    def transposed(self) -> bool:
        return isinstance(self.conv, nn.ConvTranspose2d)

    @property
    def spatial(self) -> bool:
        return not self.pointwise and not self.transposed


def _is_single(conv: nn.Conv2d) -> bool:
    return conv.kernel_size == (1, 1) and conv.stride == (1, 1) and conv.padding == (0, 0)


def lanes_for(channels: int, widest: int) -> int:
    """Channels per vector: narrower ones where wide ones would compute many channels that are not there."""
    wide, few = -(-channels // widest) * widest, -(-channels // 8) * 8
    return 8 if wide > 1.15 * few else widest


def panels(channels: int, lanes: int) -> Iterator[int]:
    """Vectors per panel, as `panel_vectors` in convs.cpp."""
    vectors = -(-channels // lanes)
    full = 3 if vectors % 3 == 0 or vectors > 4 else vectors
    for begin in range(0, vectors, full):
        yield min(full, vectors - begin)


def dense_weight(weight: Tensor, lanes: int) -> Tensor:
    """(out, in, kh, kw) -> the panels' weights one after the other, 1-D: per step of depth a panel's channels."""
    pack = 2 if weight.dtype == torch.bfloat16 else 1
    out, _, rows, _ = weight.shape
    runs = weight.permute(2, 3, 1, 0).reshape(rows, -1, out)  # a row of the kernel after the other
    runs = F.pad(runs, (0, -out % lanes, 0, -runs.shape[1] % pack))
    padded = runs.reshape(-1, runs.shape[2])
    depth = len(padded)
    parts, begin = [], 0
    for vectors in panels(out, lanes):
        panel = padded[:, begin : begin + vectors * lanes]
        begin += vectors * lanes
        parts.append(panel.reshape(depth // pack, pack, vectors * lanes).transpose(1, 2).reshape(-1))
    return torch.cat(parts)


class Buffer:
    """Bytes with places that begin at multiples of 64."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.size = 0

    def add(self, values: Tensor) -> int:
        """The place of the values."""
        place, data = self.size, values.contiguous().view(torch.uint8).reshape(-1)
        self.parts += [data, data.new_zeros(-len(data) % 64)]
        self.size += len(data) + len(self.parts[-1])
        return place


class Convs(nn.Module):
    """A chain of layers: the first of any kind, the others pointwise.

    added: ENTERING adds to the last layer what entered the pointwise ones (the input, or the first layer's output if it is
    not pointwise); OTHER adds to the first layer a map that forward is given; both before the activation.
    """

    params: Tensor

    def __init__(self, layers: list[Layer], lanes: int, added: int = 0, gate: SE | None = None) -> None:
        super().__init__()
        buffer, plan, count = Buffer(), [], 0
        for layer in layers:
            for fields in _fields(layer, buffer, lanes):
                plan += fields
                count += 1
        if isinstance(layers[0].conv, nn.ConvTranspose2d):
            count = 1
        self.gate = None if gate is None else nativize(gate, lanes)
        self.plan = [added | (GATED if gate else 0), count, *plan]
        self.register_buffer("params", torch.cat(buffer.parts), persistent=False)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        extra = [] if other is None else [other]
        if self.gate is not None:
            extra.append(self.gate.gates(x))  # type: ignore[operator]
        x = x.contiguous(memory_format=torch.channels_last)
        return torch.ops.ptocr.convs(x, extra, self.params, self.plan)


def _fields(layer: Layer, buffer: Buffer, widest: int) -> Iterator[list[int]]:
    conv = layer.conv
    out = conv.out_channels
    lanes = lanes_for(out, widest)
    if layer.depthwise and out % lanes:
        lanes = 8  # whole vectors only
    bias = torch.zeros(-(-out // lanes) * lanes + 2)
    if conv.bias is not None:
        bias[:out] = conv.bias.detach().float()
    bias[-2] = 1.0 if layer.affine is None else layer.affine.scale
    bias[-1] = 0.0 if layer.affine is None else float(layer.affine.bias)
    act = 0 if layer.act is None else ACTIVATIONS[type(layer.act)]
    bias_at = buffer.add(bias)
    weight = conv.weight.detach()
    (kh, kw), (sh, sw), (top, left) = conv.kernel_size, conv.stride, _padding(conv)
    if isinstance(conv, nn.ConvTranspose2d):
        for row in range(2):
            for column in range(2):
                taps_h, before_h = _phase(kh, top, row)
                taps_w, before_w = _phase(kw, left, column)
                part = weight.transpose(0, 1)[:, :, taps_h][:, :, :, taps_w]
                at = buffer.add(dense_weight(part, lanes))
                after_h, after_w = len(taps_h) - 1 - before_h, len(taps_w) - 1 - before_w
                shape = [len(taps_h), len(taps_w), 1, 1, before_h, before_w, after_h, after_w]
                yield [TRANSPOSED, conv.in_channels, out, *shape, act, lanes, at, bias_at]
        return
    if layer.depthwise:
        at = buffer.add(weight[:, 0].permute(1, 2, 0).float())
    else:
        at = buffer.add(dense_weight(weight, lanes))
    kind = DEPTHWISE if layer.depthwise else DENSE
    edges = [top, left, top + layer.grow, left + layer.grow]
    yield [kind, conv.in_channels, out, kh, kw, sh, sw, *edges, act, lanes, at, bias_at]


def _padding(conv: nn.Conv2d | nn.ConvTranspose2d) -> tuple[int, int]:
    assert not isinstance(conv.padding, str)
    return conv.padding[0], conv.padding[1]


def _phase(size: int, padding: int, phase: int) -> tuple[list[int], int]:
    """Of a transposed convolution with stride 2: the taps that make every second output from `phase` on, in the order of the
    input they look at, and how many of these lie before the input of the same place."""
    taps = [u for u in range(size) if (phase + padding - u) % 2 == 0]
    return taps[::-1], -((phase + padding - taps[-1]) // 2)


def takes(module: nn.Module) -> bool:
    """Whether the kernels can compute this convolution."""
    if type(module) is nn.ConvTranspose2d:
        plain = module.stride == (2, 2) and module.groups == 1 and module.output_padding == (0, 0)
        doubles = all(k == 2 * p + 2 for k, p in zip(module.kernel_size, _padding(module), strict=True))
        return plain and doubles and module.kernel_size[0] <= MOST_ROWS
    if type(module) is not nn.Conv2d or module.padding_mode != "zeros" or isinstance(module.padding, str):
        return False
    if module.dilation != (1, 1) or module.kernel_size[0] > MOST_ROWS:
        return False
    if module.groups == 1:
        return True
    return module.groups == module.in_channels == module.out_channels and module.in_channels % 8 == 0


class NativeLinear(nn.Module):
    """A linear layer as a pointwise convolution over a map of height 1: (N, L, in) -> (N, L, out)."""

    def __init__(self, linear: nn.Linear, lanes: int) -> None:
        super().__init__()
        conv = nn.Conv2d(linear.in_features, linear.out_features, 1, device="meta")
        conv.weight = nn.Parameter(linear.weight.detach()[:, :, None, None], requires_grad=False)
        conv.bias = linear.bias
        self.convs = Convs([Layer(conv)], lanes)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, 1, x.shape[-2], x.shape[-1]).permute(0, 3, 1, 2)
        return self.convs(rows).permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


class NativePyramidConv(nn.Module):
    """`PyramidConv` and the layers behind it: the coarser maps' part is added to the finest one's in passing."""

    def __init__(self, pyramid: PyramidConv, behind: list[Layer], lanes: int) -> None:
        super().__init__()
        self.coarse = Convs([Layer(pyramid.coarse)], lanes)
        self.chain = Convs(behind, lanes, OTHER)

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.chain(maps[0], self.coarse(concat_at_finest(maps[1:])))


class NativeStem(nn.Module):
    """`FusedStem`: no map is grown by a row or a column, the last two layers are one pass."""

    def __init__(self, stem: FusedStem, lanes: int) -> None:
        super().__init__()
        first, second, third, last = (_run(_leaves(p), 0, [])[0] for p in (stem.stem1, stem.stem2a, stem.stem2b, stem.stem4))
        second[0].grow = third[0].grow = 1
        self.first, self.second, self.third = (Convs(layers, lanes) for layers in (first, second, third))
        self.pooled = Convs([Layer(stem.pooled)], lanes)
        self.tail = Convs([Layer(stem.convolved, nn.ReLU()), *last], lanes, OTHER)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.tail(self.third(self.second(x)), self.pooled(max_2x2(grown(x))))


def nativize(network: nn.Module, lanes: int) -> nn.Module:
    """Replace, in place, the convolutions and linear layers of a fused network; returns the network.

    lanes: channels per vector of the kernels, 16 or 8.
    """
    for name, child in list(network.named_children()):
        if isinstance(child, FusedStem):
            setattr(network, name, NativeStem(child, lanes))
        elif isinstance(child, nn.Sequential):
            setattr(network, name, _native_sequence(child, lanes))
        elif takes(child):
            setattr(network, name, Convs([Layer(child)], lanes))  # type: ignore[arg-type]
        elif type(child) is nn.Linear:
            setattr(network, name, NativeLinear(child, lanes))
        else:
            nativize(child, lanes)
    return network


def _leaves(module: nn.Module) -> list[nn.Module]:
    """The layers of nested sequences, one after the other."""
    if type(module) is not nn.Sequential:
        return [] if isinstance(module, nn.Identity) else [module]
    return [leaf for child in module for leaf in _leaves(child)]


def _native_sequence(sequence: nn.Sequential, lanes: int) -> nn.Module:
    """A sequence with its runs of convolutions as chains."""
    if isinstance(sequence, Residual):
        return Convs(body, lanes, ENTERING) if (body := _body(sequence)) else nativize(sequence, lanes)
    leaves, made, at = _leaves(sequence), nn.Sequential(), 0
    while at < len(leaves):
        head = leaves[at]
        gate = head if isinstance(head, SE) else None
        pyramid = head if isinstance(head, PyramidConv) else None
        layers, end = _run(leaves, at + (gate is not None or pyramid is not None), [Layer(pyramid.fine)] if pyramid else [])
        body = _body(leaves[end]) if end < len(leaves) else []
        if body and not pyramid and (len(layers) == 1 and layers[0].spatial if not gate else not layers):
            made.append(Convs(layers + body, lanes, ENTERING, gate))
            at = end + 1
        elif pyramid:
            made.append(NativePyramidConv(pyramid, layers, lanes))
            at = end
        elif layers and (gate is None or layers[0].pointwise):
            made.append(Convs(layers, lanes, 0, gate))
            at = end
        else:
            made.append(nativize(nn.Sequential(head), lanes)[0] if type(head) is not nn.Sequential else head)
            at += 1
    return made


def _run(leaves: list[nn.Module], at: int, layers: list[Layer]) -> tuple[list[Layer], int]:
    """The layers of one chain from place `at` on, behind those given, and the place behind them."""
    while at < len(leaves):
        leaf = leaves[at]
        last = layers[-1] if layers else None
        if takes(leaf):
            layer = Layer(leaf)  # type: ignore[arg-type]
            if layers and (not layer.pointwise or layers[0].transposed):
                break
            layers.append(layer)
        elif last and type(leaf) in ACTIVATIONS and last.act is None and last.affine is None:
            last.act = leaf
        elif last and isinstance(leaf, Affine) and last.affine is None:
            last.affine = leaf
        else:
            break
        at += 1
    return layers, at


def _body(module: nn.Module) -> list[Layer]:
    """The layers of a residual of pointwise ones; [] if it is something else."""
    if not isinstance(module, Residual):
        return []
    leaves = _leaves(nn.Sequential(*module))
    layers, end = _run(leaves, 0, [])
    return layers if end == len(leaves) and all(layer.pointwise for layer in layers) else []
