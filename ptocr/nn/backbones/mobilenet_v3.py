"""MobileNetV3 (arXiv 1905.02244) in its two OCR forms.

Upstream: ppocr/modeling/backbones/det_mobilenet_v3.py, rec_mobilenet_v3.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import SE, ConvBN, Size, make_divisible

# kernel, expanded, out, squeeze-excite, activation, down-sampling; channels at scale 1
Row = tuple[int, int, int, bool, str, bool]
LARGE: list[Row] = [
    (3, 16, 16, False, "relu", False),
    (3, 64, 24, False, "relu", True),
    (3, 72, 24, False, "relu", False),
    (5, 72, 40, True, "relu", True),
    (5, 120, 40, True, "relu", False),
    (5, 120, 40, True, "relu", False),
    (3, 240, 80, False, "hardswish", True),
    (3, 200, 80, False, "hardswish", False),
    (3, 184, 80, False, "hardswish", False),
    (3, 184, 80, False, "hardswish", False),
    (3, 480, 112, True, "hardswish", False),
    (3, 672, 112, True, "hardswish", False),
    (5, 672, 160, True, "hardswish", True),
    (5, 960, 160, True, "hardswish", False),
    (5, 960, 160, True, "hardswish", False),
]
SMALL: list[Row] = [
    (3, 16, 16, True, "relu", True),
    (3, 72, 24, False, "relu", True),
    (3, 88, 24, False, "relu", False),
    (5, 96, 40, True, "hardswish", True),
    (5, 240, 40, True, "hardswish", False),
    (5, 240, 40, True, "hardswish", False),
    (5, 120, 48, True, "hardswish", False),
    (5, 144, 48, True, "hardswish", False),
    (5, 288, 96, True, "hardswish", True),
    (5, 576, 96, True, "hardswish", False),
    (5, 576, 96, True, "hardswish", False),
]
TABLES = {"large": (LARGE, 960), "small": (SMALL, 576)}  # rows, channels of the last convolution


class ResidualUnit(nn.Module):
    """Expand, depthwise, optional squeeze-excite, project."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int, kernel: int, stride: Size, se: bool, act: str):
        super().__init__()
        self.shortcut = stride == 1 and in_channels == out_channels
        self.expand_conv = ConvBN(in_channels, hidden, 1, act=act)
        self.bottleneck_conv = ConvBN(hidden, hidden, kernel, stride, groups=hidden, act=act)
        self.mid_se = SE(hidden, slope=0.2) if se else None
        self.linear_conv = ConvBN(hidden, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bottleneck_conv(self.expand_conv(x))
        if self.mid_se is not None:
            y = self.mid_se(y)
        y = self.linear_conv(y)
        return x + y if self.shortcut else y


def _units(rows: list[Row], scale: float, strides: list[Size], use_se: bool) -> tuple[list[ResidualUnit], int]:
    """The residual units of a table, one stride each, and the number of channels they end with."""
    width = make_divisible(16 * scale)
    units = []
    for (kernel, hidden, out, se, act, _), stride in zip(rows, strides, strict=True):
        hidden, out = make_divisible(hidden * scale), make_divisible(out * scale)
        units.append(ResidualUnit(width, hidden, out, kernel, stride, se and use_se, act))
        width = out
    return units, width


class MobileNetV3Det(nn.Module):
    """(N, 3, H, W) -> four maps at 1/4 .. 1/32, finest first."""

    def __init__(self, scale: float, model_name: str = "large", disable_se: bool = False) -> None:
        super().__init__()
        rows, last = TABLES[model_name]
        self.conv = ConvBN(3, make_divisible(16 * scale), 3, stride=2, act="hardswish")
        units, width = _units(rows, scale, [2 if row[5] else 1 for row in rows], not disable_se)
        # the first down-sampling unit (1/4) stays in the first stage, every later one opens the next stage
        starts = [i for i, row in enumerate(rows) if row[5]][1:]
        bounds = [0, *starts, len(units)]
        stages = [units[a:b] for a, b in itertools.pairwise(bounds)]
        last_conv = ConvBN(width, make_divisible(last * scale), 1, act="hardswish")
        self.out_channels = [stage[-1].linear_conv.conv.out_channels for stage in stages]
        self.out_channels[-1] = last_conv.conv.out_channels
        for i, stage in enumerate(stages):
            self.add_module(f"stage{i}", nn.Sequential(*stage, *([last_conv] if i == len(stages) - 1 else [])))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.conv(x)
        maps = []
        for i in range(len(self.out_channels)):
            x = getattr(self, f"stage{i}")(x)
            maps.append(x)
        return maps


# units that reduce the height of a line; in "large" the one at 1/16 of the detector does not
LINE_DOWN = {"large": (0, 1, 3, 12), "small": (0, 1, 3, 8)}


class MobileNetV3Line(nn.Module):
    """(N, 3, H, W) -> (N, C, H / 32, W / 4): for lines, only the height is reduced after the stem.

    strides: of the height in the four units that may reduce it (upstream `small_stride`, `large_stride`).
    """

    def __init__(
        self, scale: float, model_name: Literal["large", "small"] = "small", strides: Sequence[int] = (2, 2, 2, 2)
    ) -> None:
        super().__init__()
        rows, last = TABLES[model_name]
        self.conv1 = ConvBN(3, make_divisible(16 * scale), 3, stride=2, act="hardswish")
        down: list[Size] = [1] * len(rows)
        for place, stride in zip(LINE_DOWN[model_name], strides, strict=True):
            # upstream gives "small" a pair even where nothing is reduced, and compares it with 1: no shortcut there
            down[place] = (stride, 1) if stride > 1 or model_name == "small" else 1
        units, width = _units(rows, scale, down, True)
        self.blocks = nn.Sequential(*units)
        self.out_channels = make_divisible(last * scale)
        self.conv2 = ConvBN(width, self.out_channels, 1, act="hardswish")

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(self.conv2(self.blocks(self.conv1(x))), 2)
