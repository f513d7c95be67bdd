"""PP-HGNet (PP-OCRv4 server). Upstream: ppocr/modeling/backbones/rec_hgnet.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import ConvBN, Size, pool_rec


class Stage(NamedTuple):
    """Channels, number of blocks, and strides of the down-sampling in front (None: there is none)."""

    mid: int
    out: int
    blocks: int
    stride_det: Size | None
    stride_rec: Size


class StageShape(Protocol):
    """What `build_stage` reads of a row."""

    @property
    def out(self) -> int: ...
    @property
    def blocks(self) -> int: ...


STEM = (64, 64, 128)
SMALL = (
    Stage(128, 256, 1, None, (2, 1)),
    Stage(160, 512, 1, 2, (1, 2)),
    Stage(192, 768, 2, 2, (2, 1)),
    Stage(224, 1024, 1, 2, (2, 1)),
)
LAYERS = 6  # convolutions of a block


class ChannelGate(nn.Module):
    """One convolution of the mean picture gates the channels (upstream `ESEModule`)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(x.mean((2, 3), keepdim=True)))


class Block(nn.Module):
    """A chain of convolutions whose outputs, with the input, are stacked, aggregated and gated."""

    def __init__(self, in_channels: int, stage: Stage, shortcut: bool) -> None:
        super().__init__()
        self.shortcut = shortcut
        widths = [in_channels] + [stage.mid] * LAYERS
        self.layers = nn.ModuleList(ConvBN(width, stage.mid, 3, act="relu") for width in widths[:-1])
        self.aggregation_conv = ConvBN(sum(widths), stage.out, 1, act="relu")
        self.att = ChannelGate(stage.out)

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        y = self.att(self.aggregation_conv(torch.cat(maps, dim=1)))
        return x + y if self.shortcut else y


def build_stage(
    block: Callable[..., nn.Module], in_channels: int, stage: StageShape, stride: Size | None
) -> nn.Sequential:
    """Depthwise down-sampling where there is a stride, then the stage's blocks, all but the first with a shortcut."""
    parts = nn.Sequential()
    if stride is not None:
        parts.add_module("downsample", ConvBN(in_channels, in_channels, 3, stride, groups=in_channels))
    blocks = (block(stage.out if i else in_channels, stage, shortcut=i > 0) for i in range(stage.blocks))
    parts.add_module("blocks", nn.Sequential(*blocks))
    return parts


class _Trunk(nn.Module):
    """Stem and four stages with the given strides; after the stem, detectors pool once more."""

    def __init__(self, strides: list[Size | None]) -> None:
        super().__init__()
        widths = (3, *STEM)
        self.stem = nn.Sequential(
            *(ConvBN(widths[i], widths[i + 1], 3, stride=1 if i else 2, act="relu") for i in range(len(STEM)))
        )
        inputs = (STEM[-1], *(stage.out for stage in SMALL))
        self.stages = nn.ModuleList(build_stage(Block, *row) for row in zip(inputs[:-1], SMALL, strides, strict=True))


class PPHGNetDet(_Trunk):
    """(N, 3, H, W) -> four maps at 1/4 .. 1/32, finest first."""

    def __init__(self) -> None:
        super().__init__([stage.stride_det for stage in SMALL])
        self.out_channels = [stage.out for stage in SMALL]

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [F.max_pool2d(self.stem(x), 3, stride=2, padding=1)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


class PPHGNetRec(_Trunk):
    """(N, 3, 48, W) -> (N, C, 1, W / 8)."""

    def __init__(self) -> None:
        super().__init__([stage.stride_rec for stage in SMALL])
        self.out_channels = SMALL[-1].out

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return pool_rec(x)


def PPHGNetSmall(det: bool = False) -> nn.Module:
    """The form that upstream's `det` switch of `PPHGNet_small` picks."""
    return PPHGNetDet() if det else PPHGNetRec()
