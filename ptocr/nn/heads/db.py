"""Differentiable-binarisation heads (arXiv 1911.08947). Upstream: ppocr/modeling/heads/det_db_head.py."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, Reparam, fold_bn
from ptocr.nn.necks.db_fpn import concat_at_finest
from ptocr.nn.network import Head


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

    def last(self, features: Tensor) -> Tensor:
        """From there to probabilities at full size: (N, 1, H, W)."""
        return torch.sigmoid(self.conv3(features))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.features(x))

    def fused(self) -> nn.Module:
        return FusedMapBranch(self)


def doubled(kernel: Tensor) -> Tensor:
    """(out, in, k, k), k odd -> (in, out, k + 1, k + 1) of the transposed convolution (stride 2, padding k // 2) that
    equals doubling the picture by nearest neighbour and convolving."""
    size = kernel.shape[2]
    # the taps of the one that add up to each tap of the other: 3 wide (2), (1, 2), (0, 1), (0)
    taps = [[t for t in (size - 1 - u, size - u) if 0 <= t < size] for u in range(size + 1)]
    wide = kernel.double().transpose(0, 1)
    rows = torch.stack([wide[:, :, few].sum(2) for few in taps], dim=2)
    return torch.stack([rows[:, :, :, few].sum(3) for few in taps], dim=3).to(kernel.dtype)


def doubling(conv: nn.Conv2d) -> nn.ConvTranspose2d:
    """The transposed convolution, without bias, that equals doubling the picture by nearest neighbour and `conv`."""
    size, pad = conv.kernel_size[0], conv.padding[0]
    twin = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, size + 1, stride=2, padding=pad, bias=False)
    twin.weight = nn.Parameter(doubled(conv.weight.detach()), requires_grad=False)
    return twin


class PyramidConv(nn.Module):
    """A convolution over `concat_at_finest`, from the maps themselves: finest first -> (N, O, H / 4, W / 4).

    What the coarser maps add is computed at half the size: less than six tenths of the multiplications for 3 x 3.
    """

    def __init__(self, conv: nn.Conv2d, levels: int = 4) -> None:
        super().__init__()
        weight, size, pad = conv.weight.detach(), conv.kernel_size[0], conv.padding[0]
        assert conv.kernel_size == (size, size) and size == 2 * pad + 1, "the picture keeps its size"
        channels, coarse = conv.out_channels, conv.in_channels - conv.in_channels // levels
        self.fine = nn.Conv2d(conv.in_channels - coarse, channels, size, padding=pad)
        self.fine.weight = nn.Parameter(weight[:, coarse:].clone(), requires_grad=False)
        self.fine.bias = conv.bias
        self.coarse = nn.ConvTranspose2d(coarse, channels, size + 1, stride=2, padding=pad, bias=False)
        self.coarse.weight = nn.Parameter(doubled(weight[:, :coarse]), requires_grad=False)

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.fine(maps[0]) + self.coarse(concat_at_finest(maps[1:]))


class FoldedMapBranch(nn.Module):
    """`MapBranch` with its batch norms folded."""

    def __init__(self, branch: MapBranch) -> None:
        super().__init__()
        self.conv1: nn.Module = fold_bn(branch.conv1, branch.conv_bn1)
        self.conv2 = fold_bn(branch.conv2, branch.conv_bn2)
        self.conv3 = branch.conv3

    def features(self, x: Tensor) -> Tensor:
        """As `MapBranch.features`."""
        return F.relu(self.conv2(F.relu(self.conv1(x))))

    def last(self, features: Tensor) -> Tensor:
        """As `MapBranch.last`."""
        return torch.sigmoid(self.conv3(features))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.features(x))


class FusedMapBranch(FoldedMapBranch, Fusible):
    """A folded branch that nobody taps halfway."""

    def fused(self) -> nn.Module:
        return SubpixelMapBranch(self)


class TappedMapBranch(MapBranch):
    """A branch whose half-size features are used beside its output."""

    def fused(self) -> nn.Module:
        branch = FoldedMapBranch(self)
        branch.conv1 = PyramidConv(branch.conv1)
        return branch


class SubpixelMapBranch(nn.Module):
    """The branch computed at a quarter of the size throughout.

    Its transposed convolutions do not overlap (2x2, stride 2), so that each pixel becomes a 4x4 block by itself: two
    pointwise convolutions over the block's values, put in place at the end. No enlarged map of many channels exists.
    """

    def __init__(self, branch: FoldedMapBranch) -> None:
        super().__init__()
        grow, finish = _pointwise_twin(branch.conv2), _pointwise_twin(branch.conv3)
        hidden = branch.conv2.out_channels
        blocks = _pointwise(4 * hidden, 16, grow.weight)
        blocks.weight.zero_()
        blocks.bias.copy_(finish.bias.repeat(4))  # type: ignore[union-attr]
        for row, column, inner_row, inner_column in itertools.product(range(2), repeat=4):
            inside = 2 * inner_row + inner_column
            outside = 4 * (2 * row + inner_row) + 2 * column + inner_column  # place in the 4x4 block
            begin = (2 * row + column) * hidden
            blocks.weight[outside, begin : begin + hidden] = finish.weight[inside]
        shuffle = nn.PixelShuffle(4)
        self.blocks = nn.Sequential(
            PyramidConv(branch.conv1), nn.ReLU(), grow, nn.ReLU(), blocks, nn.Sigmoid(), shuffle
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


@torch.no_grad()
def _pointwise_twin(conv: nn.ConvTranspose2d) -> nn.Conv2d:
    """A 2x2, stride 2 transposed convolution as a pointwise one; output channels: (place in the 2x2 cell, out)."""
    twin = _pointwise(conv.in_channels, 4 * conv.out_channels, conv.weight)
    weight = conv.weight.permute(2, 3, 1, 0)  # (in, out, 2, 2) -> (2, 2, out, in)
    twin.weight.copy_(weight.reshape(-1, conv.in_channels, 1, 1))
    twin.bias.copy_(conv.bias.repeat(4))  # type: ignore[union-attr]
    return twin


def _pointwise(in_channels: int, out_channels: int, like: Tensor) -> nn.Conv2d:
    """A frozen pointwise convolution of the type and on the device of `like`."""
    return nn.Conv2d(in_channels, out_channels, 1, device=like.device, dtype=like.dtype).requires_grad_(False)


class ExportedMapBranch(MapBranch, Reparam):
    """A branch whose batch norms Paddle's export folds, as it does from PP-OCRv6 on."""


class JoinedMapBranch(MapBranch):
    """A branch behind a neck that does not leave its maps apart (adaptive scale fusion)."""

    def fused(self) -> nn.Module:
        return FoldedMapBranch(self)


LEVELS = {"p4": 4, "p3": 2, "p2": 1}  # of the auxiliary heads: how much finer their output is than the pyramid's map


class DBHead(Head):
    """(N, C, H / 4, W / 4) -> probability map (N, 1, H, W).

    k: steepness of the differentiable threshold. The threshold branch exists for training only, and so do the heads for
    the pyramid's maps of `aux_in_channels` channels, where that is not 0.
    """

    BRANCH: type[MapBranch] = MapBranch

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
        branch = ExportedMapBranch if rep else self.BRANCH
        self.k = k
        self.binarize = branch(in_channels, kernel_list)
        self.thresh = branch(in_channels, kernel_list) if train else None
        self.levels = LEVELS if train and aux_in_channels else {}
        for level in self.levels:
            self.add_module(f"aux_binarize_{level}", branch(aux_in_channels, kernel_list))
            self.add_module(f"aux_thresh_{level}", branch(aux_in_channels, kernel_list))

    def forward(self, x: Tensor) -> Tensor:
        return self.binarize(x)

    def answer(self, features: Tensor) -> Tensor:
        return self(features)

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


class JoinedDBHead(DBHead):
    """`DBHead` of DB++."""

    BRANCH = JoinedMapBranch


def step(shrink: Tensor, threshold: Tensor, k: int) -> Tensor:
    """Differentiable binarisation, equation 2 of the paper."""
    return torch.sigmoid(k * (shrink - threshold))
