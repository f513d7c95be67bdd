"""NRTR decoder (arXiv 1806.00926): the training-only guide of PP-OCRv4 and later recognisers.

Upstream: ppocr/modeling/heads/rec_nrtr_head.py, rec_multi_head.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.necks.sequence import Mlp

PAD = 0
EXTRA_CLASSES = 3  # the label encoder adds blank, <unk>, <s>, </s> where CTC has its blank only


Keys = tuple[Tensor, Tensor]  # keys and values, (N, heads, L, C / heads) each


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to its past, or to all of it: (N, L, C) -> (N, L, C)."""

    def __init__(self, dim: int, heads: int, causal: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        return self.out_proj(join_heads(F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)))

    def step(self, x: Tensor, past: Keys | None) -> tuple[Tensor, Keys]:
        """One more token (N, 1, C) with what was kept of those before it; what is to be kept now."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        return self.out_proj(join_heads(F.scaled_dot_product_attention(q, k, v))), (k, v)


class CrossAttention(nn.Module):
    """Multi-head attention of a sequence (N, L, C) to a memory (N, S, C)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.out_proj = nn.Linear(dim, dim)

    def keys(self, memory: Tensor) -> Keys:
        """Keys and values of a memory."""
        k, v = (split_heads(part, self.heads) for part in self.kv(memory).chunk(2, dim=-1))
        return k, v

    def look(self, x: Tensor, keys: Keys, seen: Tensor | None = None) -> Tensor:
        """With the keys at hand; seen: which of them may be looked at, as a mask that is added or of bool."""
        q = split_heads(self.q(x), self.heads)
        return self.out_proj(join_heads(F.scaled_dot_product_attention(q, *keys, attn_mask=seen)))

    def forward(self, x: Tensor, memory: Tensor, seen: Tensor | None = None) -> Tensor:
        return self.look(x, self.keys(memory), seen)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, L, C) -> (N, heads, L, C / heads)."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(N, heads, L, D) -> (N, L, heads * D)."""
    return x.transpose(1, 2).flatten(2)


class DecoderLayer(nn.Module):
    """Post-norm transformer decoder layer. hidden: width of the MLP, four times `dim` without it."""

    def __init__(self, dim: int, heads: int, dropout: float, hidden: int | None = None) -> None:
        super().__init__()
        self.self_attn = SelfAttention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn = CrossAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden or 4 * dim, nn.ReLU())
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        x = self.norm1(x + self.dropout(self.self_attn(x)))
        x = self.norm2(x + self.dropout(self.cross_attn(x, memory)))
        return self.norm3(x + self.dropout(self.mlp(x)))

    def step(self, x: Tensor, memory: Keys, past: Keys | None) -> tuple[Tensor, Keys]:
        """One more token (N, 1, C) in evaluation; memory: keys of `cross_attn`, past: as `SelfAttention.step`."""
        mixed, kept = self.self_attn.step(x, past)
        x = self.norm1(x + mixed)
        x = self.norm2(x + self.cross_attn.look(x, memory))
        return self.norm3(x + self.mlp(x)), kept


class EncoderLayer(nn.Module):
    """Post-norm transformer encoder layer."""

    def __init__(self, dim: int, heads: int, dropout: float, hidden: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(dim, heads, causal=False)
        self.norm1 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden, nn.ReLU())
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.dropout(self.self_attn(x)))
        return self.norm3(x + self.dropout(self.mlp(x)))


class Embedding(nn.Module):
    """Token embedding times sqrt(dim); the padding token gives zero."""

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, dim, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        self.dim = dim

    def forward(self, tokens: Tensor) -> Tensor:
        # Paddle's padding token gives zero whatever the table holds, so it is masked rather than trusted to be zero
        vectors = self.embedding(tokens) * (tokens != PAD).unsqueeze(-1)
        return vectors * math.sqrt(self.dim)


def sinusoids(length: int, dim: int) -> Tensor:
    """Codes of places: sines and cosines in turn, (length, dim)."""
    position = torch.arange(length, dtype=torch.float32).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * (-math.log(10000.0) / dim))
    table = torch.zeros(length, dim)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table


class PositionalEncoding(nn.Module):
    """Adds the sinusoid table `pe` (5000, 1, dim), which checkpoints hold as a buffer."""

    def __init__(self, dim: int, length: int = 5000, dropout: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoids(length, dim).unsqueeze(1))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, place: int = 0) -> Tensor:
        return self.dropout(x + self.pe[place : place + x.shape[1], 0])


class Guide(nn.Module):
    """(N, C, 1, W) -> (N, W, dim) without bias, the memory of the NRTR decoder (upstream `FCTranspose`)."""

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(2).transpose(1, 2))


class NRTRHead(nn.Module):
    """Transformer decoder with teacher forcing, no encoder.

    classes: CTC classes of the recogniser (blank included). forward_train: memory (N, S, dim) and label tokens
    (N, L) with start and end tokens, padded with 0 -> logits (N, L - 1, classes + 4) for tokens 1..L - 1.
    """

    def __init__(
        self,
        classes: int,
        nrtr_dim: int = 384,
        num_decoder_layers: int = 4,
        max_text_length: int = 25,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.max_text_length = max_text_length
        tokens = classes + EXTRA_CLASSES + 1
        self.embedding = Embedding(tokens, nrtr_dim)
        self.positional_encoding = PositionalEncoding(nrtr_dim)
        heads = nrtr_dim // 32
        self.decoder = nn.ModuleList(DecoderLayer(nrtr_dim, heads, dropout) for _ in range(num_decoder_layers))
        self.tgt_word_prj = nn.Linear(nrtr_dim, tokens, bias=False)
        nn.init.normal_(self.tgt_word_prj.weight, std=nrtr_dim**-0.5)

    name_in_multi_head = "gtc_head"  # Paddle's

    def memory(self, in_channels: int) -> nn.Module:
        """What makes the decoder's memory of a recogniser's features."""
        return nn.Sequential(nn.Identity(), Guide(in_channels, self.tgt_word_prj.in_features))

    def guided(self, memory: Tensor, targets: dict[str, Tensor]) -> Tensor:
        """Logits with teacher forcing; targets["gtc"]: label tokens."""
        return self.forward_train(memory, targets["gtc"])

    def class_rows(self) -> dict[str, str]:
        """Parameters with a row per class -> the layout of its classes."""
        return {"embedding.embedding.weight": "nrtr", "tgt_word_prj.weight": "nrtr"}

    def forward_train(self, memory: Tensor, tokens: Tensor) -> Tensor:
        x = self.positional_encoding(self.embedding(tokens[:, :-1]))
        for layer in self.decoder:
            x = layer(x, memory)
        return self.tgt_word_prj(x)
