"""Sequence encoders of the recognisers. Upstream: ppocr/modeling/necks/rnn.py, backbones/rec_svtrnet.py."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import ConvNorm, Size
from ptocr.nn.network import Neck


def to_sequence(x: Tensor) -> Tensor:
    """(N, C, 1, W) -> (N, W, C); upstream `Im2Seq`."""
    return x.squeeze(2).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention over a sequence (N, L, C); seen: which places may look at which, (L, L) bool."""

    def __init__(self, dim: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        n, length, dim = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], seen)  # (N, heads, L, C / heads)
        return self.proj(y.transpose(1, 2).reshape(n, length, dim))


class Mlp(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, dim: int, hidden: int, act: nn.Module) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = act
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """x + f(norm(x)) for mixer and MLP.

    Upstream calls this form `prenorm=False`; what it computes is the usual pre-norm block.
    """

    def __init__(self, dim: int, heads: int = 8, mlp_ratio: float = 2.0, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.mixer = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mixer(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class EncoderWithSVTR(nn.Module):
    """Convolutions around a few global-mixing blocks, with a shortcut from the input (upstream `EncoderWithSVTR`).

    use_guide: the backbone gets no gradient from here while a training-only branch guides it.
    """

    def __init__(
        self,
        in_channels: int,
        dims: int = 64,
        depth: int = 2,
        hidden_dims: int = 120,
        kernel_size: Size = 3,
        use_guide: bool = False,
    ) -> None:
        super().__init__()
        self.use_guide = use_guide
        self.out_channels = dims
        squeezed = in_channels // 8
        self.conv1 = ConvNorm(in_channels, squeezed, kernel_size, act="swish")
        self.conv2 = ConvNorm(squeezed, hidden_dims, 1, act="swish")
        self.svtr_block = nn.ModuleList(Block(hidden_dims) for _ in range(depth))
        self.norm = nn.LayerNorm(hidden_dims, eps=1e-6)
        self.conv3 = ConvNorm(hidden_dims, in_channels, 1, act="swish")
        self.conv4 = ConvNorm(2 * in_channels, squeezed, kernel_size, act="swish")
        self.conv1x1 = ConvNorm(squeezed, dims, 1, act="swish")

    def forward(self, x: Tensor) -> Tensor:
        if self.use_guide:
            x = x.detach()
        y = self.conv2(self.conv1(x))
        y = y.permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C): a view of channels-last memory
        size = y.shape[1:3]
        y = y.flatten(1, 2)  # (N, H * W, C)
        for block in self.svtr_block:
            y = block(y)
        y = self.norm(y).unflatten(1, size).permute(0, 3, 1, 2)
        y = self.conv4(torch.cat([x, self.conv3(y)], dim=1))
        return self.conv1x1(y)


class SequenceEncoder(nn.Module):
    """An encoder of feature maps followed by their reading as a sequence: (N, C, 1, W) -> (N, W, C')."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.out_channels = int(encoder.out_channels)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return to_sequence(self.encoder(x))


class RecurrentEncoder(nn.Module):
    """Bidirectional LSTM of two layers over the columns (CRNN): (N, W, C) -> (N, W, 2 * hidden)."""

    def __init__(self, in_channels: int, hidden: int) -> None:
        super().__init__()
        self.out_channels = 2 * hidden
        self.lstm = nn.LSTM(in_channels, hidden, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0]


class RecurrentSequence(Neck):
    """Columns of a map read by a recurrent encoder: (N, C, 1, W) -> (N, W, 2 * hidden_size)."""

    def __init__(self, in_channels: int, hidden_size: int) -> None:
        super().__init__()
        self.encoder = RecurrentEncoder(in_channels, hidden_size)
        self.out_channels = self.encoder.out_channels

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(to_sequence(x))


class LinearLSTM(nn.Module):
    """Bidirectional LSTM of one layer, then a linear layer: (N, W, C) -> (N, W, out_channels)."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(in_channels, hidden, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(2 * hidden, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.rnn(x)[0])


class CascadeSequence(Neck):
    """Columns of a map read by several LSTMs in turn: (N, C, 1, W) -> (N, W, out_channels[-1])."""

    def __init__(self, in_channels: int, hidden_size: int, out_channels: Sequence[int]) -> None:
        super().__init__()
        self.out_channels = out_channels[-1]
        sizes = zip((in_channels, *out_channels), out_channels, strict=False)
        layers = [LinearLSTM(before, hidden_size, after) for before, after in sizes]
        self.encoder = nn.ModuleDict({"encoder": nn.Sequential(*layers)})

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder["encoder"](to_sequence(x))


class Reshape(Neck):
    """No encoder at all: (N, C, 1, W) -> (N, W, C)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.out_channels = in_channels

    def forward(self, x: Tensor) -> Tensor:
        return to_sequence(x)
