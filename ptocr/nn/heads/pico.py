"""The head of PicoDet (arXiv 2111.00902): object detection without anchors, with distribution focal regression.

Upstream: ppdet/modeling/heads/pico_head.py (PicoHead, PicoFeat), gfl_head.py (Integral).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import ConvNorm
from ptocr.nn.network import Head

BINS = 8  # of the distribution of a side's distance, 0 to 7 strides
KERNEL = 5


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


class PicoHead(Head):
    """Maps, finest first -> class scores (N, cells, classes) in [0, 1] and boxes (N, cells, 4) as x0, y0, x1, y1 in
    pixels of the network's input. Cells run over the levels, row by row.

    strides: of the levels; convolutions: pairs in front of the predictions.
    """

    output_names = ("scores", "boxes")

    def __init__(
        self,
        in_channels: int,
        classes: int,
        strides: tuple[int, ...] = (8, 16, 32, 64),
        convolutions: int = 4,
        train: bool = False,
    ) -> None:
        super().__init__()
        self.strides, self.classes = tuple(strides), classes
        self.conv_feat = PicoFeat(in_channels, convolutions, len(self.strides))
        for level in range(len(self.strides)):
            self.add_module(f"head_cls{level}", nn.Conv2d(in_channels, classes + 4 * BINS, 1))
            if train:
                self.add_module(f"p{level + 3}_feat", TrainingScale())
        self.distribution_project = Projection() if train else None

    def predictions(self, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Scores (N, cells, classes), distributions (N, cells, 4 * BINS), cells (cells, 3): centre x, y, stride."""
        scores, sides, cells = [], [], []
        for level, (x, stride) in enumerate(zip(maps, self.strides, strict=True)):
            height, width = x.shape[2:]
            x = getattr(self, f"head_cls{level}")(self.conv_feat(x, level)).flatten(2).transpose(1, 2)
            scores.append(x[..., : self.classes].sigmoid())
            sides.append(x[..., self.classes :])
            cells.append(_grid(height, width, stride, x))
        return torch.cat(scores, dim=1), torch.cat(sides, dim=1), torch.cat(cells)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        scores, sides, cells = self.predictions(maps)
        bins = torch.arange(float(BINS), device=sides.device, dtype=sides.dtype)
        left, top, right, bottom = (F.softmax(sides.unflatten(2, (4, BINS)), dim=3) * bins).sum(3).unbind(2)
        x, y, stride = cells.unbind(1)
        box = (x - left * stride, y - top * stride, x + right * stride, y + bottom * stride)
        return scores, torch.stack(box, dim=2)


def _grid(height: int, width: int, stride: int, like: Tensor) -> Tensor:
    """The cells of a map: (height * width, 3) centre x, y and stride."""
    rows, columns = ((torch.arange(n, device=like.device, dtype=like.dtype) + 0.5) * stride for n in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y, torch.full_like(x, stride)], dim=2).flatten(0, 1)
