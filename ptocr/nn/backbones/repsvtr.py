"""RepSVTR, a RepViT (arXiv 2307.09283) for lines (ch_RepSVTR_rec). Upstream: ppocr/modeling/backbones/rec_repvit.py."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, fold_bn, identity_conv, merge_convs
from ptocr.nn.layers import ConvBN, Size, make_divisible, pool_rec, with_bias

# channels, squeeze-excite, stride
Row = tuple[int, bool, Size]
ROWS: list[Row] = [
    (96, True, 1),
    (96, False, 1),
    (96, False, 1),
    (192, False, (2, 1)),
    *[(192, True, 1), (192, False, 1)] * 3,
    (384, False, (2, 1)),
    (384, True, 1),
    (384, False, 1),
]


class ConvCBN(ConvBN):
    """ConvBN whose convolution is called `c`."""

    CONV = "c"


class SqueezeExcite(nn.Module):
    """Squeeze-excite with an ordinary sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = make_divisible(channels // 4)
        self.fc1 = nn.Conv2d(channels, inner, 1)
        self.fc2 = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(pooled))))


class RepDepthwise(Fusible):
    """Batch norm of 3 x 3, 1 x 1 and no convolution, added (upstream `RepVGGDW`).

    Not a `Reparam`: when the official file was exported, Paddle's export merged the branches of PP-LCNetV3 only.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvCBN(channels, channels, 3, groups=channels)
        self.conv1 = nn.Conv2d(channels, channels, 1, groups=channels)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x) + self.conv1(x) + x)

    def fused(self) -> nn.Module:
        conv = self.conv.c
        assert isinstance(conv, nn.Conv2d)
        target = with_bias(conv).double()
        branches = [fold_bn(conv, self.conv.bn), self.conv1, identity_conv(conv)]
        return fold_bn(merge_convs(target, branches), self.bn).to(conv.weight.dtype)


class Residual(nn.Module):
    """x + m(x)."""

    def __init__(self, m: nn.Module) -> None:
        super().__init__()
        self.m = m

    def forward(self, x: Tensor) -> Tensor:
        return x + self.m(x)


class Block(nn.Module):
    """Spatial mixing by depthwise convolutions, then an MLP of pointwise ones."""

    def __init__(self, in_channels: int, out_channels: int, se: bool, stride: Size) -> None:
        super().__init__()
        excite = SqueezeExcite(in_channels) if se else nn.Identity()
        if stride == 1:
            self.token_mixer = nn.Sequential(RepDepthwise(in_channels), excite)
        else:
            down = ConvCBN(in_channels, in_channels, 3, stride, groups=in_channels)
            self.token_mixer = nn.Sequential(down, excite, ConvCBN(in_channels, out_channels, 1))
        hidden = 2 * out_channels
        self.channel_mixer = Residual(
            nn.Sequential(ConvCBN(out_channels, hidden, 1), nn.GELU(), ConvCBN(hidden, out_channels, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.channel_mixer(self.token_mixer(x))


class RepSVTR(nn.Module):
    """(N, 3, 48, W) -> (N, 384, 1, W / 8)."""

    def __init__(self) -> None:
        super().__init__()
        width = ROWS[0][0]
        stem = nn.Sequential(ConvCBN(3, width // 2, 3, stride=2), nn.GELU(), ConvCBN(width // 2, width, 3, stride=2))
        self.features = nn.ModuleList([stem])
        for channels, se, stride in ROWS:
            self.features.append(Block(width, channels, se, stride))
            width = channels
        self.out_channels = width

    def forward(self, x: Tensor) -> Tensor:
        for block in self.features:
            x = block(x)
        return pool_rec(x)
