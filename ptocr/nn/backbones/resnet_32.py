"""ResNet of 32 layers for text lines (FAN, ICCV 2017): one branch (SPIN), or two behind a common trunk (RFL).

Upstream: ppocr/modeling/backbones/rec_resnet_32.py, rec_resnet_rfl.py.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.backbones.plain_resnet import PlainBlock
from ptocr.nn.fuse import Fusible, with_folded
from ptocr.nn.layers import Size

TRUNK, BRANCH = ("0_1", "0_2", "1", "2"), ("3", "4_1", "4_2")  # convolutions, by what upstream calls them
CHANNELS = 512
# By convolution: kernel, stride, padding
SHAPES: dict[str, tuple[int, Size, Size]] = {"4_1": (2, (2, 1), (0, 1)), "4_2": (2, 1, 0)}


def _add_step(owner: nn.Module, name: str, in_channels: int, channels: int, prefix: str = "") -> None:
    kernel, stride, padding = SHAPES.get(name, (3, 1, 1))
    owner.add_module(f"{prefix}conv{name}", nn.Conv2d(in_channels, channels, kernel, stride, padding, bias=False))
    owner.add_module(f"{prefix}bn{name}", nn.BatchNorm2d(channels))


def _blocks(in_channels: int, channels: int, depth: int) -> nn.Sequential:
    return nn.Sequential(PlainBlock(in_channels, channels), *(PlainBlock(channels, channels) for _ in range(depth - 1)))


def _step(owner: nn.Module, name: str, x: Tensor, prefix: str = "") -> Tensor:
    """Convolution, batch norm, activation."""
    return F.relu(getattr(owner, f"{prefix}bn{name}")(getattr(owner, f"{prefix}conv{name}")(x)))


def _add_trunk(owner: nn.Module, in_channels: int) -> None:
    sizes = {"0_1": (in_channels, 32), "0_2": (32, 64), "1": (128, 128), "2": (256, 256)}
    for name, (before, after) in sizes.items():
        _add_step(owner, name, before, after)
    owner.layer1, owner.layer2 = _blocks(64, 128, 1), _blocks(128, 256, 2)


def _add_branch(owner: nn.Module, prefix: str = "") -> None:
    owner.add_module(f"{prefix}layer3", _blocks(256, CHANNELS, 5))
    owner.add_module(f"{prefix}layer4", _blocks(CHANNELS, CHANNELS, 3))
    for name in BRANCH:
        _add_step(owner, name, CHANNELS, CHANNELS, prefix)


def _trunk(owner: nn.Module, x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 256, H / 4, W / 4)."""
    x = _step(owner, "0_2", _step(owner, "0_1", x))
    for stage in ("1", "2"):
        x = _step(owner, stage, getattr(owner, f"layer{stage}")(F.max_pool2d(x, 2)))
    return x


def _branch(owner: nn.Module, x: Tensor, prefix: str = "") -> Tensor:
    """(N, 256, h, w) -> (N, 512, h / 8, w + 1)."""
    x = F.max_pool2d(x, 2, (2, 1), (0, 1))
    x = _step(owner, "3", getattr(owner, f"{prefix}layer3")(x), prefix)
    x = _step(owner, "4_1", getattr(owner, f"{prefix}layer4")(x), prefix)
    return _step(owner, "4_2", x, prefix)


def _pairs(names: tuple[str, ...], *prefixes: str) -> dict[str, str]:
    return {f"{prefix}conv{name}": f"{prefix}bn{name}" for prefix in prefixes for name in names}


class _Whole(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _branch(self, _trunk(self, x))


class Whole(_Whole, Fusible):
    """Trunk and branch in one module."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        _add_trunk(self, in_channels)
        _add_branch(self)

    def fused(self) -> nn.Module:
        return with_folded(self, _Whole, _pairs((*TRUNK, *BRANCH), ""))


class ResNet32(nn.Module):
    """(N, C, 32, W) -> (N, 512, 1, W / 4 + 1)."""

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.out_channels = CHANNELS
        self.ConvNet = Whole(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.ConvNet(x)


class _Trunk(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _trunk(self, x)


class Trunk(_Trunk, Fusible):
    """What two branches have in common."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        _add_trunk(self, in_channels)

    def fused(self) -> nn.Module:
        return with_folded(self, _Trunk, _pairs(TRUNK, ""))


class _Branches(nn.Module):
    backbone: nn.ModuleDict

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.backbone["ConvNet"](x)
        return _branch(self, x, "v_"), _branch(self, x)


class ResNetRFL(_Branches, Fusible):
    """(N, C, 32, W) -> maps (N, 512, 1, W / 4 + 1) for counting and for reading characters."""

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.out_channels = CHANNELS
        self.backbone = nn.ModuleDict({"ConvNet": Trunk(in_channels)})
        _add_branch(self)
        _add_branch(self, "v_")

    def fused(self) -> nn.Module:
        return with_folded(self, _Branches, _pairs(BRANCH, "", "v_"))


class _Counting(nn.Module):
    backbone: nn.ModuleDict

    def forward(self, x: Tensor) -> Tensor:
        return _branch(self, self.backbone["ConvNet"](x), "v_")


class ResNetRFLVisual(_Counting, Fusible):
    """The counting branch alone, which RFL is begun with: (N, C, 32, W) -> (N, 512, 1, W / 4 + 1)."""

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.out_channels = CHANNELS
        self.backbone = nn.ModuleDict({"ConvNet": Trunk(in_channels)})
        _add_branch(self, "v_")

    def fused(self) -> nn.Module:
        return with_folded(self, _Counting, _pairs(BRANCH, "v_"))
