"""ResNet of tables with global context blocks (TableMaster, arXiv 2105.01848; MASTER, arXiv 1910.02562).

Upstream: ppocr/modeling/backbones/table_master_resnet.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.backbones.plain_resnet import Body, PlainBlock
from ptocr.nn.fuse import Fusible, with_folded

RATIO = 16  # how much narrower the middle of a context block is


class ContextBlock(nn.Module):
    """Adds to every cell what an attention over the whole map sees: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // RATIO
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        self.channel_add_conv = nn.ModuleList(
            [nn.Conv2d(channels, inner, 1), nn.LayerNorm(inner), nn.ReLU(), nn.Conv2d(inner, channels, 1)]
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.conv_mask(x).flatten(2).softmax(2)  # (N, 1, H * W)
        context = (x.flatten(2) @ weights.transpose(1, 2)).unsqueeze(3)  # (N, C, 1, 1)
        narrow, norm, act, widen = self.channel_add_conv
        return x + widen(act(norm(narrow(context).flatten(1)))[:, :, None, None])


class _ContextBody(Body):
    context_block: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        y = self.context_block(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ContextResidual(_ContextBody, Fusible):
    """Two convolutions and a context block, with a shortcut."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        plain = PlainBlock(in_channels, channels)
        for name, module in plain.named_children():
            self.add_module(name, module)
        self.downsample = plain.downsample
        self.context_block = ContextBlock(channels)

    def fused(self) -> nn.Module:
        return with_folded(self, _ContextBody, {"conv1": "bn1", "conv2": "bn2"})


# By stage: channels, and whether it begins with a context block and a halving of the map in front of it
STAGES = ((256, False, True), (256, True, True), (512, True, True), (512, True, False))


class _Stages(nn.Module):
    """What the network computes: three maps."""

    def forward(self, x: Tensor) -> list[Tensor]:
        for name in ("1", "2"):
            x = self.step(name, x)
        maps = []
        for stage, (_, _, halves) in enumerate(STAGES, start=1):
            if halves:
                x = F.max_pool2d(x, 2)
            x = self.step(str(stage + 2), getattr(self, f"layer{stage}")(x))
            if stage != 3:
                maps.append(x)
        return maps

    def step(self, name: str, x: Tensor) -> Tensor:
        """Convolution, batch norm, activation."""
        return F.relu(getattr(self, f"bn{name}")(getattr(self, f"conv{name}")(x)))


class TableResNet(_Stages, Fusible):
    """(N, 3, H, W) -> (N, 256, H / 2, W / 2), (N, 256, H / 4, W / 4), (N, 512, H / 8, W / 8)."""

    def __init__(self, layers: Sequence[int] = (1, 2, 5, 3)) -> None:
        super().__init__()
        self.out_channels = [256, 256, 512]
        channels = 3
        for name, width in (("1", 64), ("2", 128)):
            self._add_conv(name, channels, width)
            channels = width
        for stage, ((width, context, _), depth) in enumerate(zip(STAGES, layers, strict=True), start=1):
            first = ContextResidual(channels, width) if context else PlainBlock(channels, width)
            rest = [PlainBlock(width, width) for _ in range(depth - 1)]
            self.add_module(f"layer{stage}", nn.Sequential(first, *rest))
            self._add_conv(str(stage + 2), width, width)
            channels = width

    def _add_conv(self, name: str, in_channels: int, channels: int) -> None:
        self.add_module(f"conv{name}", nn.Conv2d(in_channels, channels, 3, padding=1, bias=False))
        self.add_module(f"bn{name}", nn.BatchNorm2d(channels))

    def fused(self) -> nn.Module:
        return with_folded(self, _Stages, {f"conv{n}": f"bn{n}" for n in range(1, 7)})
