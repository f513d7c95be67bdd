"""Packed convolutions equal the modules they replace, whatever the shape, the activation and the data type."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ptocr.nn.layers import Affine, LearnableAffine
from ptocr.runtime.cpu.packed import InPlaceAffine, PackedConv, laid_out, pack
from ptocr.runtime.torch_private import has_packed_convolutions

pytestmark = pytest.mark.skipif(not has_packed_convolutions(), reason="torch without oneDNN")

CONVS = {
    "pointwise": lambda: nn.Conv2d(6, 8, 1),
    "pointwise, no bias": lambda: nn.Conv2d(6, 8, 1, bias=False),
    "dense": lambda: nn.Conv2d(6, 8, 3, padding=1),
    "strided": lambda: nn.Conv2d(6, 8, 3, stride=(2, 1), padding=1),
    "dilated": lambda: nn.Conv2d(6, 8, 3, padding=2, dilation=2),
    "depthwise": lambda: nn.Conv2d(8, 8, 5, padding=2, groups=8),
    "no bias": lambda: nn.Conv2d(6, 8, (1, 3), padding=(0, 1), bias=False),
    "transposed": lambda: nn.ConvTranspose2d(6, 8, 2, stride=2),
    "transposed, padded": lambda: nn.ConvTranspose2d(6, 8, 4, stride=2, padding=1, output_padding=1),
}
ACTIVATIONS = {
    "none": None,
    "relu": nn.ReLU,
    "hardswish": nn.Hardswish,
    "swish": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
    "gelu": nn.GELU,
    "elu, not a post-operation": nn.ELU,
}


def both(network: nn.Sequential, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    network = network.eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        plain = network(x)
        packed = pack(nn.Sequential(network))
        assert not any(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in packed.modules())
        return plain, packed(x)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("conv", CONVS)
def test_equals_plain_modules(conv: str, act: str) -> None:
    torch.manual_seed(0)
    layer = CONVS[conv]()
    activation = ACTIVATIONS[act]
    x = torch.randn(2, layer.in_channels, 9, 14).to(memory_format=torch.channels_last)
    plain, packed = both(nn.Sequential(layer, *([activation()] if activation else [])), x)
    torch.testing.assert_close(packed, plain, rtol=1e-5, atol=1e-6)


def test_activation_goes_into_the_convolution() -> None:
    packed = pack(nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Tanh())))
    layers = list(packed[0])
    assert [type(layer) for layer in layers] == [PackedConv, PackedConv, nn.Tanh]
    assert [layer.post_op for layer in layers[:2]] == ["relu", "none"]


def test_affine_behind_a_convolution_works_in_place_and_elsewhere_not() -> None:
    learnable = LearnableAffine()
    learnable.scale.data.fill_(1.7)
    learnable.bias.data.fill_(-0.3)
    affine = Affine(learnable)
    x = torch.randn(1, 3, 5, 6)
    before = x.clone()
    plain, packed = both(nn.Sequential(affine, nn.Conv2d(3, 3, 1), nn.Hardswish(), affine), x)
    torch.testing.assert_close(packed, plain, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(x, before, rtol=0, atol=0)
    kinds = [type(layer) for layer in pack(nn.Sequential(nn.Sequential(affine, nn.Conv2d(3, 3, 1), affine)))[0]]
    assert kinds == [Affine, PackedConv, InPlaceAffine]


@pytest.mark.skipif(not has_packed_convolutions(torch.bfloat16), reason="no bfloat16 on this processor")
def test_bfloat16() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Hardswish()).to(torch.bfloat16)
    plain, packed = both(network, torch.randn(1, 8, 6, 6, dtype=torch.bfloat16))
    assert packed.dtype == torch.bfloat16
    torch.testing.assert_close(packed, plain, rtol=0.02, atol=0.02)


def test_a_number_type_that_onednn_cannot_compute_in_stays_plain() -> None:
    network = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1)).half()
    assert type(laid_out(network, torch.float16)[0]) is nn.Conv2d


def test_reflecting_padding_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")))
    x = torch.randn(1, 3, 6, 6)
    with torch.inference_mode():
        torch.testing.assert_close(pack(network)(x), network(x))
    assert any(isinstance(m, nn.Conv2d) for m in network.modules())
