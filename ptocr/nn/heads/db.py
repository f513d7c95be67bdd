"""Differentiable-binarisation heads (arXiv 1911.08947). Upstream: ppocr/modeling/heads/det_db_head.py."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, fold_bn


class MapBranch(Fusible):
    """Convolution and two transposed convolutions up to full size, sigmoid (upstream `Head`)."""

    def __init__(self, in_channels: int, kernels: tuple[int, int, int]) -> None:
        super().__init__()
        hidden = in_channels // 4
        self.conv1 = nn.Conv2d(in_channels, hidden, kernels[0], padding=kernels[0] // 2, bias=False)
        self.conv_bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.ConvTranspose2d(hidden, hidden, kernels[1], stride=2)
        self.conv_bn2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.ConvTranspose2d(hidden, 1, kernels[2], stride=2)

    def features(self, x: Tensor) -> Tensor:
        """The map at half the picture's size, before the last transposed convolution: (N, C / 4, H / 2, W / 2)."""
        x = F.relu(self.conv_bn1(self.conv1(x)))
        return F.relu(self.conv_bn2(self.conv2(x)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv3(self.features(x)))

    def fused(self) -> nn.Module:
        return FusedMapBranch(self)


class FusedMapBranch(nn.Module):
    """`MapBranch` with its batch norms folded."""

    def __init__(self, branch: MapBranch) -> None:
        super().__init__()
        self.conv1 = fold_bn(branch.conv1, branch.conv_bn1)
        self.conv2 = fold_bn(branch.conv2, branch.conv_bn2)
        self.conv3 = branch.conv3

    def features(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv3(self.features(x)))


class DBHead(nn.Module):
    """(N, C, H / 4, W / 4) -> probability map (N, 1, H, W).

    k: steepness of the differentiable threshold; the threshold branch exists for training only.
    """

    def __init__(
        self, in_channels: int, k: int = 50, kernel_list: tuple[int, int, int] = (3, 2, 2), train: bool = False
    ) -> None:
        super().__init__()
        self.k = k
        self.binarize = MapBranch(in_channels, kernel_list)
        self.thresh = MapBranch(in_channels, kernel_list) if train else None

    def forward(self, x: Tensor) -> Tensor:
        return self.binarize(x)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The three maps of the DB loss, each (N, 1, H, W)."""
        assert self.thresh is not None, "built without train=True"
        shrink, threshold = self.binarize(x), self.thresh(x)
        return {"shrink": shrink, "threshold": threshold, "binary": step(shrink, threshold, self.k)}


def step(shrink: Tensor, threshold: Tensor, k: int) -> Tensor:
    """Differentiable binarisation, equation 2 of the paper."""
    return torch.sigmoid(k * (shrink - threshold))
