"""Fused networks on ptocr's own kernels: `nativize` replaces what these compute faster; the rest stays plain modules.

For compiled packages on a CPU: the rest is compiled around the kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ptocr.nn.backbones.pplcnet_v3 import PPLCNetV3Trunk
from ptocr.nn.backbones.stem import FusedStem
from ptocr.nn.heads.db import PyramidConv, doubling
from ptocr.nn.layers import SE, Affine, Residual
from ptocr.nn.necks.db_fpn import RSEFPN, RSELayer, coarsest_first, concat_at_finest, merge_top_down
from ptocr.nn.necks.rep_lk import RepLKFPN
from ptocr.runtime.cpu.chains import ACTIVATIONS, Convs, Layer, takes
from ptocr.runtime.cpu.plan import Added

MOST_WEIGHTS = 64 * 1024  # of a chain with several kernels larger than 1 x 1: they share the cache with rows of maps


def nativize(network: nn.Module, lanes: int) -> nn.Module:
    """Replace, in place, the convolutions and linear layers of a fused network; returns the network.

    lanes: channels per vector of the kernels, 16, 8 or 4.
    """
    if isinstance(network, PPLCNetV3Trunk):  # the largest maps of all, in one chain
        network.blocks3 = nn.Sequential(network.conv1, network.blocks2, network.blocks3)
        for name in ("conv1", "blocks2"):
            setattr(network, name, nn.Identity())
    for name, child in list(network.named_children()):
        setattr(network, name, _native(child, lanes))
    return network


def _native(module: nn.Module, lanes: int) -> nn.Module:
    """What a module becomes."""
    if type(module) in SPECIAL:
        return SPECIAL[type(module)](module, lanes)
    if type(module) in (nn.Sequential, Residual):
        return _native_sequence(module, lanes)  # type: ignore[arg-type]
    return Convs([Layer(module)], lanes) if takes(module) else nativize(module, lanes)  # type: ignore[arg-type]


def _native_sequence(sequence: nn.Sequential, lanes: int) -> nn.Module:
    """A sequence with its runs of convolutions as chains."""
    if isinstance(sequence, Residual):
        body = _body(sequence)
        return Convs(body, lanes) if body else nativize(sequence, lanes)
    leaves, made, at = _leaves(sequence), nn.Sequential(), 0
    while at < len(leaves):
        head = leaves[at]
        if isinstance(head, PyramidConv):
            layers, at = _run(leaves, at + 1, [Layer(head.fine, added=Added.OTHER)])
            made.append(NativePyramidConv(head, layers, lanes))
            continue
        gate = head if isinstance(head, SE) else None
        layers, end = _run(leaves, at + (gate is not None))
        if gate and layers and layers[0].pointwise and layers[0].conv.in_channels % 8 == 0:  # whole vectors
            made.append(NativeSE(gate, layers, lanes))
        elif layers and not gate:
            made.append(Convs(layers, lanes))
        else:
            made.append(_native(head, lanes))
            end = at + 1
        at = end
    return made


def _leaves(module: nn.Module) -> list[nn.Module]:
    """The layers of nested sequences, one after the other."""
    if type(module) is not nn.Sequential:
        return [] if isinstance(module, nn.Identity) else [module]
    return [leaf for child in module for leaf in _leaves(child)]


def _run(leaves: list[nn.Module], at: int = 0, layers: list[Layer] | None = None) -> tuple[list[Layer], int]:
    """The layers of one chain from place `at` on, behind those given, and the place behind them."""
    layers = layers or []
    while at < len(leaves):
        leaf = leaves[at]
        last = layers[-1] if layers else None
        if takes(leaf):
            layer = Layer(leaf)  # type: ignore[arg-type]
            if layers and not _continues(layers, layer):
                break
            layers.append(layer)
        elif body := _body(leaf):
            if last and not last.spatial:  # something else entered these pointwise layers
                break
            layers += body
        elif (
            last
            and type(leaf) in ACTIVATIONS
            and last.act is None
            and last.affine is None
            and last.added != Added.ENTERING
        ):
            last.act = leaf
        elif last and isinstance(leaf, Affine) and last.affine is None:
            last.affine = leaf
        else:
            break
        at += 1
    return layers, at


def _continues(layers: list[Layer], layer: Layer) -> bool:
    """Whether a chain goes on with this layer: always if it is pointwise, else while all weights stay in the cache."""
    if layer.transposed or layers[0].transposed:
        return False
    return layer.pointwise or sum(each.conv.weight.numel() for each in [*layers, layer]) <= MOST_WEIGHTS


def _body(module: nn.Module) -> list[Layer]:
    """The layers of a residual of pointwise ones; [] if it is something else.

    Nothing stands behind the last convolution: what is added is added before an activation.
    """
    if not isinstance(module, Residual):
        return []
    leaves = _leaves(nn.Sequential(*module))
    layers, end = _run(leaves)
    bare = bool(layers) and layers[-1].act is None and layers[-1].affine is None
    if end < len(leaves) or not bare or not all(layer.pointwise for layer in layers):
        return []
    layers[-1].added = Added.ENTERING
    return layers


class NativeLinear(nn.Module):
    """A linear layer as a pointwise convolution over a map of height 1: (N, L, in) -> (N, L, out)."""

    def __init__(self, linear: nn.Linear, lanes: int) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight.detach(), linear.bias
        conv = nn.Conv2d(linear.in_features, linear.out_features, 1, device="meta")
        conv.weight = nn.Parameter(linear.weight.detach()[:, :, None, None], requires_grad=False)
        conv.bias = linear.bias
        self.convs = Convs([Layer(conv)], lanes)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, 1, x.shape[-2], x.shape[-1]).permute(0, 3, 1, 2)
        return self.convs(rows).permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


class NativeSE(nn.Module):
    """Squeeze-excite and the chain behind it, which scales the channels in passing."""

    def __init__(self, se: SE, layers: list[Layer], lanes: int) -> None:
        super().__init__()
        self.se = nativize(se, lanes)
        self.chain = Convs(layers, lanes, gated=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.chain(x, gates=self.se.gates(x))  # type: ignore[operator]


class NativePyramidConv(nn.Module):
    """`PyramidConv` and the layers behind it: the coarser maps' part is added to the finest one's in passing."""

    def __init__(self, pyramid: PyramidConv, layers: list[Layer], lanes: int) -> None:
        super().__init__()
        self.coarse = Convs([Layer(pyramid.coarse)], lanes)
        self.chain = Convs(layers, lanes)

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.chain(maps[0], self.coarse(concat_at_finest(maps[1:])))


class NativeStem(nn.Module):
    """`FusedStem`: most maps exist only a few rows at a time."""

    def __init__(self, stem: FusedStem, lanes: int) -> None:
        super().__init__()
        first, second, third, last = (_run(_leaves(p))[0] for p in (stem.stem1, stem.stem2a, stem.stem2b, stem.stem4))
        second[0].grow = third[0].grow = 1
        self.first = Convs(first, lanes)
        self.pooled = Convs([Layer(stem.pooled)], lanes, pooled=True)
        joined = Layer(stem.convolved, nn.ReLU(), added=Added.OTHER)
        self.tail = Convs([*second, *third, joined, *last], lanes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.tail(x, self.pooled(x))


class NativeRSEFPN(nn.Module):
    """`RSEFPN` whose finest level is computed from its few input channels.

    What the level's 3 x 3 convolution looks at is a scaled pointwise convolution of the input plus the coarser level,
    doubled in size. The first part is one 3 x 3 convolution of the input, its weights made for every picture; the
    second is a transposed convolution of the coarser level.
    """

    def __init__(self, neck: RSEFPN, lanes: int) -> None:
        super().__init__()
        inside, outside = neck.ins_conv[0], neck.inp_conv[0]
        assert isinstance(inside, RSELayer) and isinstance(outside, RSELayer)
        self.finest = Convs([Layer(outside.in_conv, added=Added.OTHER)], lanes, mixed=inside.in_conv)
        self.coarser = Convs([Layer(doubling(outside.in_conv))], lanes)
        self.inside, self.outside = nativize(inside, lanes), nativize(outside.se_block, lanes)
        self.ins_conv, self.inp_conv = nativize(neck.ins_conv[1:], lanes), nativize(neck.inp_conv[1:], lanes)
        self.join = neck.join

    def forward(self, maps: list[Tensor]) -> Tensor:
        merged = merge_top_down(coarsest_first(self.ins_conv, maps[1:]))  # type: ignore[arg-type]
        levels = coarsest_first(self.inp_conv, merged)  # type: ignore[arg-type]
        finest = self.finest(maps[0], self.coarser(merged[0]), scales(self.inside, maps[0]))
        return self.join([excited(self.outside, finest, self.inside.shortcut), *levels])


class NativeRepLKFPN(nn.Module):
    """`RepLKFPN` whose finest level is one chain: its maps of many channels exist only a few rows at a time."""

    def __init__(self, neck: RepLKFPN, lanes: int) -> None:
        super().__init__()
        inside = neck.ins_conv[0]
        assert isinstance(inside, RSELayer)
        layers, _ = _run(_leaves(nn.Sequential(neck.inp_conv_dw[0], neck.inp_conv_pw[0])))
        self.finest = Convs([Layer(inside.in_conv, added=Added.DOUBLED), *layers], lanes, scaled=True)
        self.inside = nativize(inside, lanes)
        self.neck = nativize(neck, lanes)

    def forward(self, maps: list[Tensor]) -> Tensor:
        neck: Any = self.neck
        merged = merge_top_down(coarsest_first(neck.ins_conv[1:], maps[1:]))
        levels = [neck.level(i, x) for i, x in enumerate(merged, 1)]
        finest = self.finest(maps[0], merged[0], scales(self.inside, maps[0]))
        return neck.join([excited(neck.inp_conv_se[0], finest, neck.shortcut), *levels])


def scales(layer: nn.Module, x: Tensor) -> Tensor:
    """What an RSELayer multiplies its convolution's output with, from the mean of its input: (N, C, 1, 1)."""
    gates = layer.se_block.gates(layer.in_conv(x.mean((2, 3), keepdim=True)))  # type: ignore[operator,union-attr]
    return 1 + gates if layer.shortcut else gates


def excited(se: nn.Module, x: Tensor, shortcut: bool) -> Tensor:
    """Squeeze-excite, with or without its input added."""
    return se.residual(x) if shortcut else se(x)  # type: ignore[operator]


SPECIAL: dict[type[nn.Module], Callable[[Any, int], nn.Module]] = {
    FusedStem: NativeStem,
    RSEFPN: NativeRSEFPN,
    RepLKFPN: NativeRepLKFPN,
    nn.Linear: NativeLinear,
}
