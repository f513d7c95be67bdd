"""CPPD (arXiv 2307.12270): which characters there are and where they stand, read in parallel.

Upstream: ppocr/modeling/heads/rec_cppd_head.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.backbones.vit import table
from ptocr.nn.heads.nrtr import join_heads, split_heads
from ptocr.nn.heads.position import PositionHead
from ptocr.nn.layers import drop_path
from ptocr.nn.necks.sequence import Mlp

EPS = 1e-6
MLP_RATIO = 4
DROPPED = 0.1  # of samples, by the last layer, while training


class NodeAttention(nn.Module):
    """Multi-head attention of nodes (N, L, C) to a memory (N, S, C)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        k, v = self.kv(memory).chunk(2, dim=-1)
        q, k, v = (split_heads(part, self.heads) for part in (self.q(x), k, v))
        return self.proj(join_heads(F.scaled_dot_product_attention(q, k, v)))


class NodeLayer(nn.Module):
    """norm(x + f(x)) for attention and MLP (upstream `DecoderLayer`). Its `normkv` is stored and never used.

    dropped: share of the samples that f is left out for, while training.
    """

    def __init__(self, dim: int, heads: int, train: bool, dropped: float) -> None:
        super().__init__()
        self.dropped = dropped
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        if train:
            self.normkv = nn.LayerNorm(dim, eps=EPS)
        self.mixer = NodeAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim, MLP_RATIO * dim, nn.GELU())

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        x = self.norm1(x + drop_path(self.mixer(x, memory), self.dropped, self.training))
        return self.norm2(x + drop_path(self.mlp(x), self.dropped, self.training))


class EdgeLayer(nn.Module):
    """Connects positions with characters: attention without a scale (upstream `EdgeDecoderLayer`)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.p = nn.Linear(dim, dim)
        self.cv = nn.Linear(dim, dim)
        self.pv = nn.Linear(dim, dim)
        self.p_proj = nn.Linear(dim, dim)
        self.mlp = Mlp(dim, MLP_RATIO * dim, nn.GELU())

    def forward(self, positions: Tensor, characters: Tensor) -> Tensor:
        parts = self.p(positions), self.pv(characters), self.cv(characters)
        q, k, v = (split_heads(part, self.heads) for part in parts)
        seen = self.p_proj(join_heads(F.scaled_dot_product_attention(q, k, v, scale=1.0)))
        x = self.norm1(positions + drop_path(seen, DROPPED, self.training))
        return self.norm2(x + drop_path(self.mlp(x), DROPPED, self.training))


class NodeEmbedding(nn.Module):
    """Embeddings times sqrt(dim)."""

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(count, dim)

    def forward(self) -> Tensor:
        """All of them, (1, count, dim)."""
        return self.embedding.weight.unsqueeze(0) * math.sqrt(self.embedding.embedding_dim)


class CPPDHead(PositionHead):
    """Tokens (N, vis_seq, in_channels) -> probabilities (N, max_len + 1, classes)."""

    def __init__(
        self,
        classes: int,
        dim: int = 384,
        vis_seq: int = 50,
        num_layer: int = 3,
        max_len: int = 25,
        train: bool = False,
    ) -> None:
        super().__init__()
        heads, self.positions = dim // 32, max_len + 1
        self.char_pos_embed = table(1, self.positions, dim)
        self.vis_pos_embed = table(1, vis_seq, dim)
        self.pos_node_embed = NodeEmbedding(self.positions, dim)
        dropped = [DROPPED * i / num_layer for i in range(num_layer)]
        self.char_node_decoder = nn.ModuleList(NodeLayer(dim, heads, train, rate) for rate in dropped)
        self.pos_node_decoder = nn.ModuleList(NodeLayer(dim, heads, train, rate) for rate in dropped)
        self.edge_decoder = EdgeLayer(dim, heads)
        self.trained = train
        if train:
            self.char_node_embed = NodeEmbedding(classes, dim)
            self.char_node_fc1 = nn.Linear(dim, max_len)
            self.pos_node_fc1 = nn.Linear(dim, self.positions)
        self.edge_fc = nn.Linear(dim, classes)

    def nodes(self, characters: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes of characters and of positions, each with the visual tokens behind them (N, L + vis_seq, C), through
        all layers: they look at the visual tokens alone."""
        seen = self.vis_pos_embed.shape[1]
        for character_layer, position_layer in zip(self.char_node_decoder, self.pos_node_decoder, strict=True):
            characters = character_layer(characters, characters[:, -seen:])
            positions = position_layer(positions, positions[:, -seen:])
        return characters, positions

    def _places(self, visual: Tensor) -> Tensor:
        nodes = (self.pos_node_embed() + self.char_pos_embed).expand(visual.shape[0], -1, -1)
        return torch.cat([nodes, visual], dim=1)

    def logits(self, x: Tensor) -> Tensor:
        visual = x + self.vis_pos_embed
        characters, positions = self.nodes(visual, self._places(visual))
        return self.edge_fc(self.edge_decoder(positions[:, : self.positions], characters))

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits "edges" (N, max_len + 1, classes), "characters" (N, classes, max_len): how often each class occurs,
        "positions" (N, max_len + 1): whether something stands there."""
        visual = x + self.vis_pos_embed
        counted = torch.cat([self.char_node_embed().expand(x.shape[0], -1, -1), visual], dim=1)
        characters, positions = self.nodes(counted, self._places(visual))
        seen, places = visual.shape[1], positions[:, : self.positions]
        return {
            "characters": self.char_node_fc1(characters[:, :-seen]),
            "positions": self.pos_node_fc1(places).diagonal(dim1=1, dim2=2),
            "edges": self.edge_fc(self.edge_decoder(places, characters[:, -seen:])),
        }

    def class_rows(self) -> dict[str, str]:
        rows = ["edge_fc.weight", "edge_fc.bias", *["char_node_embed.embedding.weight"] * self.trained]
        return dict.fromkeys(rows, "abinet")
