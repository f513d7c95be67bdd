"""VisionLAN (arXiv 2108.09661): a vision model that has learnt language by reading lines with a character hidden.

Upstream: ppocr/modeling/heads/rec_visionlan_head.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.decode import GreedySteps
from ptocr.nn.heads.nrtr import join_heads, split_heads
from ptocr.nn.heads.position import PositionHead

HEADS, HIDDEN, DROPOUT = 8, 2048, 0.1


class PositionTable(nn.Module):
    """Adds a table of positions `pos_table` (1, L, dim), which checkpoints hold as a buffer."""

    def __init__(self, dim: int, length: int) -> None:
        super().__init__()
        place = torch.arange(length, dtype=torch.float32).unsqueeze(1)
        channel = torch.arange(dim, dtype=torch.float32)
        angle = place / 10000 ** (2 * (channel // 2) / dim)
        table = torch.where(channel % 2 == 0, torch.sin(angle), torch.cos(angle))
        self.register_buffer("pos_table", table.unsqueeze(0))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pos_table[:, : x.shape[1]]


class SequenceAttention(nn.Module):
    """norm(x + attention) of a sequence (N, L, C) to itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.w_qs = nn.Linear(dim, dim)
        self.w_ks = nn.Linear(dim, dim)
        self.w_vs = nn.Linear(dim, dim)
        self.layer_norm = nn.LayerNorm(dim)
        self.fc = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(part(x), HEADS) for part in (self.w_qs, self.w_ks, self.w_vs))
        seen = F.scaled_dot_product_attention(q, k, v, dropout_p=DROPOUT if self.training else 0.0)
        return self.layer_norm(x + self.dropout(self.fc(join_heads(seen))))


class FeedForward(nn.Module):
    """norm(x + MLP), whose layers are convolutions one step wide."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.w_1 = nn.Conv1d(dim, HIDDEN, 1)
        self.w_2 = nn.Conv1d(HIDDEN, dim, 1)
        self.layer_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        y = self.w_2(F.relu(self.w_1(x.transpose(1, 2))))
        return self.layer_norm(x + self.dropout(y.transpose(1, 2)))


class SequenceLayer(nn.Module):
    """Post-norm transformer layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.slf_attn = SequenceAttention(dim)
        self.pos_ffn = FeedForward(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.pos_ffn(self.slf_attn(x))


class SequenceModel(nn.Module):
    """Positions, layers, norm: (N, L, C) -> (N, L, C)."""

    def __init__(self, dim: int, layers: int, length: int) -> None:
        super().__init__()
        self.position_enc = PositionTable(dim, length)
        self.layer_stack = nn.ModuleList(SequenceLayer(dim) for _ in range(layers))
        self.layer_norm = nn.LayerNorm(dim, eps=1e-6)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.position_enc(x))
        for layer in self.layer_stack:
            x = layer(x)
        return self.layer_norm(x)


class ParallelPrediction(nn.Module):
    """What stands at each position of the text: (N, L, C) -> (N, T, C) (upstream `PP_layer`)."""

    def __init__(self, dim: int, positions: int, length: int) -> None:
        super().__init__()
        self.f0_embedding = nn.Embedding(positions, dim)
        self.w0 = nn.Linear(positions, length)
        self.wv = nn.Linear(dim, dim)
        self.we = nn.Linear(dim, positions)

    def forward(self, x: Tensor) -> Tensor:
        order = self.w0(self.f0_embedding.weight.T).T  # (L, C)
        weights = self.we(torch.tanh(order + self.wv(x))).transpose(1, 2).softmax(2)
        return weights @ x


class Masking(nn.Module):
    """Which part of the features belongs to one character (training alone): (N, L, C) and the character's place (N,) ->
    the share of each feature that does, (N, L, 1), features without and with it alone, (N, L, C) both."""

    def __init__(self, dim: int, length: int, text_length: int) -> None:
        super().__init__()
        self.MLM_SequenceModeling_mask = SequenceModel(dim, 2, length)
        self.MLM_SequenceModeling_WCL = SequenceModel(dim, 1, length)
        self.pos_embedding = nn.Embedding(text_length, dim)
        self.w0_linear = nn.Linear(1, length)
        self.wv = nn.Linear(dim, dim)
        self.we = nn.Linear(dim, 1)

    def forward(self, x: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        order = self.w0_linear(self.pos_embedding(place).unsqueeze(2)).transpose(1, 2)  # (N, L, C)
        seen = self.wv(self.MLM_SequenceModeling_mask(x))
        share = torch.sigmoid(self.we(torch.tanh(order + seen)))
        context = self.MLM_SequenceModeling_WCL
        return share, context(x * (1 - share)), context(x * share)


class Prediction(nn.Module):
    """Positions and their classes; in training once more for lines with a hidden character."""

    def __init__(self, dim: int, positions: int, length: int, classes: int, train: bool) -> None:
        super().__init__()
        self.pp = ParallelPrediction(dim, positions, length)
        if train:
            self.pp_share = ParallelPrediction(dim, positions, length)
            self.w_share = nn.Linear(dim, classes)
        self.w_vrm = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_vrm(self.pp(x))

    def of_parts(self, x: Tensor) -> Tensor:
        """Of features without or with a hidden character alone."""
        return self.w_share(self.pp_share(x))


class VLHead(PositionHead):
    """(N, C, H, W) -> probabilities (N, max_text_length + 1, classes); the end is class 0.

    Columns of the map come one after the other.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        n_layers: int = 3,
        n_position: int = 256,
        max_text_length: int = 25,
        train: bool = False,
    ) -> None:
        super().__init__()
        self.trained, self.most = train, max_text_length
        self.MLM_VRM = nn.Module()
        if train:
            self.MLM_VRM.MLM = Masking(in_channels, n_position, max_text_length)
        self.MLM_VRM.SequenceModeling = SequenceModel(in_channels, n_layers, n_position)
        self.MLM_VRM.Prediction = Prediction(in_channels, max_text_length + 1, n_position, classes, train)

    def logits(self, x: Tensor) -> Tensor:
        rows = x.transpose(2, 3).flatten(2).transpose(1, 2)
        return self.MLM_VRM.Prediction(self.MLM_VRM.SequenceModeling(rows))

    def decoding(self, network: nn.Module) -> nn.Module:
        return GreedySteps(network, most=self.most)  # upstream reads no character at the last position

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits (N, T, classes): "text"; with targets["hidden"], the place (N,) of a character, "rest" without it and
        "one" of it alone; lines of targets["occluded"] (N,) bool are read without what shows that character."""
        if targets is None:
            return {"text": self.logits(x)}
        parts, rows = self.MLM_VRM, x.transpose(2, 3).flatten(2).transpose(1, 2)
        share, rest, one = parts.MLM(rows, targets["hidden"])
        if "occluded" in targets:
            rows = rows * (1 - share.detach() * targets["occluded"][:, None, None])
        made = {"text": parts.Prediction(parts.SequenceModeling(rows))}
        return made | {"rest": parts.Prediction.of_parts(rest), "one": parts.Prediction.of_parts(one)}

    def class_rows(self) -> dict[str, str]:
        layers = ["w_vrm", *["w_share"] * self.trained]
        return {f"MLM_VRM.Prediction.{layer}.{leaf}": "abinet" for layer in layers for leaf in ("weight", "bias")}
