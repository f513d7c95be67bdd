"""Fused networks on the CPU: convolution and activation in one oneDNN call, on plain modules' weights.

The operators are those that torch's own compiler emits; networks stay plain modules and answers stay the same to
rounding. `laid_out` changes nothing where torch was built without oneDNN.

How oneDNN wants the weights of a dense convolution depends on the size of the picture, and weights laid out for another
size cost far more than plain ones: so only those of depthwise convolutions are laid out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptocr.nn.layers import Affine
from ptocr.runtime import torch_private

# activation -> oneDNN's name for it as a post-operation
POST_OPS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Hardswish: "hardswish",
    nn.SiLU: "swish",
    nn.Sigmoid: "sigmoid",
    nn.Hardsigmoid: "hardsigmoid",
    nn.GELU: "gelu",
}
ALGORITHMS = {"gelu": "none"}  # the exact one, by the error function


class PackedConv(nn.Module):
    """A convolution, or transposed convolution, with the activation that follows it."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, post_op: str = "none") -> None:
        super().__init__()
        self.post_op = post_op
        self.algorithm = ALGORITHMS.get(post_op, "")
        self.shape = (list(conv.padding), list(conv.stride), list(conv.dilation))
        self.groups = conv.groups
        self.transposed = isinstance(conv, nn.ConvTranspose2d)
        padding, stride, dilation = self.shape
        weight = conv.weight.detach().contiguous(memory_format=torch.channels_last)
        if self.transposed:
            self.output_padding = list(conv.output_padding)
            packed = torch_private.packed_weight(weight, padding, stride, dilation, conv.groups, self.output_padding)
        elif conv.groups > 1:
            packed = torch_private.packed_weight(weight, padding, stride, dilation, conv.groups)
        else:
            packed = weight
        self.register_buffer("weight", packed, persistent=False)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        padding, stride, dilation = self.shape
        if self.transposed:
            return torch_private.packed_transposed_convolution()(
                x,
                self.weight,
                self.bias,
                padding,
                self.output_padding,
                stride,
                dilation,
                self.groups,
                self.post_op,
                [],
                self.algorithm,
            )
        return torch_private.packed_convolution()(
            x, self.weight, self.bias, padding, stride, dilation, self.groups, self.post_op, [], self.algorithm
        )


class InPlaceAffine(nn.Module):
    """An affine layer right behind a convolution, whose output nobody else sees."""

    bias: Tensor

    def __init__(self, layer: Affine) -> None:
        super().__init__()
        self.scale = layer.scale
        self.register_buffer("bias", layer.bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.bias, x, alpha=self.scale, out=x)


def laid_out(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The fused network, changed in place, for eager inference in a number type that oneDNN computes in."""
    return pack(network) if torch_private.has_packed_convolutions(dtype) else network


def pack(network: nn.Module) -> nn.Module:
    """Replace, in place, every convolution of a fused network on the CPU, with the activation behind it in the same
    `nn.Sequential`; returns the network."""
    for name, child in list(network.named_children()):
        if isinstance(child, nn.Sequential):
            setattr(network, name, _pack_sequence(child))
        elif _packs(child):
            setattr(network, name, PackedConv(child))
        else:
            pack(child)
    return network


def _packs(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return False
    return module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _pack_sequence(sequence: nn.Sequential) -> nn.Sequential:
    layers: list[nn.Module] = []
    pending: nn.Module | None = None
    for layer in [*sequence, None]:
        if pending is not None:
            post_op = POST_OPS.get(type(layer), "none") if layer is not None else "none"
            layers.append(PackedConv(pending, post_op))
            pending = None
            if post_op != "none":
                continue
        if layer is None:
            break
        if _packs(layer):
            pending = layer
        elif isinstance(layer, Affine) and layers and isinstance(layers[-1], PackedConv):
            layers.append(InPlaceAffine(layer))
        else:
            layers.append(_pack_sequence(layer) if isinstance(layer, nn.Sequential) else pack(layer))
    return type(sequence)(*layers)
