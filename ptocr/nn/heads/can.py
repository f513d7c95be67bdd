"""Counting-aware decoder of handwritten formulas (CAN, arXiv 2207.11463). Upstream: heads/rec_can_head.py.

Masks (N, 1, h, w) say which cells of a map show a picture of the batch: 1, and 0 in its padding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.decode import GreedySteps, read_greedily
from ptocr.nn.layers import FoldingSequential
from ptocr.nn.network import Head

STRIDE = 16  # pixels of a cell
COUNTED = 512  # channels of the counting decoders
DROPPED = 0.5  # of what the classes are read from, while training
POSITIONS = 256  # numbers that stand for a row, and for a column


class ChannelAttention(nn.Module):
    """Channel gates from the mean of a map, by two linear layers."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        inner = channels // reduction
        self.fc = nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class CountingDecoder(nn.Module):
    """How often every symbol occurs in a picture: (N, C, h, w) -> (N, classes)."""

    def __init__(self, in_channels: int, classes: int, kernel: int) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, COUNTED, kernel, padding=kernel // 2, bias=False)
        self.trans_layer = FoldingSequential(conv, nn.BatchNorm2d(COUNTED))
        self.channel_att = ChannelAttention(COUNTED)
        self.pred_layer = nn.Sequential(nn.Conv2d(COUNTED, classes, 1, bias=False), nn.Sigmoid())

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return (self.pred_layer(self.channel_att(self.trans_layer(x))) * mask).sum((2, 3))


class CoverageAttention(nn.Module):
    """Additive attention over a map that knows where it has looked before."""

    def __init__(self, hidden: int, dim: int) -> None:
        super().__init__()
        self.hidden_weight = nn.Linear(hidden, dim)
        self.attention_conv = nn.Conv2d(1, 512, 11, padding=5, bias=False)
        self.attention_weight = nn.Linear(512, dim, bias=False)
        self.alpha_convert = nn.Linear(dim, 1)

    def forward(self, keys: Tensor, state: Tensor, looked: Tensor, mask: Tensor) -> Tensor:
        """keys (N, h, w, dim), state (N, hidden), looked: sum of the weights so far (N, 1, h, w) -> weights."""
        covered = self.attention_weight(self.attention_conv(looked).permute(0, 2, 3, 1))
        score = torch.tanh(self.hidden_weight(state)[:, None, None] + covered + keys)
        energy = self.alpha_convert(score).squeeze(3).unsqueeze(1)
        weights = (energy - energy.max()).exp() * mask  # the largest of the batch, as upstream: pictures come singly
        return weights / (weights.sum((2, 3), keepdim=True) + 1e-10)


def position_codes(mask: Tensor) -> Tensor:
    """Sines and cosines of where a cell stands in its picture: (N, 1, h, w) -> (N, h, w, 2 * POSITIONS)."""
    powers = torch.arange(POSITIONS, device=mask.device).div(2, rounding_mode="floor") * 2 / POSITIONS
    rates = 10000.0 ** powers.to(mask.dtype)
    codes = []
    for axis in (2, 3):
        places = mask.cumsum(axis)
        places = places / (places.narrow(axis, places.shape[axis] - 1, 1) + 1e-6) * (2 * math.pi)
        angles = places[:, 0, :, :, None] / rates
        codes.append(torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], dim=4).flatten(3))
    return torch.cat(codes, dim=3)


