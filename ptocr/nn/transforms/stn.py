"""Rectification by a network that finds the text's edges (ASTER, arXiv 1806.04092): SVTR, SEED.

Upstream: ppocr/modeling/transforms/stn.py, tps_spatial_transformer.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import FoldingSequential
from ptocr.nn.transforms.tps import begin_with

WIDTHS = (32, 64, 128, 256, 256, 256)
BEGIN = 0.01  # of the picture, between its edges and where control points lie before anything is learnt
FACTOR = 0.1  # of the features that the last layer sees


class EdgeNetwork(nn.Module):
    """(N, C, 32, 64) -> control points (N, K, 2) of the text, in [0, 1] of the picture, x first (upstream `STN`).

    flat: pictures are half as high. It begins by finding the edges of the picture, whatever is in it.
    """

    def __init__(self, in_channels: int, points: int, flat: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, width in enumerate(WIDTHS):
            conv = nn.Conv2d(in_channels, width, 3, padding=1)
            layers.append(FoldingSequential(conv, nn.BatchNorm2d(width), nn.ReLU()))
            if i + 1 < len(WIDTHS):
                layers.append(nn.MaxPool2d(2, ceil_mode=flat))
            in_channels = width
        self.stn_convnet = nn.Sequential(*layers)
        self.stn_fc1 = FoldingSequential(nn.Linear(2 * in_channels, 512), nn.BatchNorm1d(512), nn.ReLU())
        self.stn_fc2 = nn.Linear(512, 2 * points)
        nn.init.normal_(self.stn_fc1[0].weight, std=0.001)
        begin_with(self.stn_fc2, edge_points(points, (BEGIN, BEGIN)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stn_fc1(self.stn_convnet(x).flatten(1))
        return self.stn_fc2(FACTOR * x).unflatten(1, (-1, 2))


def edge_points(count: int, margins: Sequence[float]) -> Tensor:
    """Where the control points of straight text lie, in [0, 1]: along the upper edge, then the lower one, (K, 2)."""
    x = torch.linspace(margins[0], 1.0 - margins[0], count // 2, dtype=torch.float64)
    edges = [torch.stack([x, torch.full_like(x, y)], dim=1) for y in (margins[1], 1.0 - margins[1])]
    return torch.cat(edges)


def radial(a: Tensor, b: Tensor) -> Tensor:
    """The spline's kernel, r^2 log r, between places (M, 2) and (K, 2): (M, K)."""
    square = (a[:, None] - b).square().sum(2)
    return torch.where(square > 0, 0.5 * square * torch.log(square), 0.0)


def spline_solver(points: Tensor) -> Tensor:
    """The matrix that turns where control points (K, 2) lie in a picture into coefficients: (K + 3, K)."""
    count = len(points)
    affine = torch.cat([torch.ones_like(points[:, :1]), points], dim=1)
    upper = torch.cat([radial(points, points), affine], dim=1)
    lower = torch.cat([affine.T, torch.zeros(3, 3, dtype=points.dtype)], dim=1)
    # in float32, as upstream: what this rounds away is more than what a network rounds
    return torch.linalg.inv(torch.cat([upper, lower]).float())[:, :count]


def spline_basis(points: Tensor, size: Sequence[int]) -> Tensor:
    """Values of the spline's functions at the pixels, row by row: (H * W, K + 3)."""
    height, width = size
    y = torch.arange(height, dtype=points.dtype) / (height - 1)
    x = torch.arange(width, dtype=points.dtype) / (width - 1)
    places = torch.stack([x.repeat(height), y.repeat_interleave(width)], dim=1)
    return torch.cat([radial(places, points), torch.ones_like(places[:, :1]), places], dim=1).float()


def spline(count: int, size: Sequence[int], margins: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Solver and basis for pictures of a size (H, W) with `count` control points, on the CPU."""
    with torch.device("cpu"):  # in float64, which not every device has
        straight = edge_points(count, margins)
        return spline_solver(straight), spline_basis(straight, size)


def straightened(x: Tensor, points: Tensor, size: tuple[int, ...], spline: tuple[Tensor, Tensor]) -> Tensor:
    """Pictures (N, C, H, W) with the text between control points (N, K, 2) drawn straight. spline: of `size`."""
    solver, basis = (part.to(points) for part in spline)
    grid = (basis @ (solver @ points)).clamp(0.0, 1.0) * 2.0 - 1.0
    return F.grid_sample(x, grid.unflatten(1, size), align_corners=True)


class STN(nn.Module):
    """Straightens text: (N, C, H, W) -> (N, C, *tps_outputsize). Upstream `STN_ON`.

    tps_inputsize: what the control points are looked for in; tps_margins: of the straight text, x and y.
    """

    def __init__(
        self,
        in_channels: int = 3,
        tps_inputsize: Sequence[int] = (32, 64),
        tps_outputsize: Sequence[int] = (32, 100),
        num_control_points: int = 20,
        tps_margins: Sequence[float] = (0.05, 0.05),
    ) -> None:
        super().__init__()
        self.out_channels = in_channels
        self.small, self.size = tuple(tps_inputsize), tuple(tps_outputsize)
        # plain tensors: no weights, and solved here because no exporter has an operation for it
        self.spline = spline(num_control_points, self.size, tps_margins)
        self.stn_head = EdgeNetwork(in_channels, num_control_points)

    def forward(self, x: Tensor) -> Tensor:
        small = F.interpolate(x, self.small, mode="bilinear", align_corners=True)
        points = self.stn_head(small)
        return straightened(x, points, self.size, self.spline)
