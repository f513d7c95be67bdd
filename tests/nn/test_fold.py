"""Blocks of PP-OCRv6 and UVDoc compute the same before and after fusing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.backbones.pplcnet_v4 import Block, RepDepthwise
from ptocr.nn.backbones.stem import Stem
from ptocr.nn.fuse import Reparam, fuse
from ptocr.nn.heads.ctc import CTCHead
from ptocr.nn.heads.db import PyramidConv
from ptocr.nn.layers import FoldingSequential, max_2x2
from ptocr.nn.necks.db_fpn import concat_at_finest
from ptocr.nn.necks.intracl import IntraCLBlock
from ptocr.nn.necks.light_svtr import EncoderWithLightSVTR
from ptocr.nn.necks.rep_lk import DILATED, DilatedRep, DilatedRepConv, RepLKFPN, RepLKPAN
from ptocr.nn.uvdoc import Block as UVBlock

Randomize = Callable[[nn.Module], nn.Module]


def pyramid_input(channels: list[int]) -> list[Tensor]:
    return [torch.randn(1, c, 32 >> i, 48 >> i, dtype=torch.float64) for i, c in enumerate(channels)]


BLOCKS = {
    "conv-bn sequence": (lambda: FoldingSequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU()), (2, 4, 9, 7)),
    "transposed conv": (lambda: FoldingSequential(nn.ConvTranspose2d(4, 6, 2, 2), nn.BatchNorm2d(6)), (2, 4, 5, 7)),
    "depthwise rep": (lambda: RepDepthwise(8), (2, 8, 9, 11)),
    "stem": (lambda: Stem(8, 16), (1, 3, 32, 40)),
    "v4 block": (lambda: Block(8, 8, 1, se=True), (2, 8, 9, 11)),
    "v4 down block": (lambda: Block(8, 12, (2, 1), se=False), (2, 8, 9, 11)),
    "dilated 5": (lambda: DilatedRep(8, 5), (1, 8, 12, 10)),
    "dilated 7": (lambda: DilatedRep(8, 7), (1, 8, 12, 10)),
    "dilated 9": (lambda: DilatedRep(8, 9), (1, 8, 12, 10)),
    "dilated conv": (lambda: DilatedRepConv(8, 4), (1, 8, 12, 10)),
    "intra-class": (lambda: IntraCLBlock(16, 2), (1, 16, 12, 10)),
    "light svtr": (lambda: EncoderWithLightSVTR(24, dims=16, depth=1), (2, 24, 1, 20)),
    "ctc with guide": (lambda: CTCHead(16, 40, mid_channels=8, use_guide=True), (2, 20, 16)),
    "uvdoc first": (lambda: UVBlock(4, 8, 2, first=True), (1, 4, 16, 12)),
    "uvdoc dilated": (lambda: UVBlock(8, 8, 1, first=False), (1, 8, 16, 12)),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_fused_equals_eager(name: str, randomized: Randomize) -> None:
    build, shape = BLOCKS[name]
    module = randomized(build()).double()
    x = torch.randn(shape, dtype=torch.float64)
    with torch.no_grad():
        want, deploy, fused = module(x), fuse(module, only=Reparam)(x), fuse(module)(x)
    assert want.abs().max() > 1e-3
    torch.testing.assert_close(deploy, want, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(fused, want, rtol=1e-9, atol=1e-9)
    assert not [m for m in fuse(module).modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]


PYRAMIDS = {
    "fpn": RepLKFPN([4, 6, 8, 10], 16, 5),
    "fpn without shortcut": RepLKFPN([4, 6, 8, 10], 16, 7, shortcut=False),
    "pan": RepLKPAN([4, 6, 8, 10], 16, intracl=True),
}


@pytest.mark.parametrize("name", PYRAMIDS)
def test_pyramid_fused_equals_eager(name: str, randomized: Randomize) -> None:
    neck = randomized(PYRAMIDS[name]).double()
    maps = pyramid_input([4, 6, 8, 10])
    with torch.no_grad():
        want = neck(maps)
        assert want.shape == (1, 16, 32, 48)
        torch.testing.assert_close(fuse(neck, only=Reparam)(maps), want, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(concat_at_finest(fuse(neck)(maps)), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [3, 7])
def test_pyramid_convolved_level_by_level_equals_the_whole(size: int) -> None:
    conv = nn.Conv2d(16, 5, size, padding=size // 2).double()
    maps = pyramid_input([4, 4, 4, 4])
    with torch.no_grad():
        want = conv(concat_at_finest(maps))
        torch.testing.assert_close(PyramidConv(conv).double()(maps), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kernel_size", DILATED)
def test_dilated_branches_become_one_kernel(kernel_size: int, randomized: Randomize) -> None:
    merged = randomized(DilatedRep(6, kernel_size)).fused()
    assert {k: tuple(v.shape) for k, v in merged.state_dict().items()} == {
        "lk_origin.weight": (6, 1, kernel_size, kernel_size),
        "lk_origin.bias": (6,),
    }


def test_dilated_kernel_reaches_the_corner() -> None:
    """A lone 3 x 3 branch of dilation 4 looks 4 pixels away and nowhere between."""
    module = DilatedRep(1, 9).eval()
    for conv, _ in module.branches():
        nn.init.zeros_(conv.weight)
    nn.init.ones_(module.dil_conv_k3_4.weight)
    kernel = module.fused().lk_origin.weight[0, 0]
    expected = torch.zeros(9, 9)
    expected[::4, ::4] = 1 / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(kernel, expected)


def test_folding_keeps_what_has_no_convolution_before_it() -> None:
    sequence = FoldingSequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.BatchNorm2d(4))
    kept = [type(m).__name__ for m in sequence.eval().fused().children()]
    assert kept == ["BatchNorm2d", "Conv2d", "ReLU", "BatchNorm2d"]


def test_stem_pads_right_and_bottom() -> None:
    """Paddle's "SAME" for a 2 x 2 kernel: pixel (0, 0) sees (0, 0) .. (1, 1), the last one only itself."""
    stem = Stem(2, 4).eval()
    for name in ("stem2a", "stem2b"):
        conv = getattr(stem, name).conv
        nn.init.zeros_(conv.weight)
        conv.weight.data[:, 0, 1, 1] = 1  # look one pixel right and down
    seen: list[Tensor] = []
    stem.stem3.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        x = stem.stem1(torch.rand(1, 3, 16, 20))
        stem.stem1.register_forward_hook(lambda *_: x)
        stem(torch.zeros(1, 3, 16, 20))
    pooled, shifted = seen[0][:, :2], seen[0][:, 2:]
    scale = 1 / (1 + 1e-5)  # two batch norms at their start values
    want = F.pad(x[:, :1, 2:, 2:] * scale, (0, 2, 0, 2)).expand(-1, 2, -1, -1)
    torch.testing.assert_close(shifted, want)
    torch.testing.assert_close(pooled[..., -1, -1], x[..., -1, -1])
    torch.testing.assert_close(pooled[..., 0, 0], x[..., :2, :2].amax((2, 3)))


def test_max_2x2_is_a_pooling() -> None:
    x = torch.randn(2, 3, 7, 9)
    assert torch.equal(max_2x2(x), F.max_pool2d(x, 2, 1))
