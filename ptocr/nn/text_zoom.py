"""Super-resolution of text lines: TBSRN (Scene Text Telescope, CVPR 2021), TSRN (arXiv 2005.03341; Text Gestalt).

Upstream: ppocr/modeling/transforms/tbsrn.py, tsrn.py, heads/sr_rensnet_transformer.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, with_folded
from ptocr.nn.layers import FoldingSequential
from ptocr.nn.network import Network
from ptocr.nn.transforms.stn import EdgeNetwork, spline, straightened

WIDTH = 64  # channels
BLOCKS = 5
HEADS = 4
POINTS, MARGINS = 20, (0.05, 0.05)  # control points of the straightening, and how far from the edges they lie
KEPT = 0.9  # of attention weights and hidden values: upstream's dropout scales in evaluation, not in training


class PReLU(nn.Module):
    """PReLU with one slope, under Paddle's name."""

    def __init__(self) -> None:
        super().__init__()
        self._weight = nn.Parameter(torch.full((1,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self._weight)


class GRURows(nn.Module):
    """A bidirectional GRU along every row of a map: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.gru = nn.GRU(channels, channels // 2, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.conv1(x).permute(0, 2, 3, 1)  # (N, H, W, C)
        return self.gru(rows.flatten(0, 1))[0].unflatten(0, rows.shape[:2]).permute(0, 3, 1, 2)


class PlainNorm(nn.Module):
    """Layer normalization that divides by the unbiased deviation plus 1e-6."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a_2 = nn.Parameter(torch.ones(channels))
        self.b_2 = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.a_2 * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6) + self.b_2


class MultiHead(nn.Module):
    """Self-attention over a sequence (N, L, C) with separate projections."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (linear(x).unflatten(2, (HEADS, -1)).transpose(1, 2) for linear in self.linears[:3])
        dropped = 1 - KEPT if self.training else 0.0
        seen = KEPT * F.scaled_dot_product_attention(q, k, v, dropout_p=dropped)
        return self.linears[3](seen.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, channels: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or channels
        self.w_1, self.w_2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(KEPT * F.dropout(F.relu(self.w_1(x)), 1 - KEPT, self.training))


def grid_codes(channels: int, height: int, width: int, like: Tensor) -> Tensor:
    """Sines and cosines of a cell's column, then of its row: (channels, height, width)."""
    half = channels // 2
    rates = torch.exp(torch.arange(0, half, 2, device=like.device) * -(math.log(10000.0) / half))
    codes = []
    for size, shape in ((width, (half, 1, width)), (height, (half, height, 1))):
        angles = torch.arange(size, device=like.device).unsqueeze(1) * rates
        pairs = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)  # (size, half)
        codes.append(pairs.T.reshape(shape).expand(half, height, width))
    return torch.cat(codes).to(like)


class FeatureEnhancer(nn.Module):
    """A map whose cells see each other and know where they stand: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.multihead = MultiHead(2 * channels)
        self.mul_layernorm1 = PlainNorm(2 * channels)
        self.pff = FeedForward(2 * channels)
        self.mul_layernorm3 = PlainNorm(2 * channels)
        self.linear = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        codes = grid_codes(channels, height, width, x).expand(n, -1, -1, -1)
        y = torch.cat([x, codes], dim=1).flatten(2).transpose(1, 2)  # (N, H * W, 2 C)
        y = self.mul_layernorm1(y + self.multihead(y))
        y = self.linear(self.mul_layernorm3(y + self.pff(y)))
        return y.transpose(1, 2).unflatten(2, (height, width))


class _Convs(nn.Module):
    """Two convolutions with batch norms and Mish between them."""

    conv1: nn.Module
    bn1: nn.Module
    conv2: nn.Module
    bn2: nn.Module

    def convs(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(F.mish(self.bn1(self.conv1(x)))))


class _Recurrent(_Convs):
    gru1: nn.Module
    gru2: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        columns = self.gru1(self.convs(x).transpose(2, 3)).transpose(2, 3)
        return self.gru2(x + columns)


class _Attending(_Convs):
    feature_enhancer: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        return x + self.feature_enhancer(self.convs(x))


def _add_convs(block: nn.Module, channels: int) -> None:
    for number in (1, 2):
        block.add_module(f"conv{number}", nn.Conv2d(channels, channels, 3, padding=1))
        block.add_module(f"bn{number}", nn.BatchNorm2d(channels))
        block.add_module(f"gru{number}", GRURows(channels))


FOLDED = {"conv1": "bn1", "conv2": "bn2"}


class RecurrentBlock(_Recurrent, Fusible):
    """Convolutions, then GRUs along columns and rows (TSRN)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        _add_convs(self, channels)

    def fused(self) -> nn.Module:
        return with_folded(self, _Recurrent, FOLDED)


class AttendingBlock(_Attending, Fusible):
    """Convolutions, then self-attention (TBSRN). Its GRUs are never used; checkpoints have them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        _add_convs(self, channels)
        self.feature_enhancer = FeatureEnhancer(channels)

    def fused(self) -> nn.Module:
        return with_folded(self, _Attending, FOLDED)


class Upsample(nn.Module):
    """Twice as high and wide: a convolution, pixels out of channels, Mish."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.mish(F.pixel_shuffle(self.conv(x), 2))


class Zoom(nn.Module):
    """(N, 3, H, W) -> (N, 3, 2 H, 2 W). Small pictures are straightened in training alone (upstream's `STN`)."""

    def __init__(self, block: type[RecurrentBlock] | type[AttendingBlock], train: bool) -> None:
        super().__init__()
        if train:
            self.stn_head = EdgeNetwork(3, POINTS, flat=True)
        self.block1 = nn.Sequential(nn.Conv2d(3, WIDTH, 9, padding=4), PReLU())
        for number in range(2, BLOCKS + 2):
            self.add_module(f"block{number}", block(WIDTH))
        self.block7 = FoldingSequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH))
        self.block8 = nn.Sequential(Upsample(WIDTH), nn.Conv2d(WIDTH, 3, 9, padding=4))

    def forward(self, x: Tensor) -> Tensor:
        x = y = self.block1(x)
        for number in range(2, BLOCKS + 2):
            y = getattr(self, f"block{number}")(y)
        return self.block8(x + self.block7(y)).tanh()


class TSRN(Network):
    """Lines of text (N, 3, 16, 64) in [0, 1] twice as large: (N, 3, 32, 128) in [-1, 1], of which [0, 1] is seen."""

    BLOCK: type[RecurrentBlock] | type[AttendingBlock] = RecurrentBlock
    UNUSED: tuple[str, ...] = ("transform.r34_transformer.",)

    def __init__(self, train: bool = False) -> None:
        super().__init__()
        self.transform = Zoom(self.BLOCK, train)

    def forward(self, x: Tensor) -> Tensor:
        return self.transform(x)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Straightened and "enlarged" (N, 3, 32, 128); wants a network built with train=True."""
        points = self.transform.stn_head(x)
        size = (x.shape[2], x.shape[3])
        return {"enlarged": self.transform(straightened(x, points, size, spline(POINTS, size, MARGINS)))}

    def left_out(self) -> tuple[str, ...]:
        return self.UNUSED


class TBSRN(TSRN):
    """The same with self-attention in place of recurrence."""

    BLOCK = AttendingBlock
    UNUSED = (
        "transform.transformer.",
        *(f"transform.block{n}.feature_enhancer.multihead.compress_attention_linear." for n in range(2, BLOCKS + 2)),
    )  # fmt: skip
