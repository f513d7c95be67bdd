"""The heads of PicoDet (arXiv 2111.00902): object detection without anchors, with distribution focal regression.

Upstream: ppdet/modeling/heads/pico_head.py (PicoHead, PicoHeadV2, PicoFeat, PicoSE), gfl_head.py (Integral).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import ConvNorm
from ptocr.nn.necks.csp_pan import Separable
from ptocr.nn.network import Head

BINS = 8  # of the distribution of a side's distance, 0 to 7 strides
KERNEL = 5
LEAST = 1e-9  # under the root


class PicoFeat(nn.Module):
    """Separable convolutions in front of the predictions, a set for every level; classes and boxes share them."""

    def __init__(self, channels: int, convolutions: int, levels: int) -> None:
        super().__init__()
        self.convolutions = convolutions
        for level in range(levels):
            depthwise = (
                ConvNorm(channels, channels, KERNEL, groups=channels, act="hardswish") for _ in range(convolutions)
            )
            pointwise = (ConvNorm(channels, channels, 1, act="hardswish") for _ in range(convolutions))
            self.add_module(f"cls_conv_dw{level}", nn.ModuleList(depthwise))
            self.add_module(f"cls_conv_pw{level}", nn.ModuleList(pointwise))

    def forward(self, x: Tensor, level: int) -> Tensor:
        pairs = zip(getattr(self, f"cls_conv_dw{level}"), getattr(self, f"cls_conv_pw{level}"), strict=True)
        for depthwise, pointwise in pairs:
            x = pointwise(depthwise(x))
        return x


class TrainingScale(nn.Module):
    """A scale that checkpoints hold and evaluation does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.scale_reg = nn.Parameter(torch.ones(1))


class Projection(nn.Module):
    """The bins' values, which checkpoints hold as a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("project", torch.arange(float(BINS)))


class _PicoBase(Head):
    """Maps, finest first -> class scores (N, cells, classes) in [0, 1] and boxes (N, cells, 4) as x0, y0, x1, y1 in
    pixels of the network's input. Cells run over the levels, row by row.

    strides: of the levels; convolutions: pairs in front of the predictions.
    """

    output_names = ("scores", "boxes")

    def __init__(self, in_channels: int, strides: tuple[int, ...], convolutions: int, train: bool) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.conv_feat = PicoFeat(in_channels, convolutions, len(self.strides))
        self.distribution_project = Projection() if train else None
        for level in range(len(self.strides) if train else 0):
            self.add_module(f"p{level + 3}_feat", TrainingScale())

    def level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """The scores (N, classes, h, w) and the distributions (N, 4 * BINS, h, w) of one level."""
        raise NotImplementedError

    def predictions(self, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Scores (N, cells, classes), distributions (N, cells, 4 * BINS), cells (cells, 3): centre x, y, stride."""
        scores: list[Tensor] = []
        sides: list[Tensor] = []
        cells: list[Tensor] = []
        for number, (x, stride) in enumerate(zip(maps, self.strides, strict=True)):
            for out, values in zip((scores, sides), self.level(x, number), strict=True):
                out.append(values.flatten(2).transpose(1, 2))
            cells.append(_grid(x, stride, sides[-1]))
        return torch.cat(scores, dim=1), torch.cat(sides, dim=1), torch.cat(cells)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        scores, sides, cells = self.predictions(maps)
        bins = torch.arange(float(BINS), device=sides.device, dtype=sides.dtype)
        left, top, right, bottom = (F.softmax(sides.unflatten(2, (4, BINS)), dim=3) * bins).sum(3).unbind(2)
        x, y, stride = cells.unbind(1)
        box = (x - left * stride, y - top * stride, x + right * stride, y + bottom * stride)
        return scores, torch.stack(box, dim=2)


class PicoHead(_PicoBase):
    """One layer for classes and boxes at each level, as PP-StructureV2 has it."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        strides: tuple[int, ...] = (8, 16, 32, 64),
        convolutions: int = 4,
        train: bool = False,
    ) -> None:
        super().__init__(in_channels, strides, convolutions, train)
        self.classes = classes
        for level in range(len(self.strides)):
            self.add_module(f"head_cls{level}", nn.Conv2d(in_channels, classes + 4 * BINS, 1))

    def level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        x = getattr(self, f"head_cls{level}")(self.conv_feat(x, level))
        return x[:, : self.classes].sigmoid(), x[:, self.classes :]


class FeatureGate(nn.Module):
    """Channel gates from the mean of a map, then a pointwise convolution (upstream `PicoSE`)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)
        self.conv = ConvNorm(channels, channels, 1, act="hardswish")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x * self.fc(x.mean((2, 3), keepdim=True)).sigmoid())  # type: ignore[no-any-return]


class PicoHeadV2(_PicoBase):
    """Layers of their own for classes and boxes, on gated features, and a branch that says how well both go together.

    The score is the geometric mean of the class's and that branch's. train: also the second name that checkpoints have
    for each of the layers.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        strides: tuple[int, ...] = (8, 16, 32, 64),
        convolutions: int = 2,
        train: bool = False,
    ) -> None:
        super().__init__(in_channels, strides, convolutions, train)
        levels = range(len(self.strides))
        self.conv_feat.se = nn.ModuleList(FeatureGate(in_channels) for _ in levels)
        self.head_cls_list = nn.ModuleList(nn.Conv2d(in_channels, classes, 1) for _ in levels)
        self.head_reg_list = nn.ModuleList(nn.Conv2d(in_channels, 4 * BINS, 1) for _ in levels)
        self.cls_align = nn.ModuleList(Separable(in_channels, 1, last=False) for _ in levels)
        for level in levels if train else ():
            self.add_module(f"head_cls{level}", self.head_cls_list[level])
            self.add_module(f"head_reg{level}", self.head_reg_list[level])

    def level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        x = self.conv_feat(x, level)
        gated = self.conv_feat.se[level](x)
        scores = self.head_cls_list[level](gated).sigmoid() * self.cls_align[level](x).sigmoid()
        return (scores + LEAST).sqrt(), self.head_reg_list[level](gated)


def _grid(x: Tensor, stride: int, like: Tensor) -> Tensor:
    """The cells of a map (N, C, h, w), as numbers of the type of `like`: (h * w, 3) centre x, y and stride."""
    rows, columns = ((torch.arange(n, device=like.device, dtype=like.dtype) + 0.5) * stride for n in x.shape[2:])
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y, torch.full_like(x, stride)], dim=2).flatten(0, 1)
