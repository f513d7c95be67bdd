"""UVDoc (arXiv 2302.02887): from the photograph of a bent page to the picture of a flat one.

Upstream: PaddleX, image_unwarping; the authors' github.com/tanguymagne/UVDoc.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, fold_bn
from ptocr.nn.layers import FoldingSequential
from ptocr.nn.network import Network

SIZE = (712, 488)  # height and width that the network looks at
KERNEL = 5
WIDTH = 32
STAGES = ((WIDTH, 3, 1), (2 * WIDTH, 4, 2), (4 * WIDTH, 6, 2))  # channels, blocks, stride of the first block
DILATION = 3  # of every block but the first of a stage
BRIDGES = ((1,), (2,), (5,), (8, 3, 2), (12, 7, 4), (18, 12, 6))  # dilations, one branch each


class Block(Fusible):
    """Two 5 x 5 convolutions with a shortcut; the first block of a stage changes the size, the others are dilated."""

    def __init__(self, in_channels: int, channels: int, stride: int, first: bool) -> None:
        super().__init__()
        self.downsample: nn.Module | None = None
        if stride > 1:
            self.downsample = FoldingSequential(_conv(in_channels, channels, stride), nn.BatchNorm2d(channels))
        dilation = 1 if first else DILATION
        conv1, conv2 = _conv(in_channels, channels, stride, dilation), _conv(channels, channels, 1, dilation)
        # upstream wraps the dilated ones, which shows in their names
        self.conv1: nn.Module = conv1 if first else nn.Sequential(conv1)
        self.conv2: nn.Module = conv2 if first else nn.Sequential(conv2)
        self.bn1 = nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)

    def fused(self) -> nn.Module:
        return FusedBlock(self)


class FusedBlock(nn.Module):
    """`Block` with its batch norms folded."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.conv1 = fold_bn(_bare(block.conv1), block.bn1)
        self.conv2 = fold_bn(_bare(block.conv2), block.bn2)
        self.downsample = block.downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.conv2(F.relu(self.conv1(x))) + shortcut)


def _conv(in_channels: int, channels: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (KERNEL // 2)
    return nn.Conv2d(in_channels, channels, KERNEL, stride, padding, dilation)


def _bare(module: nn.Module) -> nn.Conv2d:
    conv = module[0] if isinstance(module, nn.Sequential) else module
    assert isinstance(conv, nn.Conv2d)
    return conv


class Stages(nn.Module):
    """(N, 32, h, w) -> (N, 128, h / 4, w / 4)."""

    def __init__(self) -> None:
        super().__init__()
        before = WIDTH
        for number, (channels, blocks, stride) in enumerate(STAGES, start=1):
            first = Block(before, channels, stride, first=True)
            rest = (Block(channels, channels, 1, first=False) for _ in range(blocks - 1))
            self.add_module(f"layer{number}", nn.Sequential(first, *rest))
            before = channels

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.children():
            x = stage(x)
        return x


class SharedPReLU(nn.Module):
    """PReLU with one slope for all channels, under Paddle's name."""

    def __init__(self) -> None:
        super().__init__()
        self._weight = nn.Parameter(torch.full((1,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self._weight)


def _bridge(dilations: tuple[int, ...], channels: int) -> nn.Sequential:
    return nn.Sequential(
        *(
            FoldingSequential(
                nn.Conv2d(channels, channels, 3, padding=d, dilation=d, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
            )
            for d in dilations
        )
    )


def _positions(in_channels: int, coordinates: int) -> FoldingSequential:
    """The head that gives `coordinates` values per grid point."""
    reflect = {"padding": KERNEL // 2, "padding_mode": "reflect"}
    return FoldingSequential(
        nn.Conv2d(in_channels, WIDTH, KERNEL, bias=False, **reflect),
        nn.BatchNorm2d(WIDTH),
        SharedPReLU(),
        nn.Conv2d(WIDTH, coordinates, KERNEL, **reflect),
    )


class UVDoc(Network):
    """Picture (N, 3, H, W) in [0, 1] -> the unwarped picture (N, 3, H, W), black where it lies outside.

    The head for the page's shape in space exists for training only.
    """

    def __init__(self, train: bool = False) -> None:
        super().__init__()
        channels = STAGES[-1][0]
        self.resnet_head = FoldingSequential(
            nn.Conv2d(3, WIDTH, KERNEL, 2, KERNEL // 2, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, KERNEL, 2, KERNEL // 2, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
        )
        self.resnet_down = Stages()
        for number, dilations in enumerate(BRIDGES, start=1):
            self.add_module(f"bridge_{number}", _bridge(dilations, channels))
        self.bridge_concat = FoldingSequential(
            nn.Conv2d(len(BRIDGES) * channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.out_point_positions2D = _positions(channels, 2)
        self.out_point_positions3D = _positions(channels, 3) if train else None

    def features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 128, 45, 31)."""
        x = F.interpolate(x, SIZE, mode="bilinear", align_corners=True)
        x = self.resnet_down(self.resnet_head(x))
        branches = [getattr(self, f"bridge_{number}") for number in range(1, len(BRIDGES) + 1)]
        return self.bridge_concat(torch.cat([branch(x) for branch in branches], dim=1))

    def grid(self, x: Tensor) -> Tensor:
        """Where in the picture the points of a regular grid on the flat page lie: (N, 2, 45, 31), x, y in [-1, 1]."""
        return self.out_point_positions2D(self.features(x))

    def forward(self, x: Tensor) -> Tensor:
        return unwarp(x, self.grid(x))

    def decoding(self) -> nn.Module:
        return FlatWithGrid(self)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The grid and the page's shape: "grid" (N, 2, 45, 31) and "shape" (N, 3, 45, 31)."""
        assert self.out_point_positions3D is not None, "built without train=True"
        features = self.features(x)
        return {"grid": self.out_point_positions2D(features), "shape": self.out_point_positions3D(features)}


def unwarp(x: Tensor, grid: Tensor) -> Tensor:
    """Sample the picture (N, 3, H, W) at the grid (N, 2, h, w), enlarged to the picture's size.

    In float32 whatever the type of x: a half's 11 bits would miss the pixel.
    """
    points = F.interpolate(grid.float(), x.shape[2:], mode="bilinear", align_corners=True)
    flat = F.grid_sample(x.float(), points.permute(0, 2, 3, 1), padding_mode="zeros", align_corners=True)
    return flat.to(x.dtype)


class FlatWithGrid(nn.Module):
    """UVDoc that also says where it took the points of the flat page from.

    (N, 3, H, W) -> the flat page (N, 3, H, W), its grid (N, 2, 45, 31) in [-1, 1].
    """

    output_names = ("y", "grid")

    def __init__(self, network: UVDoc) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        grid = self.network.grid(x)
        return unwarp(x, grid), grid
