"""The vision transformer of Segment Anything (arXiv 2304.02643) as Vary (arXiv 2312.06109) uses it: tables, formulas.

Upstream: ppocr/modeling/backbones/rec_vary_vit.py (Vary_VIT_B).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIM, HEADS, DEPTH, PATCH = 768, 12, 12, 16
WINDOW = 14  # tokens of a side of a window
GLOBAL = (2, 5, 8, 11)  # blocks that look at all tokens
EPS = 1e-6  # of the norms
NECK, STEPS = 256, (512, 1024)  # channels of the neck, and of the convolutions behind it, each at stride 2


class RelativeAttention(nn.Module):
    """Attention among the tokens of a square map (N, S, S, C), with a learned share for each distance in rows and in
    columns."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM)
        self.proj = nn.Linear(DIM, DIM)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * size - 1, DIM // HEADS))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * size - 1, DIM // HEADS))

    def forward(self, x: Tensor) -> Tensor:
        n, height, width, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, height * width, 3, HEADS, -1).permute(2, 0, 3, 1, 4).unbind(0)
        cells = q.unflatten(2, (height, width))
        rows = torch.einsum("nahwc,hkc->nahwk", cells, _by_distance(self.rel_pos_h, height))
        columns = torch.einsum("nahwc,wkc->nahwk", cells, _by_distance(self.rel_pos_w, width))
        bias = (rows[..., :, None] + columns[..., None, :]).reshape(n, HEADS, height * width, height * width)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(out.transpose(1, 2).reshape(x.shape))  # type: ignore[no-any-return]


def _by_distance(table: Tensor, size: int) -> Tensor:
    """Rows of a table (2 * size - 1, C) for each pair of places: (size, size, C)."""
    place = torch.arange(size, device=table.device)
    return table[place[:, None] - place[None] + size - 1]


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self) -> None:
        super().__init__()
        self.lin1 = nn.Linear(DIM, 4 * DIM)
        self.lin2 = nn.Linear(4 * DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.gelu(self.lin1(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention in windows or, where window is 0, to all `size` * `size` tokens, then linear layers; norms in front."""

    def __init__(self, size: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(DIM, eps=EPS)
        self.attn = RelativeAttention(window or size)
        self.norm2 = nn.LayerNorm(DIM, eps=EPS)
        self.mlp = Mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + (self.windowed(self.norm1(x)) if self.window else self.attn(self.norm1(x)))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]

    def windowed(self, x: Tensor) -> Tensor:
        """Attention in each window; those at the right and below are filled with zeros."""
        n, height, width, channels = x.shape
        side = self.window
        x = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
        rows, columns = x.shape[1] // side, x.shape[2] // side
        x = x.reshape(n, rows, side, columns, side, channels).transpose(2, 3).reshape(-1, side, side, channels)
        x = self.attn(x).reshape(n, rows, columns, side, side, channels).transpose(2, 3)
        return x.reshape(n, rows * side, columns * side, channels)[:, :height, :width]


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a map (N, C, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PatchEmbed(nn.Module):
    """A token for each square of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, DIM, PATCH, PATCH)


class SamViT(nn.Module):
    """(N, 3, side, side) -> (N, C, side / 32, side / 32), or half of that with two steps.

    steps: convolutions behind the neck. train: also those that checkpoints hold and this network does not use.
    """

    def __init__(self, side: int, steps: int, train: bool = False) -> None:
        super().__init__()
        size = side // PATCH
        self.steps = steps
        self.pos_embed = nn.Parameter(torch.zeros(1, size, size, DIM))
        self.patch_embed = PatchEmbed()
        self.blocks = nn.ModuleList(Block(size, 0 if number in GLOBAL else WINDOW) for number in range(DEPTH))
        self.neck = nn.Sequential(
            nn.Conv2d(DIM, NECK, 1, bias=False),
            ChannelNorm(NECK, eps=EPS),
            nn.Conv2d(NECK, NECK, 3, padding=1, bias=False),
            ChannelNorm(NECK, eps=EPS),
        )
        widths = (NECK, *STEPS)
        for number in range(len(STEPS) if train else steps):
            conv = nn.Conv2d(widths[number], widths[number + 1], 3, 2, 1, bias=False)
            self.add_module(f"net_{number + 2}", conv)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed.proj(x).permute(0, 2, 3, 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = self.neck(x.permute(0, 3, 1, 2))
        for number in range(self.steps):
            x = getattr(self, f"net_{number + 2}")(x)
        return x


class VaryViT(nn.Module):
    """(N, 3, side, side) -> one map, (N, C, side / 32, side / 32) with one step, under upstream's name of the tower."""

    def __init__(self, side: int = 512, steps: int = 1, train: bool = False) -> None:
        super().__init__()
        self.out_channels = STEPS[steps - 1]
        self.vision_tower_high = SamViT(side, steps, train)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.vision_tower_high(x)]


class VaryViTFormula(VaryViT):
    """A grey picture (N, 1, side, side), or one in colours -> a token for every 64 x 64 pixels, row by row: (N, L, C).

    Upstream: Vary_VIT_B_Formula.
    """

    def __init__(self, side: int = 768) -> None:
        super().__init__(side, len(STEPS))
        self.mm_projector_vary = nn.Linear(self.out_channels, self.out_channels)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        (maps,) = super().forward(x.expand(-1, 3, -1, -1))
        return self.mm_projector_vary(maps.flatten(2).transpose(1, 2))  # type: ignore[no-any-return]
