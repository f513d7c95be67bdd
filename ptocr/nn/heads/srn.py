"""SRN (arXiv 2003.12294): what is seen, what it probably says, and both together.

Upstream: ppocr/modeling/heads/rec_srn_head.py, self_attention.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.heads.nrtr import join_heads, split_heads
from ptocr.nn.heads.position import PositionHead

KEPT = 0.9  # upstream's dropout does not scale what it keeps while training, so it scales everything afterwards
AREA = 256  # cells of the map


def drop(x: Tensor, training: bool) -> Tensor:
    """Dropout as upstream means it: scaled down in evaluation, by what is kept in training."""
    return KEPT * F.dropout(x, 1 - KEPT, training)


class PreNorm(nn.Module):
    """The layer norm in front of a part (upstream `PrePostProcessLayer`)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer_norm_0 = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer_norm_0(x)


class ScaledAttention(nn.Module):
    """Multi-head self-attention, scaled by the whole width: (N, L, C) -> (N, L, C)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_fc = nn.Linear(dim, dim, bias=False)
        self.k_fc = nn.Linear(dim, dim, bias=False)
        self.v_fc = nn.Linear(dim, dim, bias=False)
        self.proj_fc = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        q, k, v = (split_heads(part(x), self.heads) for part in (self.q_fc, self.k_fc, self.v_fc))
        energy = q @ k.transpose(2, 3) * x.shape[2] ** -0.5
        if seen is not None:
            energy = energy.masked_fill(~seen, float("-inf"))
        return self.proj_fc(join_heads(drop(energy.softmax(3), self.training) @ v))


class FeedForward(nn.Module):
    """MLP."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, dim)
        self.fc2 = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(drop(F.relu(self.fc1(x)), self.training))


