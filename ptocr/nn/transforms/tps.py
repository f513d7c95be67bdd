"""Thin plate spline rectification (TPS) of text lines: STAR-Net (BMVC 2016), RARE (arXiv 1603.03915).

Upstream: ppocr/modeling/transforms/tps.py.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import ConvBN

# channels of the localization network's convolutions, width of its hidden linear layer
SIZES = {"large": ((64, 128, 256, 512), 256), "small": ((16, 32, 64, 128), 64)}
EPSILON = 1e-6


class LocalizationNetwork(nn.Module):
    """(N, C, H, W) -> control points (N, K, 2) of the text, in [-1, 1] of the picture, x first."""

    def __init__(self, in_channels: int, points: int, size: Literal["large", "small"]) -> None:
        super().__init__()
        widths, hidden = SIZES[size]
        self.depth = len(widths)
        for i, width in enumerate(widths):
            self.add_module(f"loc_conv{i}", ConvBN(in_channels, width, 3, act="relu"))
            in_channels = width
        self.fc1 = nn.Linear(in_channels, hidden)
        self.fc2 = nn.Linear(hidden, 2 * points)
        begin_with(self.fc2, first_points(points))

    def forward(self, x: Tensor) -> Tensor:
        for i in range(self.depth):
            x = getattr(self, f"loc_conv{i}")(x)
            if i + 1 < self.depth:
                x = F.max_pool2d(x, 2)
        x = F.relu(self.fc1(x.mean((2, 3))))
        return self.fc2(x).unflatten(1, (-1, 2))


def begin_with(layer: nn.Linear, values: Tensor) -> None:
    """Let an untrained layer answer `values` whatever it is given."""
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.copy_(values.flatten())


def first_points(count: int) -> Tensor:
    """What is found before anything was learnt: the upper edge falls from the middle, the lower one rises to it (arXiv
    1603.03915, figure 6a), (K, 2)."""
    x, down = torch.linspace(-1.0, 1.0, count // 2), torch.linspace(0.0, -1.0, count // 2)
    return torch.cat([torch.stack([x, down], dim=1), torch.stack([x, down + 1.0], dim=1)])


def base_points(count: int) -> Tensor:
    """Where the control points of straight text lie: half along the upper edge, half along the lower one, (K, 2)."""
    x = torch.linspace(-1.0, 1.0, count // 2, dtype=torch.float64)
    edges = [torch.stack([x, torch.full_like(x, y)], dim=1) for y in (-1.0, 1.0)]
    return torch.cat(edges)


def pixel_centers(height: int, width: int) -> Tensor:
    """Centres of the pixels in [-1, 1], row by row, x first: (H * W, 2)."""
    y = (2 * torch.arange(height, dtype=torch.float64) + 1 - height) / height
    x = (2 * torch.arange(width, dtype=torch.float64) + 1 - width) / width
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=2).flatten(0, 1)


def spline_basis(points: Tensor, at: Tensor) -> Tensor:
    """Values of the spline's functions at (M, 2) places: 1, x, y, then r^2 log r of each control point, (M, 3 + K)."""
    distance = torch.cdist(at, points)
    radial = distance**2 * torch.log(distance + EPSILON)
    return torch.cat([torch.ones_like(at[:, :1]), at, radial], dim=1)


def spline_solver(points: Tensor) -> Tensor:
    """The matrix that turns targets of the control points (and three more rows) into coefficients, (3 + K, 3 + K)."""
    count = len(points)
    distance = torch.cdist(points, points) + torch.eye(count, dtype=points.dtype)
    radial = distance**2 * torch.log(distance)
    ones = torch.ones_like(points[:, :1])
    upper = torch.cat([ones, points, radial], dim=1)
    lower = torch.cat([torch.zeros(3, 3, dtype=points.dtype), torch.cat([points, ones], dim=1).T], dim=1)
    return torch.linalg.inv(torch.cat([upper, lower]))


class GridGenerator(nn.Module):
    """Control points (N, K, 2) -> sampling grid (N, H, W, 2). Three more rows of the system come from a linear layer,
    which is zero and does not learn."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.fc = nn.Linear(2 * points, 6)
        begin_with(self.fc, torch.zeros(6))
        with torch.device("cpu"):  # in float64, which not every device has
            self.points = base_points(points)
            # a plain tensor: no weight, and solved here because no exporter has an operation for it
            self.system = spline_solver(self.points).float()

    def forward(self, targets: Tensor, height: int, width: int) -> Tensor:
        with torch.device("cpu"):
            basis = spline_basis(self.points, pixel_centers(height, width)).float().to(targets)
        more = self.fc(targets.flatten(1)).unflatten(1, (3, 2))
        rows = torch.cat([targets, more.detach() if self.training else more], dim=1)
        return (basis @ (self.system.to(targets) @ rows)).unflatten(1, (height, width))


class TPS(nn.Module):
    """Straightens text: (N, C, H, W) -> (N, C, H, W).

    num_fiducial: control points; model_name: size of the network that finds them.
    """

    def __init__(
        self, in_channels: int = 3, num_fiducial: int = 20, model_name: Literal["large", "small"] = "large"
    ) -> None:
        super().__init__()
        self.out_channels = in_channels
        self.loc_net = LocalizationNetwork(in_channels, num_fiducial, model_name)
        self.grid_generator = GridGenerator(num_fiducial)

    def forward(self, x: Tensor) -> Tensor:
        grid = self.grid_generator(self.loc_net(x), x.shape[2], x.shape[3])
        return F.grid_sample(x, grid, align_corners=True)
