"""SAR decoder (arXiv 1811.00751): the training-only guide of the PP-OCRv3 recognisers.

Upstream: ppocr/modeling/heads/rec_sar_head.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EXTRA_CLASSES = 2  # beside the CTC classes: the label encoder has <UKN>, <BOS/EOS>, <PAD> instead of the blank


class SAREncoder(nn.Module):
    """(N, C, H, W) -> holistic vector (N, hidden): LSTM over the columns, its state at the last valid column."""

    def __init__(self, in_channels: int, hidden: int) -> None:
        super().__init__()
        self.rnn_encoder = nn.LSTM(in_channels, hidden, num_layers=2, batch_first=True, dropout=0.1)
        self.linear = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        columns, _ = self.rnn_encoder(x.amax(2).transpose(1, 2))  # (N, C, H, W) -> (N, W, hidden)
        last = columns[torch.arange(x.shape[0], device=x.device), valid - 1]
        return self.linear(last)


class SARDecoder(nn.Module):
    """Attention over the whole map for every step, all steps at once (teacher forcing)."""

    def __init__(self, in_channels: int, hidden: int, tokens: int, dropout: float) -> None:
        super().__init__()
        self.conv1x1_1 = nn.Linear(hidden, 512)
        self.conv3x3_1 = nn.Conv2d(in_channels, 512, 3, padding=1)
        self.conv1x1_2 = nn.Linear(512, 1)
        self.rnn_decoder = nn.LSTM(hidden, hidden, num_layers=2, batch_first=True)
        self.embedding = nn.Embedding(tokens, hidden, padding_idx=tokens - 1)
        self.pred_dropout = nn.Dropout(dropout)
        self.prediction = nn.Linear(2 * hidden + in_channels, tokens - 1)

    def forward(self, x: Tensor, holistic: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        padding = self.embedding.padding_idx
        embedded = self.embedding(labels) * torch.ne(labels, padding).unsqueeze(-1)  # Paddle: padding is zero
        states, _ = self.rnn_decoder(torch.cat([holistic.unsqueeze(1), embedded], dim=1))  # (N, L + 1, hidden)
        context = self.attend(x, self.keys(x), states, valid)
        shared = holistic.unsqueeze(1).expand(-1, states.shape[1], -1)
        # upstream drops whole predictions, not features
        return self.pred_dropout(self.prediction(torch.cat([states, context, shared], dim=2)))[:, 1:]

    def keys(self, x: Tensor) -> Tensor:
        """What is looked at in a map: (N, C, H, W) -> (N, H, W, 512)."""
        return self.conv3x3_1(x).permute(0, 2, 3, 1)

    def attend(self, x: Tensor, keys: Tensor, states: Tensor, valid: Tensor) -> Tensor:
        """Weighted means of the map: (N, C, H, W), (N, H, W, 512), (N, L, hidden) -> (N, L, C)."""
        queries = self.conv1x1_1(states)[:, :, None, None]
        energy = self.conv1x1_2(torch.tanh(keys.unsqueeze(1) + queries)).squeeze(-1)  # (N, L, H, W)
        beyond = torch.arange(x.shape[3], device=x.device) >= valid[:, None]  # (N, W)
        energy = energy.masked_fill(beyond[:, None, None, :], float("-inf"))
        weights = energy.flatten(2).softmax(2)
        return torch.einsum("nlp,ncp->nlc", weights, x.flatten(2))


class SARHead(nn.Module):
    """classes: CTC classes of the recogniser. forward_train: (N, C, H, W), labels (N, L) padded with the last token ->
    logits (N, L, classes + 1); valid_ratio (N,): share of the width that holds text (1 without it)."""

    def __init__(self, in_channels: int, classes: int, enc_dim: int = 512, max_text_length: int = 25) -> None:
        super().__init__()
        self.max_text_length = max_text_length
        self.encoder = SAREncoder(in_channels, enc_dim)
        self.decoder = SARDecoder(in_channels, enc_dim, classes + EXTRA_CLASSES, dropout=0.1)

    name_in_multi_head = "sar_head"  # Paddle's

    def memory(self, in_channels: int) -> None:
        """It looks at the recogniser's features as they are."""

    def guided(self, memory: Tensor, targets: dict[str, Tensor]) -> Tensor:
        """Logits with teacher forcing; targets["gtc"]: label tokens, targets["valid_ratio"]: as `forward_train`."""
        return self.forward_train(memory, targets["gtc"], targets.get("valid_ratio"))

    def class_rows(self) -> dict[str, str]:
        """Parameters with a row per class -> the layout of its classes."""
        return dict.fromkeys(
            ("decoder.prediction.weight", "decoder.prediction.bias", "decoder.embedding.weight"), "sar"
        )

    def forward_train(self, x: Tensor, labels: Tensor, valid_ratio: Tensor | None = None) -> Tensor:
        width = x.shape[3]
        ratio = x.new_ones(x.shape[0]) if valid_ratio is None else valid_ratio.to(x.dtype)
        valid = torch.ceil(width * ratio).long().clamp(1, width)
        return self.decoder(x, self.encoder(x, valid), labels, valid)
