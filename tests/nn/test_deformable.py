"""Deformable convolution against the ordinary one, which it is where taps stay or move by whole pixels. The golden of
`det_r50_db++` compares it with Paddle's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ptocr.nn.deformable import DeformConv, DeformConvBN, sampled


@pytest.mark.parametrize("stride", [1, 2])
@torch.inference_mode()
def test_taps_that_stay(stride: int) -> None:
    torch.manual_seed(0)
    layer, x = DeformConv(4, 6, 3, stride, groups=2).double(), torch.randn(2, 4, 9, 13, dtype=torch.float64)
    want = 0.5 * F.conv2d(
        x, layer.conv_dcn.weight, stride=stride, padding=1
    )  # fresh masks are the middle of the sigmoid
    torch.testing.assert_close(layer(x), want)


@torch.inference_mode()
def test_offsets_are_y_then_x_for_each_group() -> None:
    x = torch.arange(2 * 6 * 7, dtype=torch.float64).reshape(1, 2, 6, 7)
    offsets = torch.zeros(1, 4, 6, 7, dtype=torch.float64)
    offsets[:, 0], offsets[:, 3] = 1.0, 0.5  # first group: a row down; second: half a column to the right
    got = sampled(x, offsets, torch.ones(1, 2, 6, 7, dtype=torch.float64), 1, 1)
    down = F.pad(x[:, 0, 1:], (0, 0, 0, 1))
    right = (x[:, 1] + F.pad(x[:, 1, :, 1:], (0, 1))) / 2
    torch.testing.assert_close(got, torch.stack([down, right], dim=1))


@torch.inference_mode()
def test_folded_batch_norm() -> None:
    torch.manual_seed(0)
    layer, x = DeformConvBN(3, 5, act="relu").double(), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    layer.train()(x)
    layer.eval()
    want = layer(x)
    torch.testing.assert_close(layer.fused()(x), want)
