"""PARSeq (arXiv 2207.06966): characters one after the other, then all of them once more.

Upstream: ppocr/modeling/heads/rec_parseq_head.py.
"""

from __future__ import annotations

import math
from itertools import permutations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.backbones.vit import table
from ptocr.nn.decode import read_greedily
from ptocr.nn.heads.nrtr import join_heads, split_heads
from ptocr.nn.heads.position import PositionHead

DROPPED = 0.1  # of values and of attention, while training
ORDERS = 6  # in which a text is read while training, half of them the others from behind


def reading_orders(length: int) -> Tensor:
    """Orders in which a text of `length` characters is read while training (permutation language modelling): left to
    right, right to left, and others by chance, each with its reverse.

    (orders, length + 2) places, the start first and the end last; but right to left begins with the end. Of texts of
    fewer than four characters there are fewer orders.
    """
    if length == 1:
        return torch.arange(3)[None]
    others = ORDERS // 2 - 1
    if length < 5:  # each order once, and never with its reverse
        every = [p for p in permutations(range(length)) if p < p[::-1]][1:]  # the first is left to right
        drawn = [torch.tensor(every[i]) for i in torch.randperm(len(every))[:others].tolist()]
    else:
        drawn = [torch.randperm(length) for _ in range(others)]
    half = torch.stack([torch.arange(length), *drawn])
    both = torch.stack([half, half.flip(1)], dim=1).flatten(0, 1)
    orders = F.pad(F.pad(both + 1, (1, 0)), (0, 1), value=length + 1)
    orders[1, 1:] = torch.arange(length + 1, 0, -1)
    return orders


def before_in(order: Tensor) -> Tensor:
    """Which tokens each place may look at: those that an order (T + 1,) has before it, (T, T) bool for the places
    1..T and the tokens 0..T - 1."""
    rank = order.argsort()
    return rank[:-1] < rank[1:, None]


class ProjectedAttention(nn.Module):
    """Multi-head attention with a projection each for queries, keys and values, which may be kept."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def keys(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a memory (N, S, C), (N, heads, S, C / heads) each."""
        return split_heads(self.k_proj(memory), self.heads), split_heads(self.v_proj(memory), self.heads)

    def forward(self, x: Tensor, keys: tuple[Tensor, Tensor], seen: Tensor | None = None) -> Tensor:
        q, dropped = split_heads(self.q_proj(x), self.heads), DROPPED if self.training else 0.0
        return self.out_proj(join_heads(F.scaled_dot_product_attention(q, *keys, attn_mask=seen, dropout_p=dropped)))


class QueryLayer(nn.Module):
    """Pre-norm decoder layer: queries of positions look at the tokens before them, then at the picture.

    With this one layer the stream of the tokens themselves is never needed.
    """

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = ProjectedAttention(dim, heads)
        self.cross_attn = ProjectedAttention(dim, heads)
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm_q = nn.LayerNorm(dim)
        self.norm_c = nn.LayerNorm(dim)

    def forward(
        self, queries: Tensor, tokens: tuple[Tensor, Tensor], memory: tuple[Tensor, Tensor], seen: Tensor | None = None
    ) -> Tensor:
        """tokens, memory: keys and values of `self_attn` and `cross_attn`; seen: which tokens a query may look at."""
        x = queries + self._kept(self.self_attn(self.norm_q(queries), tokens, seen))
        x = x + self._kept(self.cross_attn(self.norm1(x), memory))
        return x + self._kept(self.linear2(self._kept(F.gelu(self.linear1(self.norm2(x))))))

    def _kept(self, x: Tensor) -> Tensor:
        return F.dropout(x, DROPPED, self.training)


