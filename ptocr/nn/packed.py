"""Fused networks on the CPU: layer and activation in one oneDNN call, weights laid out for it once.

The operators are those that torch's own compiler emits; networks stay plain modules and answers stay the same to
rounding. `pack` changes nothing where torch was built without oneDNN.

How oneDNN wants the weights of a dense convolution depends on the size of the picture, and weights laid out for another
size cost more than plain ones; those of a matrix product do not. So 1 x 1 convolutions become matrix products
(`pointwise`, for the compiler as well), depthwise convolutions are laid out, and other dense ones keep plain weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import Affine

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
ROWS = 64  # pixels that the weights of matrix products are laid out for; the layout is the same for any number


class Pointwise(nn.Module):
    """A 1 x 1 convolution as a matrix product: (N, C, H, W) -> (N, O, H, W), both channels last in memory."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach()[:, :, 0, 0].contiguous(), requires_grad=False)
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


def pointwise(network: nn.Module) -> nn.Module:
    """Replace, in place, every dense 1 x 1 convolution of a fused network; returns the network."""
    for name, child in network.named_children():
        setattr(network, name, Pointwise(child) if _is_pointwise(child) else pointwise(child))
    return network


def _is_pointwise(module: nn.Module) -> bool:
    plain = isinstance(module, nn.Conv2d) and module.kernel_size == module.stride == (1, 1) and module.groups == 1
    return plain and module.padding in ((0, 0), "valid", "same")


class PackedPointwise(nn.Module):
    """A matrix product over the channels with the activation that follows it."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: Pointwise, post_op: str = "none") -> None:
        super().__init__()
        self.post_op = post_op
        packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), ROWS)
        self.register_buffer("weight", packed, persistent=False)
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 1)
        algorithm = ALGORITHMS.get(self.post_op, "")
        y = torch.ops.mkldnn._linear_pointwise(rows, self.weight, self.bias, self.post_op, [], algorithm)
        return y.permute(0, 3, 1, 2)


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
        ops = torch.ops.mkldnn
        weight = conv.weight.detach().contiguous(memory_format=torch.channels_last)
        if self.transposed:
            self.output_padding = list(conv.output_padding)
            packed = ops._reorder_convolution_transpose_weight(
                weight, padding, self.output_padding, stride, dilation, conv.groups
            )
        elif conv.groups > 1:
            packed = ops._reorder_convolution_weight(weight, padding, stride, dilation, conv.groups)
        else:
            packed = weight
        self.register_buffer("weight", packed, persistent=False)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        padding, stride, dilation = self.shape
        ops = torch.ops.mkldnn
        if self.transposed:
            return ops._convolution_transpose_pointwise(
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
        return ops._convolution_pointwise(
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


def can_pack() -> bool:
    """Whether this torch has the operators."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def pack(network: nn.Module) -> nn.Module:
    """Replace, in place, every convolution and `Pointwise` of a fused network on the CPU, with the activation behind it
    in the same `nn.Sequential`; returns the network."""
    if not can_pack():
        return network
    for name, child in list(network.named_children()):
        if isinstance(child, nn.Sequential):
            setattr(network, name, _pack_sequence(child))
        elif _packs(child):
            setattr(network, name, _packed(child))
        else:
            pack(child)
    return network


def _packs(module: nn.Module) -> bool:
    if isinstance(module, Pointwise):
        return True
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return False
    return module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _packed(layer: nn.Module, post_op: str = "none") -> PackedConv | PackedPointwise:
    return PackedPointwise(layer, post_op) if isinstance(layer, Pointwise) else PackedConv(layer, post_op)


def _pack_sequence(sequence: nn.Sequential) -> nn.Sequential:
    layers: list[nn.Module] = []
    pending: nn.Module | None = None
    for layer in [*sequence, None]:
        if pending is not None:
            post_op = POST_OPS.get(type(layer), "none") if layer is not None else "none"
            layers.append(_packed(pending, post_op))
            pending = None
            if post_op != "none":
                continue
        if layer is None:
            break
        if _packs(layer):
            pending = layer
        elif isinstance(layer, Affine) and layers and isinstance(layers[-1], PackedConv | PackedPointwise):
            layers.append(InPlaceAffine(layer))
        else:
            layers.append(_pack_sequence(layer) if isinstance(layer, nn.Sequential) else pack(layer))
    return nn.Sequential(*layers)
