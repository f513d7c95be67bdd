"""SVTR (arXiv 2205.00159): a line as tokens, mixed nearby and far. CPPD (arXiv 2307.12270) uses it too.

Upstream: ppocr/modeling/backbones/rec_svtrnet.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import ConvNorm, drop_path
from ptocr.nn.necks.sequence import Attention, Mlp

EPS = 1e-6
MLP_RATIO = 4
DROPPED = 0.1  # of the last map, in training
DROPPED_PATHS = 0.1  # of samples, by the last block, in training
Mixer = Literal["Local", "Global", "Conv"]
Grid = tuple[int, int]  # rows and columns of tokens


def near(grid: Grid, window: Sequence[int], device: torch.device) -> Tensor:
    """Which tokens of a grid are within each other's window, (H * W, H * W) bool."""
    y, x = (torch.arange(n, device=device) for n in grid)
    rows = (y[:, None] - y).abs() <= window[0] // 2
    columns = (x[:, None] - x).abs() <= window[1] // 2
    return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(2).flatten(0, 1)


class GlobalMixer(Attention):
    """Every token looks at all of them: (N, H * W, C) -> (N, H * W, C)."""

    def forward(self, x: Tensor, grid: Grid) -> Tensor:  # type: ignore[override]
        return super().forward(x)


class LocalMixer(Attention):
    """Every token looks at those in a window around it."""

    def __init__(self, dim: int, heads: int, window: Sequence[int]) -> None:
        super().__init__(dim, heads)
        self.window = window

    def forward(self, x: Tensor, grid: Grid) -> Tensor:  # type: ignore[override]
        return super().forward(x, near(grid, self.window, x.device))


class ConvMixer(nn.Module):
    """A grouped convolution over the grid, one group per head."""

    def __init__(self, dim: int, heads: int, window: Sequence[int]) -> None:
        super().__init__()
        height, width = window
        self.local_mixer = nn.Conv2d(dim, dim, (height, width), padding=(height // 2, width // 2), groups=heads)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        return self.local_mixer(x.transpose(1, 2).unflatten(2, grid)).flatten(2).transpose(1, 2)


def _mixer(name: Mixer, dim: int, heads: int, window: Sequence[int]) -> nn.Module:
    if name == "Global":
        return GlobalMixer(dim, heads)
    return {"Local": LocalMixer, "Conv": ConvMixer}[name](dim, heads, window)


class SVTRBlock(nn.Module):
    """A mixer and an MLP, each with a shortcut. post_norm: norm(x + f(x)), else x + f(norm(x)).

    Upstream calls the former `prenorm=True`. dropped: share of the samples that f is left out for, while training.
    """

    def __init__(
        self, dim: int, heads: int, mixer: Mixer, window: Sequence[int], post_norm: bool, dropped: float = 0.0
    ) -> None:
        super().__init__()
        self.post_norm, self.dropped = post_norm, dropped
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.mixer = _mixer(mixer, dim, heads, window)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim, MLP_RATIO * dim, nn.GELU())

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        if self.post_norm:
            x = self.norm1(x + self._added(self.mixer(x, grid)))
            return self.norm2(x + self._added(self.mlp(x)))
        x = x + self._added(self.mixer(self.norm1(x), grid))
        return x + self._added(self.mlp(self.norm2(x)))

    def _added(self, x: Tensor) -> Tensor:
        return drop_path(x, self.dropped, self.training)


class SubSample(nn.Module):
    """Half the rows of tokens, in more channels (upstream `SubSample`)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=(2, 1), padding=1)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        grown = self.conv(x.transpose(1, 2).unflatten(2, grid))
        return self.norm(grown.flatten(2).transpose(1, 2)), (grown.shape[2], grown.shape[3])


class PatchEmbed(nn.Module):
    """(N, 3, H, W) -> (N, dim, H / 4, W / 4)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            ConvNorm(3, dim // 2, 3, stride=2, act="gelu", bias=True),
            ConvNorm(dim // 2, dim, 3, stride=2, act="gelu", bias=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class SVTRNet(nn.Module):
    """(N, 3, *img_size) -> (N, out_channels, 1, out_char_num), or tokens (N, H / 16 * W / 4, C) without `out_channels`.

    mixer: of all blocks in order, local: window of each stage's local ones; prenorm: upstream's word, see `SVTRBlock`.
    """

    def __init__(
        self,
        img_size: Sequence[int],
        embed_dim: Sequence[int],
        depth: Sequence[int],
        num_heads: Sequence[int],
        mixer: Sequence[Mixer],
        local_mixer: Sequence[Sequence[int]] = ((7, 11), (7, 11), (7, 11)),
        out_channels: int | None = None,
        out_char_num: int = 25,
        prenorm: bool = False,
    ) -> None:
        super().__init__()
        self.steps = out_char_num
        self.depth = tuple(depth)
        self.patch_embed = PatchEmbed(embed_dim[0])
        tokens = (img_size[0] // 4) * (img_size[1] // 4)
        self.pos_embed = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, tokens, embed_dim[0]), std=0.02))
        names, dropped = iter(mixer), iter(torch.linspace(0, DROPPED_PATHS, sum(depth), device="cpu").tolist())
        for stage, (dim, blocks, heads, window) in enumerate(
            zip(embed_dim, depth, num_heads, local_mixer, strict=True), start=1
        ):
            rows = (SVTRBlock(dim, heads, next(names), window, prenorm, next(dropped)) for _ in range(blocks))
            self.add_module(f"blocks{stage}", nn.ModuleList(rows))
            if stage < len(depth):
                self.add_module(f"sub_sample{stage}", SubSample(dim, embed_dim[stage]))
        self.norm = None if prenorm else nn.LayerNorm(embed_dim[-1], eps=EPS)
        self.out_channels = out_channels or embed_dim[-1]
        self.last_conv = None if out_channels is None else nn.Conv2d(embed_dim[-1], out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        grid = (x.shape[2], x.shape[3])
        x = x.flatten(2).transpose(1, 2) + self.pos_embed
        for stage in range(1, len(self.depth) + 1):
            for block in getattr(self, f"blocks{stage}"):
                x = block(x, grid)
            if stage < len(self.depth):
                x, grid = getattr(self, f"sub_sample{stage}")(x, grid)
        if self.norm is not None:
            x = self.norm(x)
        if self.last_conv is None:
            return x
        x = F.adaptive_avg_pool2d(x.transpose(1, 2).unflatten(2, grid), (1, self.steps))
        # upstream's dropout keeps the values it does not drop, and scales all of them in evaluation instead
        return (1 - DROPPED) * F.dropout(F.hardswish(self.last_conv(x)), DROPPED, self.training)
