"""PP-HGNetV2 B4 and B6, for text (PP-OCRv5 server), layouts and formulas.

Upstream: ppocr/modeling/backbones/rec_pphgnetv2.py, ppdet/modeling/backbones/hgnet_v2.py (L and H).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ptocr.nn.backbones.pphgnet import build_stage
from ptocr.nn.backbones.stem import Stem
from ptocr.nn.layers import ConvBN, Size, pool_rec


class Stage(NamedTuple):
    """Channels, blocks, kind and kernel of the blocks' layers, and strides of the down-sampling in front (or None)."""

    mid: int
    out: int
    blocks: int
    light: bool
    kernel: int
    stride_det: Size | None
    stride_rec: Size


STEM = (32, 48)  # middle, out
B4 = (
    Stage(48, 128, 1, False, 3, None, (2, 1)),
    Stage(96, 512, 1, False, 3, 2, (1, 2)),
    Stage(192, 1024, 3, True, 5, 2, (2, 1)),
    Stage(384, 2048, 1, True, 5, 2, (2, 1)),
)
B6 = (
    Stage(96, 192, 2, False, 3, None, (2, 1)),
    Stage(192, 512, 3, False, 3, 2, (1, 2)),
    Stage(384, 1024, 6, True, 5, 2, (2, 1)),
    Stage(768, 2048, 3, True, 5, 2, (2, 1)),
)
SIZES = {"B4": (STEM, B4), "B6": ((48, 96), B6)}  # what the stem has, and the stages
LAYERS = 6  # layers of a block
IMAGENET_CLASSES = 1000
FORMULA_CLASSES = 1024  # of the classifier that formula models carry along


class LightConv(nn.Module):
    """Pointwise convolution, then depthwise with activation (upstream `LightConvBNAct`)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(in_channels, out_channels, 1)
        self.conv2 = ConvBN(out_channels, out_channels, kernel, groups=out_channels, act="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


class Block(nn.Module):
    """A chain of layers whose outputs, with the input, are stacked and aggregated in two steps."""

    def __init__(self, in_channels: int, stage: Stage, shortcut: bool) -> None:
        super().__init__()
        self.shortcut = shortcut
        widths = [in_channels] + [stage.mid] * LAYERS
        self.layers = nn.ModuleList(
            LightConv(width, stage.mid, stage.kernel)
            if stage.light
            else ConvBN(width, stage.mid, stage.kernel, act="relu")
            for width in widths[:-1]
        )
        self.aggregation_squeeze_conv = ConvBN(sum(widths), stage.out // 2, 1, act="relu")
        self.aggregation_excitation_conv = ConvBN(stage.out // 2, stage.out, 1, act="relu")

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        y = self.aggregation_excitation_conv(self.aggregation_squeeze_conv(torch.cat(maps, dim=1)))
        return x + y if self.shortcut else y


class _Trunk(nn.Module):
    """Stem and four stages with the given strides.

    train: also build what training checkpoints carry over from the classification network. Nothing uses it, so it asks
    for no gradient. left_over_fc: classes of the classifier among it, 0 for none.
    """

    def __init__(self, size: str, stem_stride: int, strides: list[Size | None], train: bool, left_over_fc: int) -> None:
        super().__init__()
        stem, stages = SIZES[size]
        self.stem = Stem(*stem, stem_stride)
        inputs = (stem[-1], *(stage.out for stage in stages))
        self.stages = nn.ModuleList(build_stage(Block, *row) for row in zip(inputs[:-1], stages, strides, strict=True))
        width = stages[-1].out
        if train:
            self.last_conv = nn.Conv2d(width, width, 1, bias=False).requires_grad_(False)
        if train and left_over_fc:
            self.fc = nn.Linear(width, left_over_fc).requires_grad_(False)


class PPHGNetV2Det(_Trunk):
    """(N, 3, H, W) -> four maps at 1/4 .. 1/32, finest first."""

    def __init__(self, train: bool = False, size: str = "B4") -> None:
        stages = SIZES[size][1]
        super().__init__(size, 2, [stage.stride_det for stage in stages], train, left_over_fc=0)
        self.out_channels = [stage.out for stage in stages]

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


class PPHGNetV2Rec(_Trunk):
    """(N, 3, 48, W) -> (N, C, 1, W / 8)."""

    def __init__(self, train: bool) -> None:
        super().__init__("B4", 1, [stage.stride_rec for stage in B4], train, IMAGENET_CLASSES)
        self.out_channels = B4[-1].out

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return pool_rec(x)


class FormulaTrunk(_Trunk):
    """(N, 3, H, W) -> the coarsest map, (N, C, H / 32, W / 32)."""

    def __init__(self, size: str, train: bool) -> None:
        stages = SIZES[size][1]
        super().__init__(size, 2, [stage.stride_det for stage in stages], train, FORMULA_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x


class PPHGNetV2Formula(nn.Module):
    """A grey picture (N, 1, H, W), or one in colours -> a token for every 32 x 32 pixels, row by row: (N, L, C).

    Upstream: PPHGNetV2_B4_Formula and _B6_Formula. size: "B4" or "B6".
    """

    def __init__(self, size: str = "B4", train: bool = False) -> None:
        super().__init__()
        self.out_channels = SIZES[size][1][-1].out
        self.trunk = f"pphgnet_{size.lower()}"  # upstream's name of it
        self.add_module(self.trunk, FormulaTrunk(size, train))

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = getattr(self, self.trunk)(x.expand(-1, 3, -1, -1))
        return maps.flatten(2).transpose(1, 2)


def PPHGNetV2B4(det: bool = False, train: bool = False) -> nn.Module:
    """The form that upstream's switches `det` and `text_rec` of `PPHGNetV2_B4` pick."""
    return PPHGNetV2Det(train) if det else PPHGNetV2Rec(train)
