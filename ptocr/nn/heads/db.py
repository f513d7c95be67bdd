"""Differentiable-binarisation heads (arXiv 1911.08947). Upstream: ppocr/modeling/heads/det_db_head.py."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, Reparam, fold_bn


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


class ExportedMapBranch(MapBranch, Reparam):
    """A branch whose batch norms Paddle's export folds, as it does from PP-OCRv6 on."""


LEVELS = {"p4": 4, "p3": 2, "p2": 1}  # of the auxiliary heads: how much finer their output is than the pyramid's map


class DBHead(nn.Module):
    """(N, C, H / 4, W / 4) -> probability map (N, 1, H, W).

    k: steepness of the differentiable threshold. The threshold branch exists for training only, and so do the heads for
    the pyramid's maps of `aux_in_channels` channels, where that is not 0.
    """

    def __init__(
        self,
        in_channels: int,
        k: int = 50,
        kernel_list: tuple[int, int, int] = (3, 2, 2),
        aux_in_channels: int = 0,
        rep: bool = False,
        train: bool = False,
    ) -> None:
        super().__init__()
        branch = ExportedMapBranch if rep else MapBranch
        self.k = k
        self.binarize = branch(in_channels, kernel_list)
        self.thresh = branch(in_channels, kernel_list) if train else None
        self.levels = LEVELS if train and aux_in_channels else {}
        for level in self.levels:
            self.add_module(f"aux_binarize_{level}", branch(aux_in_channels, kernel_list))
            self.add_module(f"aux_thresh_{level}", branch(aux_in_channels, kernel_list))

    def forward(self, x: Tensor) -> Tensor:
        return self.binarize(x)

    def forward_train(
        self, x: Tensor, targets: dict[str, Tensor] | None = None, merged: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The three maps of the DB loss, each (N, 1, H, W), and "aux_p2.shrink" etc. where there are auxiliary heads.

        merged: the pyramid's maps "p2", "p3", "p4", which the auxiliary heads look at.
        """
        assert self.thresh is not None, "built without train=True"
        outputs = self._maps(x, self.binarize, self.thresh)
        for level, factor in self.levels.items() if merged else ():
            finer = merged[level]
            if factor > 1:
                finer = F.interpolate(finer, scale_factor=float(factor), mode="bilinear", align_corners=False)
            maps = self._maps(finer, getattr(self, f"aux_binarize_{level}"), getattr(self, f"aux_thresh_{level}"))
            outputs |= {f"aux_{level}.{name}": value for name, value in maps.items()}
        return outputs

    def _maps(self, x: Tensor, binarize: nn.Module, thresh: nn.Module) -> dict[str, Tensor]:
        shrink, threshold = binarize(x), thresh(x)
        return {"shrink": shrink, "threshold": threshold, "binary": step(shrink, threshold, self.k)}


def step(shrink: Tensor, threshold: Tensor, k: int) -> Tensor:
    """Differentiable binarisation, equation 2 of the paper."""
    return torch.sigmoid(k * (shrink - threshold))
