"""Fusing, once for every network.

`fuse(model, only=Reparam)` gives the form that Paddle's export writes (training branches merged into one convolution);
`fuse(model)` also folds batch norms and learnable affine layers into the convolutions.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval

Conv = nn.Conv2d | nn.ConvTranspose2d
AnyConv = TypeVar("AnyConv", nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


class Fusible(nn.Module):
    """A module that can be replaced by an equal but cheaper one in evaluation mode."""

    def fused(self) -> nn.Module:
        """The replacement, equal in evaluation mode. Never changes self."""
        raise NotImplementedError


class Reparam(Fusible):
    """Many training branches that Paddle's export merges into one convolution."""


def fuse(model: nn.Module, only: type[Fusible] = Fusible) -> nn.Module:
    """A copy of `model` in evaluation mode, every `only` module replaced by its fused form; `model` is untouched."""
    return _walk(copy.deepcopy(model).eval(), only)


def _walk(module: nn.Module, only: type[Fusible]) -> nn.Module:
    while isinstance(module, only):
        module = module.fused().eval()
    for name, child in module.named_children():
        setattr(module, name, _walk(child, only))
    return module


@torch.no_grad()
def fold_bn(conv: AnyConv, bn: nn.BatchNorm1d | nn.BatchNorm2d) -> AnyConv:
    """conv (or a linear layer) followed by bn as one, computed in float64 and returned in the type of `conv`."""
    if conv.weight.is_meta:  # only the shape is asked for
        shape = copy.deepcopy(conv)
        shape.bias = nn.Parameter(torch.empty(bn.num_features, device="meta"), requires_grad=False)
        return shape
    dtype = conv.weight.dtype
    wide_conv, wide_bn = copy.deepcopy(conv).double(), copy.deepcopy(bn).double()
    if isinstance(wide_conv, nn.Linear):
        fused = fuse_linear_bn_eval(wide_conv.eval(), wide_bn.eval())
    else:
        fused = fuse_conv_bn_eval(wide_conv.eval(), wide_bn.eval(), transpose=isinstance(conv, nn.ConvTranspose2d))
    return fused.type(dtype).requires_grad_(False)


M = TypeVar("M", bound=nn.Module)


def with_folded(module: nn.Module, kind: type[M], pairs: Mapping[str, str]) -> M:
    """A `kind` with the children of `module`, in which convolutions have taken in the batch norms behind them.

    pairs: name of a convolution -> name of its batch norm, which becomes the identity.
    """
    result = kind.__new__(kind)
    nn.Module.__init__(result)
    own = {key: value for key, value in module.__dict__.items() if not key.startswith("_")}
    result.__dict__.update(own, training=False, _parameters=dict(module._parameters), _modules=dict(module._modules))
    for conv, bn in pairs.items():
        result._modules[conv] = fold_bn(module._modules[conv], module._modules[bn])  # type: ignore[type-var, arg-type]
        result._modules[bn] = nn.Identity()
    return result


@torch.no_grad()
def scaled(conv: Conv, scale: Tensor, shift: Tensor) -> Conv:
    """conv followed by `y * scale + shift` (one value, or one per output channel) as one convolution."""
    result = copy.deepcopy(conv)
    scale, shift = scale.double(), shift.double()
    bias = torch.zeros(conv.out_channels, dtype=torch.float64) if conv.bias is None else conv.bias.double()
    if isinstance(conv, nn.ConvTranspose2d):
        per_weight = (
            scale.expand(conv.out_channels)
            .reshape(conv.groups, -1)
            .repeat_interleave(conv.in_channels // conv.groups, dim=0)[:, :, None, None]
        )
    else:
        per_weight = scale.expand(conv.out_channels)[:, None, None, None]
    result.weight = nn.Parameter((conv.weight.double() * per_weight).type(conv.weight.dtype), requires_grad=False)
    result.bias = nn.Parameter((bias * scale + shift).type(conv.weight.dtype), requires_grad=False)
    return result


@torch.no_grad()
def absorb(conv: nn.Conv2d, scale: float, shift: float) -> nn.Conv2d:
    """`x * scale + shift` followed by conv as one convolution; exact for convolutions without padding only."""
    assert conv.padding == (0, 0), "padding would not be shifted"
    result = copy.deepcopy(conv)
    weight = conv.weight.double()
    bias = torch.zeros(conv.out_channels, dtype=torch.float64) if conv.bias is None else conv.bias.double()
    bias = bias + shift * weight.sum((1, 2, 3))
    result.weight = nn.Parameter((weight * scale).type(conv.weight.dtype), requires_grad=False)
    result.bias = nn.Parameter(bias.type(conv.weight.dtype), requires_grad=False)
    return result


@torch.no_grad()
def identity_conv(like: nn.Conv2d) -> nn.Conv2d:
    """A convolution of the shape of `like` that returns its input (float64)."""
    conv = nn.Conv2d(
        like.in_channels, like.out_channels, like.kernel_size, padding=like.padding, groups=like.groups, bias=False
    ).double()
    nn.init.dirac_(conv.weight, groups=like.groups)
    return conv


@torch.no_grad()
def merge_convs(target: nn.Conv2d, branches: list[nn.Conv2d]) -> nn.Conv2d:
    """Fill `target` (has a bias) with the sum of parallel convolutions of at most its kernel size, and return it.

    Smaller kernels, and dilated ones whose spread kernel fits, are placed at the centre.
    """
    if target.weight.is_meta:  # only the shape is asked for
        return target.requires_grad_(False)
    height, width = target.kernel_size
    weight = torch.zeros(target.weight.shape, dtype=torch.float64)
    bias = torch.zeros(target.out_channels, dtype=torch.float64)
    for conv in branches:
        kernel = spread(conv)
        top, left = (height - kernel.shape[2]) // 2, (width - kernel.shape[3]) // 2
        weight[:, :, top : top + kernel.shape[2], left : left + kernel.shape[3]] += kernel
        if conv.bias is not None:
            bias += conv.bias.double()
    target.weight.copy_(weight)
    assert target.bias is not None
    target.bias.copy_(bias)
    return target.requires_grad_(False)


def spread(conv: nn.Conv2d) -> Tensor:
    """The kernel in float64 with dilation written out as zeros: (out, in / groups, H, W)."""
    kernel = conv.weight.double()
    step_h, step_w = conv.dilation
    if (step_h, step_w) == (1, 1):
        return kernel
    out, inner, height, width = kernel.shape
    wide = kernel.new_zeros(out, inner, (height - 1) * step_h + 1, (width - 1) * step_w + 1)
    wide[:, :, ::step_h, ::step_w] = kernel
    return wide
