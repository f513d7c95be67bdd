"""Vision transformers (arXiv 2010.11929) over patches of a line: ViTSTR (arXiv 2105.08582), PARSeq (arXiv 2207.06966).

Upstream: ppocr/modeling/backbones/rec_vitstr.py, rec_vit_parseq.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ptocr.nn.necks.sequence import Attention, Mlp

MLP_RATIO = 4
SCALES = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}  # ViTSTR: width, heads


class Patches(nn.Module):
    """(N, C, H, W) -> (N, patches, dim), row by row."""

    def __init__(self, in_channels: int, dim: int, patch: Sequence[int]) -> None:
        super().__init__()
        size = (patch[0], patch[1])
        self.proj = nn.Conv2d(in_channels, dim, size, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class ViTBlock(nn.Module):
    """x + f(norm(x)) for self-attention (called `mixer` or `attn`) and MLP."""

    def __init__(self, dim: int, heads: int, eps: float, mixer: str) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.add_module(mixer, Attention(dim, heads))
        self.mix = mixer
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, MLP_RATIO * dim, nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        x = x + getattr(self, self.mix)(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def table(*shape: int) -> nn.Parameter:
    """A learnt table of positions."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(*shape), std=0.02))


class ViTSTR(nn.Module):
    """(N, in_channels, *img_size) -> (N, C, 1, seqlen): the class token and the first patches, as a line."""

    def __init__(
        self,
        img_size: Sequence[int] = (224, 224),
        in_channels: int = 1,
        scale: Literal["tiny", "small", "base"] = "tiny",
        seqlen: int = 27,
        patch_size: Sequence[int] = (16, 16),
        depth: int = 12,
    ) -> None:
        super().__init__()
        dim, heads = SCALES[scale]
        self.out_channels, self.seqlen = dim, seqlen
        self.patch_embed = Patches(in_channels, dim, patch_size)
        patches = (img_size[0] // patch_size[0]) * (img_size[1] // patch_size[1])
        self.pos_embed = table(1, patches + 1, dim)
        self.cls_token = table(1, 1, dim)
        self.blocks = nn.ModuleList(ViTBlock(dim, heads, 1e-6, "mixer") for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, : self.seqlen].transpose(1, 2).unsqueeze(2)


class ViTParseQ(nn.Module):
    """(N, 3, *img_size) -> patches (N, T, embed_dim), row by row. Its `cls_token` is stored and not used."""

    def __init__(
        self,
        img_size: Sequence[int] = (32, 128),
        patch_size: Sequence[int] = (4, 8),
        embed_dim: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        in_channels: int = 3,
        train: bool = False,
    ) -> None:
        super().__init__()
        self.out_channels = embed_dim
        self.patch_embed = Patches(in_channels, embed_dim, patch_size)
        self.pos_embed = table(1, (img_size[0] // patch_size[0]) * (img_size[1] // patch_size[1]), embed_dim)
        if train:
            self.cls_token = table(1, 1, embed_dim)
        self.blocks = nn.ModuleList(ViTBlock(embed_dim, num_heads, 1e-5, "attn") for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
