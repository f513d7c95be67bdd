"""PP-LCNetV4 (PP-OCRv6): depthwise token mixer, squeeze-excite, expanding channel mixer.

Upstream: ppocr/modeling/backbones/rec_lcnetv4.py.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn

from ptocr.nn.backbones.stem import Stem
from ptocr.nn.fuse import Fusible, Reparam, fold_bn, identity_conv, merge_convs
from ptocr.nn.layers import SE, ConvBN, Residual, Size, pool_rec, with_bias

ModelSize = Literal["tiny", "small", "medium"]
# channels in, out, stride, squeeze-excite of each block; every depthwise kernel is 3 x 3
Row = tuple[int, int, Size, bool]


def _stage(before: int, width: int, down: Size, se: str) -> list[Row]:
    """A block that changes the width or the size, then one per letter of `se`: "y" with, "n" without squeeze-excite."""
    return [(before, width, down, False), *_same(width, se)]


def _same(width: int, se: str) -> list[Row]:
    return [(width, width, 1, letter == "y") for letter in se]


Table = tuple[tuple[int, int], dict[str, list[Row]]]  # widths of the stem, stages


def _det(stem: int, first: int, second: int, third: int, fourth: int) -> Table:
    """The detectors' stages differ in width alone."""
    stages = {
        "blocks_s1": _same(first, "yn"),
        "blocks_s2": _stage(first, second, 2, "yn"),
        "blocks_s3": _stage(second, third, 2, "ynyn"),
        "blocks_s4": _stage(third, fourth, 2, "yn"),
    }
    return (stem, first), stages


DET: dict[str, Table] = {
    "tiny": _det(16, 32, 48, 64, 160),
    "small": _det(24, 48, 96, 192, 384),
    "medium": _det(64, 128, 256, 512, 896),
}
FLAT = (2, 1)  # recognisers reduce the height and keep the width
REC: dict[str, Table] = {
    "tiny": (
        (24, 48),
        {
            "blocks2": _same(48, "y"),
            "blocks3": _same(48, "n"),
            "blocks4": _stage(48, 96, FLAT, "yn"),
            "blocks5": _stage(96, 160, FLAT, "ynn"),
        },
    ),
    "small": (
        (48, 96),
        {
            "blocks2": _same(96, "y"),
            "blocks3": _same(96, "nn"),
            "blocks4": _stage(96, 192, FLAT, "ynynyn"),
            "blocks5": _stage(192, 384, FLAT, "yn"),
        },
    ),
    "medium": (
        (64, 128),
        {
            "blocks2": _same(128, "y"),
            "blocks3": _stage(128, 256, 1, "ny"),
            "blocks4": _stage(256, 512, FLAT, "ynynyn"),
            "blocks5": _stage(512, 768, FLAT, "yn"),
        },
    ),
}


class ExportedConvBN(ConvBN, Reparam):
    """ConvBN whose batch norm Paddle's export of this network folds."""


class StemConv(ExportedConvBN):
    """The stem's ConvBN; folded, it is still called `conv`."""

    def fused(self) -> nn.Module:
        return nn.Sequential(OrderedDict(conv=self.folded(), act=self.act))


class RepDepthwise(Reparam):
    """bn(3 x 3 + 1 x 1 + identity), depthwise (upstream `RepDWConv`)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvBN(channels, channels, 3, groups=channels)
        self.conv1 = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x) + self.conv1(x) + x)

    def fused(self) -> nn.Module:
        conv = self.conv.conv
        merged = merge_convs(with_bias(conv).double(), [self.conv.folded(), self.conv1, identity_conv(conv)])
        return nn.Sequential(OrderedDict(reparam_conv=fold_bn(merged, self.bn).type(conv.weight.dtype)))


class Block(Fusible):
    """Token mixer, then channel mixer with a residual where the shapes allow (upstream `LCNetV4Block`)."""

    def __init__(self, in_channels: int, out_channels: int, stride: Size, se: bool) -> None:
        super().__init__()
        self.shortcut = in_channels == out_channels and stride == 1
        self.token_mixer = nn.Sequential()
        if self.shortcut:
            self.token_mixer.add_module("rep_dw", RepDepthwise(in_channels))
        else:
            depthwise = ExportedConvBN(in_channels, in_channels, 3, stride, groups=in_channels)
            self.token_mixer.add_module("dw_conv", depthwise)
        if se:
            self.token_mixer.add_module("se", SE(in_channels))
        self.channel_mixer = nn.Sequential(
            OrderedDict(
                expand=ExportedConvBN(in_channels, 2 * in_channels, 1),
                act=nn.GELU(),
                compress=ExportedConvBN(2 * in_channels, out_channels, 1),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.token_mixer(x)
        y = self.channel_mixer(x)
        return x + y if self.shortcut else y

    def fused(self) -> nn.Module:
        mixer = Residual(*self.channel_mixer) if self.shortcut else self.channel_mixer
        return nn.Sequential(*self.token_mixer, mixer)


def _blocks(rows: list[Row]) -> nn.Sequential:
    return nn.Sequential(*(Block(cin, cout, stride, se) for cin, cout, stride, se in rows))


class PPLCNetV4Det(nn.Module):
    """(N, 3, H, W) -> four maps at 1/4 .. 1/32, finest first."""

    def __init__(self, model_size: ModelSize) -> None:
        super().__init__()
        (hidden, width), stages = DET[model_size]
        self.stem = Stem(hidden, width, block=StemConv)
        for name, rows in stages.items():
            self.add_module(name, _blocks(rows))
        self.out_channels = [rows[-1][1] for rows in stages.values()]

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for stage in (self.blocks_s1, self.blocks_s2, self.blocks_s3, self.blocks_s4):
            x = stage(x)
            maps.append(x)
        return maps


class PPLCNetV4Rec(nn.Module):
    """(N, 3, 48, W) -> (N, C, 1, W / 8)."""

    def __init__(self, model_size: ModelSize) -> None:
        super().__init__()
        (hidden, width), stages = REC[model_size]
        # tiny's simple stem is the one place whose batch norms the export keeps
        self.conv1 = (
            nn.Sequential(ConvBN(3, hidden, 3, 2), nn.GELU(), ConvBN(hidden, width, 3, 2))
            if model_size == "tiny"
            else Stem(hidden, width, block=StemConv)
        )
        for name, rows in stages.items():
            self.add_module(name, _blocks(rows))
        self.out_channels = stages["blocks5"][-1][1]

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks3(self.blocks2(self.conv1(x)))
        return pool_rec(self.blocks5(self.blocks4(x)))


def PPLCNetV4(model_size: ModelSize = "small", det: bool = False) -> nn.Module:
    """The form that upstream's `det` switch picks."""
    return PPLCNetV4Det(model_size) if det else PPLCNetV4Rec(model_size)
