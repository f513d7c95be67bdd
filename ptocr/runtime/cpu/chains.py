"""Chains of convolutions on ptocr's own kernels (src/convs.cpp): a picture runs through them row by row, in the cache.

The operator `torch.ops.ptocr.convs` has shapes only until `ptocr.runtime.cpu.library` loads the compiled kernels. Its
plan says what the layers are, its parameters are their weights as the kernels want them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import Affine
from ptocr.runtime.cpu.plan import MOST_ROWS, Act, Added, Extra, Kind, PlanLayer, layers_of, packed

ACTIVATIONS: dict[type[nn.Module], Act] = {
    nn.ReLU: Act.RELU,
    nn.Hardswish: Act.HARDSWISH,
    nn.Hardsigmoid: Act.HARDSIGMOID,
    nn.Sigmoid: Act.SIGMOID,
    nn.SiLU: Act.SWISH,
    nn.GELU: Act.GELU,
}

OPERATOR = torch.library.Library("ptocr", "FRAGMENT")
OPERATOR.define(
    "convs(Tensor x, Tensor[] extra, Tensor params, int[] plan) -> Tensor", tags=(torch.Tag.needs_exact_strides,)
)


@torch.library.register_fake("ptocr::convs", lib=OPERATOR)
def _fake(x: Tensor, extra: list[Tensor], params: Tensor, plan: list[int]) -> Tensor:
    return result_of(x, plan)


def result_of(x: Tensor, plan: list[int]) -> Tensor:
    """An empty map for what the chain makes of x (N, C, H, W), channels last in memory."""
    *_, (layer, height, width) = layers_of(plan, x.shape[2], x.shape[3])
    return x.new_empty(x.shape[0], height, width, layer.outputs).permute(0, 3, 1, 2)


@dataclass
class Layer:
    """A convolution with the activation and the affine layer that follow it.

    grow: rows of zeros below, columns on the right. added: OTHER adds a map that the chain is given; DOUBLED one of
    half the size, enlarged by nearest neighbour; ENTERING what entered the pointwise layers that end here (the output
    of the layer before them, or the input); all before the activation.
    """

    conv: nn.Conv2d | nn.ConvTranspose2d
    act: nn.Module | None = None
    affine: Affine | None = None
    grow: int = 0
    added: Added = Added.NOTHING

    @property
    def pointwise(self) -> bool:
        conv = self.conv
        if not isinstance(conv, nn.Conv2d) or conv.groups > 1:
            return False
        return conv.kernel_size == (1, 1) and conv.stride == (1, 1) and conv.padding == (0, 0)

    @property
    def transposed(self) -> bool:
        return isinstance(self.conv, nn.ConvTranspose2d)

    @property
    def spatial(self) -> bool:
        """Whether it looks at more than one pixel, or leaves some out."""
        return not self.pointwise and not self.transposed


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


class Convs(nn.Module):
    """A chain of layers, the first of any kind, the others not transposed: (N, C, H, W) -> (N, out, H', W').

    Scales (N, C, 1, 1) given to `forward` act, if gated, on the input's channels (the chain begins with a pointwise
    layer); if scaled, on that layer's output (it has no bias); if mixed, on the output of this pointwise convolution,
    without bias, in front of the first layer. pooled: the first layer looks at the maxima of 2 x 2 pixels, stride 1,
    zeros outside.
    """

    params: Tensor

    def __init__(
        self,
        layers: list[Layer],
        lanes: int,
        gated: bool = False,
        scaled: bool = False,
        mixed: nn.Conv2d | None = None,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        assert not (gated or pooled) or layers[0].conv.in_channels % 8 == 0, "whole vectors only"
        assert all(layer.added in (Added.NOTHING, Added.ENTERING) or layer.spatial for layer in layers[1:]), (
            "added at a group's head"
        )
        buffer = Buffer()
        planned = [plan for layer in layers for plan in _planned(layer, buffer, lanes)]
        head, conv, front = planned[0], layers[0].conv, []
        if pooled:
            front.append(PlanLayer(Kind.POOL, conv.in_channels, conv.in_channels, kh=2, kw=2, bottom=1, right=1))
        if scaled:
            head.kind, head.weight = Kind.SCALED, buffer.add(conv.weight.detach()[:, :, 0, 0].float())
        if mixed is not None:
            inner = buffer.add(mixed.weight.detach()[:, :, 0, 0].float())
            front.append(PlanLayer(Kind.MIXED, mixed.in_channels, mixed.out_channels, weight=inner))
            outer = buffer.add(conv.weight.detach().permute(2, 3, 1, 0).float())
            head.inputs, head.weight = mixed.in_channels, outer
        extra = Extra(0)
        if any(layer.added in (Added.OTHER, Added.DOUBLED) for layer in layers):
            extra |= Extra.HAS_OTHER
        if gated or scaled or mixed is not None:
            extra |= Extra.HAS_GATES
        last = layers[-1]
        self.bare = last.act is None and last.affine is None and last.added != Added.ENTERING
        self.pointwise = all(layer.pointwise for layer in layers)
        self.plan = packed(extra, len(layers) + len(front), [*front, *planned])
        self.register_buffer("params", torch.cat(buffer.parts), persistent=False)

    def forward(self, x: Tensor, other: Tensor | None = None, gates: Tensor | None = None) -> Tensor:
        extra = [_channels_last(y) for y in (other, gates) if y is not None]
        return torch.ops.ptocr.convs(_channels_last(x), extra, self.params, self.plan)


def as_greedy(weight: Tensor, bias: Tensor | None, buffer: Buffer, lanes: int) -> PlanLayer:
    """A linear layer (classes, in) as greedy.h wants it: whole vectors, lanes without a class never the largest."""
    classes, inputs = weight.shape
    padded = torch.full((-(-classes // lanes) * lanes,), -1e30)
    padded[:classes] = 0.0 if bias is None else bias.detach().float()
    at = buffer.add(dense_weight(weight.detach()[:, :, None, None], lanes))
    return PlanLayer(Kind.DENSE, inputs, classes, lanes=lanes, weight=at, bias=buffer.add(padded))


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


class Buffer:
    """Bytes with places that begin at multiples of 64."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.size = 0

    def joined(self) -> np.ndarray:
        """All bytes, one after the other."""
        return (torch.cat(self.parts) if self.parts else torch.zeros(64, dtype=torch.uint8)).numpy()

    def add(self, values: Tensor) -> int:
        """The place of the values."""
        place, data = self.size, values.contiguous().view(torch.uint8).reshape(-1)
        self.parts += [data, data.new_zeros(-len(data) % 64)]
        self.size += len(data) + len(self.parts[-1])
        return place


