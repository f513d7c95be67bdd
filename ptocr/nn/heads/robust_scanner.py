"""RobustScanner (arXiv 2007.07542): what was read and where one is, weighed against each other.

Upstream: ppocr/modeling/heads/rec_robustscanner_head.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.decode import read_greedily
from ptocr.nn.heads.position import PositionHead
from ptocr.nn.heads.sar_reader import filled


def glimpse(queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
    """Dot-product attention without a scale: (N, L, D), (N, D, H, W), (N, C, H, W) -> (N, L, C); seen: columns,
    (N, W) bool."""
    mask = seen[:, None, None, :].expand(-1, -1, keys.shape[2], -1).flatten(2)  # (N, 1, H * W)
    flat = keys.flatten(2).transpose(1, 2), values.flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(queries, *flat, attn_mask=mask, scale=1.0)


class HybridDecoder(nn.Module):
    """The branch that knows what was read: an LSTM over the tokens."""

    def __init__(self, classes: int, dim: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, dim, padding_idx=classes - 1)
        self.sequence_layer = nn.LSTM(dim, dim, num_layers=layers, batch_first=True)


class PositionAware(nn.Module):
    """Rows read by an LSTM, then mixed by convolutions: a map that knows where it is, (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(dim, dim, num_layers=layers, batch_first=True)
        convs = [nn.Conv2d(dim, dim, 3, padding=1) for _ in range(2)]
        self.mixer = nn.Sequential(convs[0], nn.ReLU(), convs[1])

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, _ = x.shape
        rows, _ = self.rnn(x.permute(0, 2, 3, 1).flatten(0, 1))
        return self.mixer(rows.unflatten(0, (n, height)).permute(0, 3, 1, 2))


class PositionDecoder(nn.Module):
    """The branch that knows the place alone."""

    def __init__(self, dim: int, layers: int, length: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(length + 1, dim)
        self.position_aware_module = PositionAware(dim, layers)


class Fusion(nn.Module):
    """Both glimpses (N, L, C), weighed by a gate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear_layer = nn.Linear(2 * channels, 2 * channels)

    def forward(self, hybrid: Tensor, position: Tensor) -> Tensor:
        return F.glu(self.linear_layer(torch.cat([hybrid, position], dim=2)), dim=2)


class RobustDecoder(nn.Module):
    """The two branches, what weighs them, and the classes."""

    def __init__(self, in_channels: int, classes: int, dim: int, layers: int, length: int) -> None:
        super().__init__()
        self.hybrid_decoder = HybridDecoder(classes, dim, layers)
        self.position_decoder = PositionDecoder(dim, layers, length)
        self.fusion_module = Fusion(in_channels)
        self.prediction = nn.Linear(in_channels, classes - 1)


class ChannelReduction(nn.Module):
    """Fewer channels for the keys."""

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(in_channels, dim, 1)


class RobustScannerHead(PositionHead):
    """(N, C, H, W) and the share of the width that holds text (N,) -> probabilities (N, T, classes - 1): padding is
    never read. T is at most `max_text_length`."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        enc_outchannles: int = 128,
        hybrid_dec_rnn_layers: int = 2,
        max_text_length: int = 40,
    ) -> None:
        super().__init__()
        self.tokens = {"start": classes - 2, "end": classes - 2, "pad": classes - 1}
        self.steps = max_text_length
        self.encoder = ChannelReduction(in_channels, enc_outchannles)
        self.decoder = RobustDecoder(in_channels, classes, enc_outchannles, hybrid_dec_rnn_layers, max_text_length)

    def beside(self, x: Tensor) -> tuple[Tensor, ...]:
        return (filled(x),)

    def forward(self, x: Tensor, ratio: Tensor) -> Tensor:  # type: ignore[override]
        return self.logits(x, ratio).softmax(2)

    def seen(self, x: Tensor, ratio: Tensor) -> Tensor:
        """Which columns of a map (N, C, H, W) hold text, (N, W) bool."""
        columns = torch.arange(x.shape[3], device=x.device)
        return columns < torch.floor(x.shape[3] * ratio + 0.5).clamp_min(1)[:, None]

    def where(self, x: Tensor, reduced: Tensor, seen: Tensor, steps: int) -> Tensor:
        """What the place alone says of each step: (N, C, H, W) -> (N, steps, C)."""
        position = self.decoder.position_decoder
        places = position.embedding.weight[:steps].expand(x.shape[0], -1, -1)
        return glimpse(places, position.position_aware_module(reduced), x, seen)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits "fed" (N, L, classes - 1) of what follows each of targets["tokens"] (N, L); targets["valid_ratio"]
        (N,): share of the width that holds text."""
        assert targets is not None
        tokens, hybrid = targets["tokens"], self.decoder.hybrid_decoder
        seen, reduced = self.seen(x, targets["valid_ratio"].to(x.dtype)), self.encoder.layer(x)
        embedded = hybrid.embedding(tokens) * (tokens != self.tokens["pad"]).unsqueeze(2)  # Paddle: padding is zero
        what = glimpse(hybrid.sequence_layer(embedded)[0], reduced, x, seen)
        where = self.where(x, reduced, seen, tokens.shape[1])
        return {"fed": self.decoder.prediction(self.decoder.fusion_module(what, where))}

    def logits(self, x: Tensor, ratio: Tensor) -> Tensor:
        seen, reduced, hybrid = self.seen(x, ratio), self.encoder.layer(x), self.decoder.hybrid_decoder
        where = self.where(x, reduced, seen, self.steps)
        state = None

        def step(token: Tensor, place: int) -> Tensor:
            nonlocal state
            y, state = hybrid.sequence_layer(hybrid.embedding(token), state)  # padding is never among the tokens
            what = glimpse(y, reduced, x, seen)
            return self.decoder.prediction(self.decoder.fusion_module(what, where[:, place : place + 1]))

        return read_greedily(step, x.shape[0], self.steps, self.tokens["start"], self.tokens["end"], x.device)

    def class_rows(self) -> dict[str, str]:
        names = ("prediction.weight", "prediction.bias", "hybrid_decoder.embedding.weight")
        return {f"decoder.{name}": "sar" for name in names}
