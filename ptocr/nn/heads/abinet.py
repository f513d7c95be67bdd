"""ABINet (arXiv 2103.06495): a vision model and a language model that correct each other.

Upstream: ppocr/modeling/heads/rec_abinet_head.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ptocr.nn.heads.nrtr import CrossAttention, EncoderLayer, PositionalEncoding
from ptocr.nn.heads.position import PositionHead
from ptocr.nn.layers import FoldingSequential, Size
from ptocr.nn.necks.sequence import Mlp

KEYS = 64  # channels of the network that makes the keys


class LanguageLayer(nn.Module):
    """Post-norm layer that looks at tokens, not at itself."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.cross_attn = CrossAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden, nn.ReLU())
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor, tokens: Tensor, seen: Tensor) -> Tensor:
        x = self.norm2(x + self.dropout(self.cross_attn(x, tokens, seen)))
        return self.norm3(x + self.dropout(self.mlp(x)))


class LanguageModel(nn.Module):
    """Fills each gap from what stands around it: probabilities of the characters (N, T, classes) and lengths (N,) ->
    features (N, T, C) and logits (upstream `BCNLanguage`)."""

    def __init__(self, dim: int, heads: int, hidden: int, layers: int, length: int, classes: int) -> None:
        super().__init__()
        self.proj = nn.Linear(classes, dim, bias=False)
        self.token_encoder = PositionalEncoding(dim, length)
        self.pos_encoder = PositionalEncoding(dim, length, dropout=0.0)
        self.decoder = nn.ModuleList(LanguageLayer(dim, heads, hidden) for _ in range(layers))
        self.cls = nn.Linear(dim, classes)

    def forward(self, probabilities: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.token_encoder(self.proj(probabilities))
        places = torch.arange(tokens.shape[1], device=tokens.device)
        seen = (places < lengths[:, None])[:, None] & (places[:, None] != places)  # (N, T, T)
        x = self.pos_encoder(torch.zeros_like(tokens))
        for layer in self.decoder:
            x = layer(x, tokens, seen[:, None])
        return x, self.cls(x)


def _down(in_channels: int, stride: Size) -> nn.Module:
    return FoldingSequential(nn.Conv2d(in_channels, KEYS, 3, stride, 1), nn.BatchNorm2d(KEYS), nn.ReLU())


def _up(out_channels: int, size: Sequence[int] | None = None) -> nn.Module:
    grow = nn.Upsample(scale_factor=2) if size is None else nn.Upsample(size=(size[0], size[1]))
    conv = nn.Conv2d(KEYS, out_channels, 3, padding=1)
    return FoldingSequential(grow, conv, nn.BatchNorm2d(out_channels), nn.ReLU())


class PositionAttention(nn.Module):
    """(N, C, H, W) -> what stands at each position of the text, (N, T, C). Keys come from a small U-Net."""

    def __init__(self, channels: int, length: int, size: Sequence[int]) -> None:
        super().__init__()
        self.length = length
        self.k_encoder = nn.ModuleList([_down(channels, (1, 2)), *(_down(KEYS, (2, 2)) for _ in range(3))])
        self.k_decoder = nn.ModuleList([*(_up(KEYS) for _ in range(3)), _up(channels, size)])
        self.pos_encoder = PositionalEncoding(channels, length, dropout=0.0)
        self.project = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        keys, maps = x, []
        for down in self.k_encoder:
            keys = down(keys)
            maps.append(keys)
        *ups, last = self.k_decoder
        for up, other in zip(ups, reversed(maps[:-1]), strict=True):
            keys = up(keys) + other
        keys = last(keys)
        queries = self.project(self.pos_encoder(x.new_zeros(x.shape[0], self.length, x.shape[1])))
        weights = (queries @ keys.flatten(2) / x.shape[1] ** 0.5).softmax(2)
        return weights @ x.flatten(2).transpose(1, 2)


def lengths(logits: Tensor) -> Tensor:
    """Length of each text with its end, (N, T, classes) -> (N,): all of T where no end was read."""
    ends = logits.argmax(2) == 0
    first = ends.to(torch.int32).argmax(1) + 1
    return torch.where(ends.any(1), first, logits.shape[1])


class ABINetHead(PositionHead):
    """(N, C, H / 4, W / 4) -> probabilities (N, max_length + 1, classes); the end is class 0."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        max_length: int = 25,
        iter_size: int = 3,
        image_size: Sequence[int] = (32, 128),
        num_layers: int = 3,
        dim_feedforward: int = 2048,
        nhead: int = 8,
    ) -> None:
        super().__init__()
        self.rounds, length = iter_size, max_length + 1
        size = image_size[0] // 4, image_size[1] // 4
        self.pos_encoder = PositionalEncoding(in_channels, size[0] * size[1])
        layers = (EncoderLayer(in_channels, nhead, 0.1, dim_feedforward) for _ in range(num_layers))
        self.encoder = nn.ModuleList(layers)
        self.decoder = PositionAttention(in_channels, length, size)
        self.cls = nn.Linear(in_channels, classes)
        self.language = LanguageModel(in_channels, nhead, dim_feedforward, 4, length, classes)
        self.w_att_align = nn.Linear(2 * in_channels, in_channels)
        self.cls_align = nn.Linear(in_channels, classes)

    def vision(self, x: Tensor) -> Tensor:
        """What is seen at each position, (N, C, H, W) -> (N, T, C)."""
        rows = self.pos_encoder(x.flatten(2).transpose(1, 2))
        for layer in self.encoder:
            rows = layer(rows)
        return self.decoder(rows.transpose(1, 2).unflatten(2, x.shape[2:]))

    def corrected(self, vision: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """One round: logits (N, T, classes) of the language model alone, and of both together."""
        spoken, said = self.language(logits.softmax(2), lengths(logits).clamp(2, logits.shape[1]))
        gate = torch.sigmoid(self.w_att_align(torch.cat([spoken, vision], dim=2)))
        return said, self.cls_align(gate * vision + (1 - gate) * spoken)

    def logits(self, x: Tensor) -> Tensor:
        vision = self.vision(x)
        logits = self.cls(vision)
        for _ in range(self.rounds):
            _, logits = self.corrected(vision, logits)
        return logits

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits "vision" (N, T, classes), and of all rounds "language", "aligned" (rounds, N, T, classes)."""
        vision = self.vision(x)
        seen = logits = self.cls(vision)
        rounds = []
        for _ in range(self.rounds):
            said, logits = self.corrected(vision, logits.detach())  # it does not learn through what it is given
            rounds.append((said, logits))
        said, both = (torch.stack(part) for part in zip(*rounds, strict=True))
        return {"vision": seen, "language": said, "aligned": both}

    def class_rows(self) -> dict[str, str]:
        names = ("cls.weight", "cls.bias", "cls_align.weight", "cls_align.bias")
        return dict.fromkeys((*names, "language.cls.weight", "language.cls.bias"), "abinet")