def _planned(layer: Layer, buffer: Buffer, widest: int) -> Iterator[PlanLayer]:
    """A layer as the kernels read it; a transposed one is four, one for every second row and column of its output."""
    conv, act = layer.conv, Act.NONE if layer.act is None else ACTIVATIONS[type(layer.act)]
    out, weight, depthwise = conv.out_channels, conv.weight.detach(), conv.groups > 1
    lanes = lanes_for(out, widest)
    if depthwise and out % lanes:
        lanes = 8  # whole vectors only
    bias = torch.zeros(-(-out // lanes) * lanes + 2)
    if conv.bias is not None:
        bias[:out] = conv.bias.detach().float()
    bias[-2:] = torch.tensor([1.0, 0.0] if layer.affine is None else [layer.affine.scale, float(layer.affine.bias)])
    bias_at = buffer.add(bias)
    (kh, kw), (sh, sw), (top, left) = conv.kernel_size, conv.stride, _padding(conv)
    if layer.transposed:
        for row in range(2):
            for column in range(2):
                rows, above = _phase(kh, top, row)
                columns, before = _phase(kw, left, column)
                at = buffer.add(dense_weight(weight.transpose(0, 1)[:, :, rows][:, :, :, columns], lanes))
                edges = (above, before, len(rows) - 1 - above, len(columns) - 1 - before)
                shape = (len(rows), len(columns), 1, 1, *edges)
                yield PlanLayer(Kind.TRANSPOSED, conv.in_channels, out, *shape, act, lanes, at, bias_at)
        return
    at = buffer.add(weight[:, 0].permute(1, 2, 0).float() if depthwise else dense_weight(weight, lanes))
    shape = (kh, kw, sh, sw, top, left, top + layer.grow, left + layer.grow)
    kind = Kind.DEPTHWISE if depthwise else Kind.DENSE
    yield PlanLayer(kind, conv.in_channels, out, *shape, act, lanes, at, bias_at, layer.added)


def _padding(conv: nn.Conv2d | nn.ConvTranspose2d) -> tuple[int, int]:
    assert not isinstance(conv.padding, str)
    return conv.padding[0], conv.padding[1]


def _phase(size: int, padding: int, phase: int) -> tuple[list[int], int]:
    """Of a transposed convolution with stride 2: the taps that make every second output from `phase` on, in the order
    of the input they look at, and how many of these lie before the input of the same place."""
    taps = [u for u in range(size) if (phase + padding - u) % 2 == 0]
    return taps[::-1], -((phase + padding - taps[-1]) // 2)


def lanes_for(channels: int, widest: int) -> int:
    """Channels per vector: narrower ones where wide ones would compute many channels that are not there."""
    wide, few = -(-channels // widest) * widest, -(-channels // 8) * 8
    return 8 if wide > 1.15 * few else widest


def panels(channels: int, lanes: int) -> Iterator[int]:
    """Vectors per panel, as `panel_vectors` in dense.h."""
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
    deep, parts, begin = runs.reshape(-1, runs.shape[2]), [], 0
    for vectors in panels(out, lanes):
        panel = deep[:, begin : begin + vectors * lanes]
        begin += vectors * lanes
        parts.append(panel.reshape(-1, pack, vectors * lanes).transpose(1, 2).reshape(-1))
    return torch.cat(parts)
