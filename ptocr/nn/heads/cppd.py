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
from ptocr.nn.necks.sequence import Mlp

EPS = 1e-6
MLP_RATIO = 4


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
    """norm(x + f(x)) for attention and MLP (upstream `DecoderLayer`). Its `normkv` is stored and never used."""

    def __init__(self, dim: int, heads: int, train: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        if train:
            self.normkv = nn.LayerNorm(dim, eps=EPS)
        self.mixer = NodeAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim, MLP_RATIO * dim, nn.GELU())

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        x = self.norm1(x + self.mixer(x, memory))
        return self.norm2(x + self.mlp(x))


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
        x = self.norm1(positions + self.p_proj(join_heads(F.scaled_dot_product_attention(q, k, v, scale=1.0))))
        return self.norm2(x + self.mlp(x))


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
        self.char_node_decoder = nn.ModuleList(NodeLayer(dim, heads, train) for _ in range(num_layer))
        self.pos_node_decoder = nn.ModuleList(NodeLayer(dim, heads, train) for _ in range(num_layer))
        self.edge_decoder = EdgeLayer(dim, heads)
        self.trained = train
        if train:
            self.char_node_embed = NodeEmbedding(classes, dim)
            self.char_node_fc1 = nn.Linear(dim, max_len)
            self.pos_node_fc1 = nn.Linear(dim, self.positions)
        self.edge_fc = nn.Linear(dim, classes)

    def logits(self, x: Tensor) -> Tensor:
        visual = x + self.vis_pos_embed
        nodes = (self.pos_node_embed() + self.char_pos_embed).expand(x.shape[0], -1, -1)
        positions, characters = torch.cat([nodes, visual], dim=1), visual
        for character_layer, position_layer in zip(self.char_node_decoder, self.pos_node_decoder, strict=True):
            characters = character_layer(characters, characters)
            positions = position_layer(positions, positions[:, self.positions :])
        return self.edge_fc(self.edge_decoder(positions[:, : self.positions], characters))

    def class_rows(self) -> dict[str, str]:
        rows = ["edge_fc.weight", "edge_fc.bias", *["char_node_embed.embedding.weight"] * self.trained]
        return dict.fromkeys(rows, "abinet")
