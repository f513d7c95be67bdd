"""Transformer decoder of tables with a branch for tokens and one for boxes (TableMaster, arXiv 2105.01848).

Upstream: ppocr/modeling/heads/table_master_head.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.decode import read_greedily
from ptocr.nn.heads.nrtr import sinusoids
from ptocr.nn.network import Head

LONGEST = 5000  # places that have a code
Cache = tuple[Tensor, Tensor]  # keys and values of what was seen, (N, heads, L, C / heads) each


class MultiHeadAttention(nn.Module):
    """Attention with separate projections of queries, keys, values and the result."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linears = nn.ModuleList(nn.Linear(dim, dim) for _ in range(4))

    def _split(self, number: int, x: Tensor) -> Tensor:
        return self.linears[number](x).unflatten(2, (self.heads, -1)).transpose(1, 2)

    def seen(self, x: Tensor) -> Cache:
        """Keys and values of a sequence (N, L, C)."""
        return self._split(1, x), self._split(2, x)

    def forward(self, query: Tensor, seen: Cache, causal: bool = False) -> Tensor:
        y = F.scaled_dot_product_attention(self._split(0, query), *seen, is_causal=causal)
        return self.linears[3](y.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.w_1, self.w_2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(F.relu(self.w_1(x)))


class DecoderLayer(nn.Module):
    """Pre-norm layer: self-attention, attention to the picture, feed-forward."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(dim, heads)
        self.src_attn = MultiHeadAttention(dim, heads)
        self.feed_forward = FeedForward(dim, hidden)
        self.sublayer = nn.ModuleList(nn.ModuleDict({"norm": nn.LayerNorm(dim)}) for _ in range(3))

    def forward(self, x: Tensor, picture: Cache, past: Cache | None) -> tuple[Tensor, Cache]:
        """One more token (N, 1, C), the picture, what came before -> the token, and everything up to it; or a whole
        sequence (N, L, C) that nothing came before."""
        first, second, third = (part["norm"] for part in self.sublayer)
        keys, values = self.self_attn.seen(first(x))
        whole = past is None
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        x = x + self.self_attn(first(x), (keys, values), causal=whole)
        x = x + self.src_attn(second(x), picture)
        return x + self.feed_forward(third(x)), (keys, values)


class TableMasterHead(Head):
    """Maps -> token probabilities (N, T, classes), boxes (N, T, box_numbers), T at most `max_length` + 1.

    Decoding stops behind the step in which every picture has had its end token; upstream goes on to the last step.
    """

    output_names = ("structure", "boxes")

    def __init__(
        self,
        in_channels: Sequence[int],
        classes: int,
        heads: int = 8,
        hidden: int = 2024,
        max_length: int = 500,
        box_numbers: int = 4,
    ) -> None:
        super().__init__()
        dim = in_channels[-1]
        self.dim, self.max_length, self.box_numbers = dim, max_length, box_numbers
        self.start, self.end = classes - 3, classes - 2
        self.layers = nn.ModuleList(DecoderLayer(dim, heads, hidden) for _ in range(2))
        self.cls_layer = nn.ModuleList([DecoderLayer(dim, heads, hidden)])
        self.bbox_layer = nn.ModuleList([DecoderLayer(dim, heads, hidden)])
        self.cls_fc = nn.Linear(dim, classes)
        self.bbox_fc = nn.ModuleList([nn.Linear(dim, box_numbers)])
        self.norm = nn.LayerNorm(dim)
        self.embedding = nn.ModuleDict({"lut": nn.Embedding(classes, dim)})
        self.positional_encoding = nn.Module()
        self.positional_encoding.register_buffer("pe", sinusoids(LONGEST, dim).unsqueeze(0))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        logits, boxes = self.decoded(maps)
        return logits.softmax(2), boxes

    def forward_train(self, maps: Sequence[Tensor], targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits "structure" (N, T, classes) and "boxes" (N, T, box_numbers) of what follows each of targets["tokens"]
        (N, T)."""
        assert targets is not None
        logits, boxes = self.decoded(maps, targets["tokens"])
        return {"structure": logits, "boxes": boxes}

    def decoded(self, maps: Sequence[Tensor], tokens: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of tokens (N, T, classes), boxes (N, T, box_numbers): greedily, or with tokens (N, T) fed in."""
        codes = self.positional_encoding.pe
        picture = maps[-1].flatten(2).transpose(1, 2)
        picture = picture + codes[:, : picture.shape[1]]
        layers = [*self.layers, *self.cls_layer, *self.bbox_layer]
        looks = [layer.src_attn.seen(picture) for layer in layers]
        past: list[Cache | None] = [None] * len(layers)
        boxes: list[Tensor] = []

        def run(number: int, x: Tensor) -> Tensor:
            x, past[number] = layers[number](x, looks[number], past[number])
            return x

        def step(token: Tensor, place: int) -> Tensor:
            x = self.embedding["lut"](token) * math.sqrt(self.dim) + codes[:, place : place + token.shape[1]]
            x = run(1, run(0, x))
            boxes.append(self.bbox_fc[0](self.norm(run(3, x))))
            return self.cls_fc(self.norm(run(2, x)))

        if tokens is None:
            logits = read_greedily(step, picture.shape[0], self.max_length + 1, self.start, self.end, picture.device)
        else:
            logits = step(tokens, 0)
        return logits, torch.cat(boxes, dim=1).sigmoid()
