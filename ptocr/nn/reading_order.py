"""The reading order of regions (PP-DocLayoutV2, arXiv 2510.14528): a pointer network with the boxes as words.

Upstream: `transformer.reading_order_predictor` in the checkpoints of PaddleX; LayoutLMv3's layers (arXiv 2204.08387)
with a bias from how boxes lie to one another, and a global pointer.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIM, HEADS, LAYERS = 512, 8, 6
BEGIN, PAD, END, BOX = range(4)  # the words
COORDINATES = 1024  # of boxes, in thousandths of the picture
LONGEST = 514  # places of words
KINDS = 20  # of regions, as this network knows them
RELATION, BASE, SCALE = 16, 10000.0, 100.0  # numbers for each relation of two boxes, their slowest wave, and a factor
EPS, SMALLEST = 1e-5, 1e-3  # of the relations' logarithms; least side of a box
NEVER = -1e4  # logit of what cannot follow


class Embeddings(nn.Module):
    """Word, place and box of each word: (N, L, DIM), before the norm, which takes in the kinds too."""

    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(4, DIM)
        self.token_type_embeddings = nn.Embedding(1, DIM)
        self.position_embeddings = nn.Embedding(LONGEST, DIM)
        self.x_position_embeddings = nn.Embedding(COORDINATES, 171)
        self.y_position_embeddings = nn.Embedding(COORDINATES, 171)
        self.h_position_embeddings = nn.Embedding(COORDINATES, 170)
        self.w_position_embeddings = nn.Embedding(COORDINATES, 170)
        self.LayerNorm = nn.LayerNorm(DIM)
        self.spatial_proj = nn.Linear(4 * 171 + 2 * 170, DIM)

    def forward(self, words: Tensor, boxes: Tensor) -> Tensor:
        """words: (N, L); boxes: (N, L, 4) whole numbers x0, y0, x1, y1."""
        x0, y0, x1, y1 = boxes.unbind(2)
        height, width = (side.clamp(0, COORDINATES - 1) for side in (y1 - y0, x1 - x0))
        x, y = self.x_position_embeddings, self.y_position_embeddings
        parts = [x(x0), y(y0), x(x1), y(y1), self.h_position_embeddings(height), self.w_position_embeddings(width)]
        filled = words != PAD
        places = filled.cumsum(1) * filled + PAD
        out = self.word_embeddings(words) + self.token_type_embeddings(torch.zeros_like(words))
        return out + self.position_embeddings(places) + self.spatial_proj(torch.cat(parts, dim=2))  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Attention with a bias for each pair of words."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(DIM, DIM)
        self.key = nn.Linear(DIM, DIM)
        self.value = nn.Linear(DIM, DIM)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(2, (HEADS, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)


class Output(nn.Module):
    """A linear layer whose output is added to something and normalised."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, DIM)
        self.LayerNorm = nn.LayerNorm(DIM)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(x) + before)  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Attention and its output."""

    def __init__(self) -> None:
        super().__init__()
        self.self = SelfAttention()
        self.output = Output(DIM)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        return self.output(self.self(x, bias), x)  # type: ignore[no-any-return]


class Intermediate(nn.Module):
    """The first of two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(DIM, 4 * DIM)


class Layer(nn.Module):
    """Attention, then two linear layers; norms behind."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.intermediate = Intermediate()
        self.output = Output(4 * DIM)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.attention(x, bias)
        return self.output(F.gelu(self.intermediate.dense(x)), x)  # type: ignore[no-any-return]


class Relations(nn.Module):
    """A bias for each head and each pair of boxes (N, L, 4), x0, y0, x1, y1: (N, HEADS, L, L)."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_proj = nn.Conv2d(4 * RELATION, HEADS, 1)

    def forward(self, boxes: Tensor) -> Tensor:
        sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=SMALLEST)
        middles = (boxes[..., :2] + boxes[..., 2:]) * 0.5
        away = torch.log((middles[:, :, None] - middles[:, None]).abs() / (sides[:, :, None] + EPS) + 1)
        larger = torch.log((sides[:, :, None] + EPS) / (sides[:, None] + EPS))
        half = RELATION // 2
        rates = 1 / BASE ** (torch.arange(0, RELATION, 2, device=boxes.device, dtype=torch.float32) / half)
        angles = (torch.cat([away, larger], dim=3) * SCALE)[..., None] * rates.to(boxes.dtype)
        waves = torch.cat([angles.sin(), angles.cos()], dim=4).flatten(3)
        return self.pos_proj(waves.permute(0, 3, 1, 2))  # type: ignore[no-any-return]


class OrderEncoder(nn.Module):
    """The layers. train: also the two tables that checkpoints hold and nothing uses."""

    def __init__(self, train: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.rel_bias_module = Relations()
        if train:
            self.rel_pos_x_bias = nn.Linear(64, HEADS, bias=False)
            self.rel_pos_y_bias = nn.Linear(64, HEADS, bias=False)


class GlobalPointer(nn.Module):
    """A logit for each pair of words (N, L, C): that the second one follows the first (N, L, L); `NEVER` on and below
    the diagonal."""

    def __init__(self, dim: int, head: int = 64) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, 2 * head)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys = self.dense(x).chunk(2, dim=2)
        logits = queries @ keys.transpose(1, 2) / math.sqrt(queries.shape[2])
        place = torch.arange(x.shape[1], device=x.device)
        return logits.masked_fill(place[:, None] >= place, NEVER)  # type: ignore[no-any-return]


class ReadingOrder(nn.Module):
    """Boxes and kinds of regions -> the logits of `GlobalPointer`."""

    def __init__(self, train: bool = False) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.label_embeddings = nn.Embedding(KINDS, DIM)
        self.label_features_projection = nn.Linear(DIM, DIM)
        self.encoder = OrderEncoder(train)
        self.relative_head = GlobalPointer(DIM)

    def forward(self, boxes: Tensor, kinds: Tensor, count: Tensor) -> Tensor:
        """boxes: (N, Q, 4) x0, y0, x1, y1 in [0, 1000]; kinds: (N, Q); count: (N, 1), how many of them there are, which
        come first."""
        place = torch.arange(boxes.shape[1] + 2, device=boxes.device)[None]
        words = torch.where(place <= count, BOX, torch.where(place == count + 1, END, PAD))
        words = torch.where(place == 0, BEGIN, words)
        boxes = F.pad(boxes, (0, 0, 1, 1))
        named = F.pad(self.label_features_projection(self.label_embeddings(kinds)), (0, 0, 1, 1))
        x = self.embeddings.LayerNorm(self.embeddings(words, boxes.long()) + named)
        bias = self.encoder.rel_bias_module(boxes).masked_fill((words == PAD)[:, None, None], -torch.inf)
        for layer in self.encoder.layer:
            x = layer(x, bias)
        return self.relative_head(x[:, 1:-1])  # type: ignore[no-any-return]


def places_of(logits: Tensor) -> Tensor:
    """How late each of some regions (N, Q) is read: what those before and behind it in the list say of it."""
    says = logits.sigmoid()
    return says.triu(1).sum(1) + (1 - says.transpose(1, 2)).tril(-1).sum(1)