class ParseqDecoder(nn.Module):
    """The layer and the norm behind it."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([QueryLayer(dim, heads, hidden)])
        self.norm = nn.LayerNorm(dim)


class TokenEmbedding(nn.Module):
    """Token embedding times sqrt(dim)."""

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.embedding(tokens) * math.sqrt(self.embedding.embedding_dim)


class ParseQHead(PositionHead):
    """Patches (N, S, C) -> probabilities (N, T, classes - 2): start and padding are never read.

    Characters are read one after the other until every line has ended, with keys and values kept; then every position
    is read anew with all the others in sight (`refine`). T is the number of characters read, at most
    `max_text_length` + 1.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        max_text_length: int = 25,
        dec_num_heads: int = 12,
        dec_mlp_ratio: int = 4,
    ) -> None:
        super().__init__()
        self.tokens = {"end": 0, "start": classes - 2, "pad": classes - 1}
        self.pos_queries = table(1, max_text_length + 1, in_channels)
        self.decoder = ParseqDecoder(in_channels, dec_num_heads, dec_mlp_ratio * in_channels)
        self.text_embed = TokenEmbedding(classes, in_channels)
        self.head = nn.Linear(in_channels, classes - 2)

    def token_keys(self, tokens: Tensor, place: int = 0) -> tuple[Tensor, Tensor]:
        """Keys and values of tokens (N, L), the first of which stands at `place`."""
        x = self.text_embed(tokens)
        if place:
            x = x + self.pos_queries[:, place - 1 : place - 1 + tokens.shape[1]]
        elif tokens.shape[1] > 1:
            x = torch.cat([x[:, :1], x[:, 1:] + self.pos_queries[:, : tokens.shape[1] - 1]], dim=1)
        layer, x = self.decoder.layers[0], F.dropout(x, DROPPED, self.training)
        return layer.self_attn.keys(layer.norm_c(x))  # type: ignore[union-attr, operator]

    def read(self, memory: tuple[Tensor, Tensor], batch: int) -> Tensor:
        """Characters one after the other: logits (N, T, classes - 2)."""
        layer = self.decoder.layers[0]
        past: list[tuple[Tensor, Tensor]] = []

        def step(token: Tensor, place: int) -> Tensor:
            key, value = self.token_keys(token, place)
            if past:
                keys, values = past.pop()
                key, value = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
            past.append((key, value))
            query = self.pos_queries[:, place : place + 1].expand(batch, -1, -1)
            return self.head(self.decoder.norm(layer(query, (key, value), memory)))

        most, device = self.pos_queries.shape[1], self.pos_queries.device
        return read_greedily(step, batch, most, self.tokens["start"], self.tokens["end"], device)

    def refine(self, tokens: Tensor, memory: tuple[Tensor, Tensor]) -> Tensor:
        """Every position anew: tokens (N, T), the start and what was read before the last position -> logits."""
        length = tokens.shape[1]
        queries = self.pos_queries[:, :length].expand(tokens.shape[0], -1, -1)
        places = torch.arange(length, device=tokens.device)
        others = places[None] != places[:, None] + 1  # the token that the position itself gave
        before_end = (tokens == self.tokens["end"]).cumsum(1) == 0
        seen = others & before_end[:, None, None]
        layer = self.decoder.layers[0]
        return self.head(self.decoder.norm(layer(queries, self.token_keys(tokens), memory, seen)))

    def permuted(self, x: Tensor, tokens: Tensor, orders: Tensor) -> Tensor:
        """What follows in several orders: patches (N, S, C), tokens (N, T + 1) with start, text, end, padding; orders
        (orders, T + 1) of their places -> logits (orders, N, T, classes - 2)."""
        layer, given = self.decoder.layers[0], tokens[:, :-1]
        memory = layer.cross_attn.keys(x)  # type: ignore[union-attr, operator]
        characters = (given != self.tokens["pad"]) & (given != self.tokens["end"])
        queries = self.pos_queries[:, : given.shape[1]].expand(x.shape[0], -1, -1)
        read = []
        for order in orders.to(tokens):
            seen = before_in(order) & characters[:, None, None]
            asked = F.dropout(queries, DROPPED, self.training)
            read.append(self.head(self.decoder.norm(layer(asked, self.token_keys(given), memory, seen))))
        return torch.stack(read)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits "permuted" (orders, N, T, classes - 2) of what follows targets["tokens"] (N, T + 1), which go as far
        as the end of the longest text."""
        assert targets is not None
        tokens = targets["tokens"]
        return {"permuted": self.permuted(x, tokens, reading_orders(tokens.shape[1] - 2))}

    def logits(self, x: Tensor) -> Tensor:
        memory = self.decoder.layers[0].cross_attn.keys(x)  # type: ignore[union-attr, operator]
        first = self.read(memory, x.shape[0])
        start = torch.full((x.shape[0], 1), self.tokens["start"], device=x.device)
        return self.refine(torch.cat([start, first[:, :-1].argmax(2)], dim=1), memory)

    def class_rows(self) -> dict[str, str]:
        return dict.fromkeys(("head.weight", "head.bias", "text_embed.embedding.weight"), "parseq")