class SymbolDecoder(nn.Module):
    """One symbol after the other: a GRU cell, attention with coverage, and the counts of all symbols."""

    def __init__(self, in_channels: int, classes: int, hidden: int, size: int, attention: int) -> None:
        super().__init__()
        self.init_weight = nn.Linear(in_channels, hidden)
        self.embedding = nn.Embedding(classes, size)
        self.word_input_gru = nn.GRUCell(size, hidden)
        self.word_attention = CoverageAttention(hidden, attention)
        self.encoder_feature_conv = nn.Conv2d(in_channels, attention, 1)
        self.word_state_weight = nn.Linear(hidden, hidden)
        self.word_embedding_weight = nn.Linear(size, hidden)
        self.word_context_weight = nn.Linear(in_channels, hidden)
        self.counting_context_weight = nn.Linear(classes, hidden)
        self.word_convert = nn.Linear(hidden, classes)

    def stepper(self, x: Tensor, counts: Tensor, mask: Tensor) -> Callable[[Tensor, int], Tensor]:
        """Map (N, C, h, w), counts (N, classes) -> a step: the tokens before (N, 1) -> logits (N, 1, classes)."""
        state = torch.tanh(self.init_weight((x * mask).sum((2, 3)) / mask.sum((2, 3))))
        keys = self.encoder_feature_conv(x).permute(0, 2, 3, 1) + position_codes(mask)
        counted = self.counting_context_weight(counts)
        looked = torch.zeros_like(x[:, :1])

        def step(token: Tensor, _: int) -> Tensor:
            nonlocal state, looked
            last = self.embedding(token[:, 0])
            state = self.word_input_gru(last, state)
            weights = self.word_attention(keys, state, looked, mask)
            looked = looked + weights
            context = self.word_context_weight((weights * x).sum((2, 3)))
            seen = self.word_state_weight(state) + self.word_embedding_weight(last) + context + counted
            return self.word_convert(F.dropout(seen, DROPPED, self.training)).unsqueeze(1)

        return step


class CANHead(Head):
    """(N, C, h, w) -> symbol probabilities (N, T, classes), T at most `max_text_length`."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        max_text_length: int = 36,
        hidden_size: int = 256,
        input_size: int = 256,
        attention_dim: int = 512,
    ) -> None:
        super().__init__()
        self.tokens = {"end": 0, "start": 1}
        self.most = max_text_length
        self.counting_decoder1 = CountingDecoder(in_channels, classes, 3)
        self.counting_decoder2 = CountingDecoder(in_channels, classes, 5)
        self.decoder = SymbolDecoder(in_channels, classes, hidden_size, input_size, attention_dim)

    def counts(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """How often each symbol occurs as small and as large kernels see it, (N, classes) each."""
        return self.counting_decoder1(x, mask), self.counting_decoder2(x, mask)

    def logits(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: of the map's cells; None: the whole map shows pictures."""
        mask = torch.ones_like(x[:, :1]) if mask is None else mask
        small, large = self.counts(x, mask)
        step = self.decoder.stepper(x, (small + large) / 2, mask)
        return read_greedily(step, x.shape[0], self.most, self.tokens["start"], self.tokens["end"], x.device)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).softmax(2)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """For targets["tokens"] (N, L), the symbols and the end, and targets["mask"] (N, 1, H, W), which pixels show
        pictures: logits "symbols" (N, L, classes) of each, counts "small" and "large" (N, classes)."""
        assert targets is not None
        mask, tokens = targets["mask"][:, :, ::STRIDE, ::STRIDE], targets["tokens"]
        small, large = self.counts(x, mask)
        step = self.decoder.stepper(x, (small + large) / 2, mask)
        start = torch.full_like(tokens[:, :1], self.tokens["start"])
        fed = torch.cat([start, tokens[:, :-1]], dim=1)
        symbols = [step(fed[:, place : place + 1], place) for place in range(fed.shape[1])]
        return {"symbols": torch.cat(symbols, dim=1), "small": small, "large": large}

    def decoding(self, network: nn.Module) -> nn.Module:
        return GreedySteps(network)

    def class_rows(self) -> dict[str, str]:
        rows = [f"counting_decoder{i}.pred_layer.0.weight" for i in (1, 2)]
        rows += ["decoder.embedding.weight", "decoder.word_convert.weight", "decoder.word_convert.bias"]
        return dict.fromkeys(rows, "can")