class SRNLayer(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.preprocesser1 = PreNorm(dim)
        self.self_attn = ScaledAttention(dim, heads)
        self.preprocesser2 = PreNorm(dim)
        self.ffn = FeedForward(dim)

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        x = x + drop(self.self_attn(self.preprocesser1(x), seen), self.training)
        return x + drop(self.ffn(self.preprocesser2(x)), self.training)


class SRNEncoder(nn.Module):
    """Layers and the norm behind them."""

    def __init__(self, dim: int, heads: int, layers: int) -> None:
        super().__init__()
        self.depth = layers
        for i in range(layers):
            self.add_module(f"layer_{i}", SRNLayer(dim, heads))
        self.processor = PreNorm(dim)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        for i in range(self.depth):
            x = getattr(self, f"layer_{i}")(x, seen)
        return self.processor(x)


class FeatureEncoder(nn.Module):
    """Cells of the map and their places: (N, L, C) -> (N, L, C)."""

    def __init__(self, dim: int, heads: int, layers: int) -> None:
        super().__init__()
        self.prepare_encoder = nn.Module()
        self.prepare_encoder.emb = nn.Embedding(AREA, dim)
        self.encoder = SRNEncoder(dim, heads, layers)

    def forward(self, x: Tensor) -> Tensor:
        x = x * x.shape[2] ** 0.5 + self.prepare_encoder.emb.weight[: x.shape[1]]
        return self.encoder(drop(x, self.training))


class WordEncoder(nn.Module):
    """Characters (N, T) and their places -> (N, T, C). Class 0 stands for nothing, whatever the table holds."""

    def __init__(self, dim: int, heads: int, layers: int, tokens: int, length: int) -> None:
        super().__init__()
        self.prepare_decoder = nn.Module()
        self.prepare_decoder.emb0 = nn.Embedding(tokens, dim, padding_idx=0)
        self.prepare_decoder.emb1 = nn.Embedding(length, dim)
        self.encoder = SRNEncoder(dim, heads, layers)

    def forward(self, words: Tensor, table: Tensor, seen: Tensor) -> Tensor:
        """table: of the characters, which both directions share."""
        x = F.embedding(words, table) * (words != 0).unsqueeze(2) * table.shape[1] ** 0.5
        x = x + self.prepare_decoder.emb1.weight
        return self.encoder(drop(x, self.training), seen)


class PVAM(nn.Module):
    """Parallel visual attention: (N, C, H, W) -> what stands at each position, (N, T, C)."""

    def __init__(self, dim: int, heads: int, layers: int, length: int) -> None:
        super().__init__()
        self.wrap_encoder_for_feature = FeatureEncoder(dim, heads, layers)
        self.fc0 = nn.Linear(dim, dim)
        self.emb = nn.Embedding(length, dim)
        self.fc1 = nn.Linear(dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        cells = self.fc0(self.wrap_encoder_for_feature(x.flatten(2).transpose(1, 2)))
        energy = self.fc1(torch.tanh(self.emb.weight[:, None] + cells[:, None])).squeeze(3)  # (N, T, L)
        return energy.softmax(2) @ cells


class GSRM(nn.Module):
    """Global semantic reasoning: (N, T, C) -> semantic features (N, T, C), and the classes that were seen."""

    def __init__(self, dim: int, heads: int, layers: int, classes: int, length: int) -> None:
        super().__init__()
        self.classes = classes
        self.fc0 = nn.Linear(dim, classes)
        self.wrap_encoder0 = WordEncoder(dim, heads, layers, classes + 1, length)
        self.wrap_encoder1 = WordEncoder(dim, heads, layers, classes + 1, length)
        self.wrap_encoder1.prepare_decoder.emb0 = self.wrap_encoder0.prepare_decoder.emb0

    @property
    def table(self) -> Tensor:
        """Characters as vectors, (classes + 1, C)."""
        return self.wrap_encoder0.prepare_decoder.emb0.weight  # type: ignore[union-attr, return-value]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        words = self.fc0(x)
        seen = words.argmax(2)
        past = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        shifted = F.pad(seen[:, :-1], (1, 0), value=self.classes)
        forward = self.wrap_encoder0(shifted, self.table, past)
        backward = self.wrap_encoder1(seen, self.table, past.T)
        return forward + F.pad(backward[:, 1:], (0, 0, 0, 1)), words


class VSFD(nn.Module):
    """Visual and semantic features weighed by a gate, and their classes."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.fc0 = nn.Linear(2 * dim, dim)
        self.fc1 = nn.Linear(dim, classes)

    def forward(self, visual: Tensor, semantic: Tensor) -> Tensor:
        gate = torch.sigmoid(self.fc0(torch.cat([visual, semantic], dim=2)))
        return self.fc1(gate * visual + (1 - gate) * semantic)


class SRNHead(PositionHead):
    """(N, C, 8, 32) -> probabilities (N, max_text_length, classes)."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        max_text_length: int = 25,
        num_heads: int = 8,
        num_encoder_TUs: int = 2,
        num_decoder_TUs: int = 4,
    ) -> None:
        super().__init__()
        self.pvam = PVAM(in_channels, num_heads, num_encoder_TUs, max_text_length)
        self.gsrm = GSRM(in_channels, num_heads, num_decoder_TUs, classes, max_text_length)
        self.vsfd = VSFD(in_channels, classes)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits (N, T, classes) of what was seen, "words", of both together, "fused", and with one class more of what
        the text probably says, "semantic"; features "visual" (N, T, C)."""
        visual = self.pvam(x)
        semantic, words = self.gsrm(visual)
        reasoned = semantic @ self.gsrm.table.T
        return {"visual": visual, "words": words, "semantic": reasoned, "fused": self.vsfd(visual, semantic)}

    def logits(self, x: Tensor) -> Tensor:
        visual = self.pvam(x)
        return self.vsfd(visual, self.gsrm(visual)[0])

    def class_rows(self) -> dict[str, str]:
        tables = (f"gsrm.wrap_encoder{i}.prepare_decoder.emb0.weight" for i in (0, 1))
        layers = (f"{layer}.{leaf}" for layer in ("gsrm.fc0", "vsfd.fc1") for leaf in ("weight", "bias"))
        return dict.fromkeys((*tables, *layers), "srn")
