"""Attention decoder of RARE (arXiv 1603.03915) and its relatives. Upstream: ppocr/modeling/heads/rec_att_head.py."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.decode import GreedySteps
from ptocr.nn.network import Head


class AttentionCell(nn.Module):
    """One step: additive attention of the last state over the sequence, then a GRU cell on [context, last class]."""

    def __init__(self, in_channels: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.i2h = nn.Linear(in_channels, hidden, bias=False)
        self.h2h = nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.rnn = nn.GRUCell(in_channels + classes, hidden)

    def forward(self, state: Tensor, sequence: Tensor, keys: Tensor, last: Tensor) -> Tensor:
        """state (N, hidden), sequence (N, T, C), keys = i2h(sequence), last (N, classes) one-hot -> state."""
        weights = self.score(torch.tanh(keys + self.h2h(state).unsqueeze(1))).softmax(1)  # (N, T, 1)
        context = (weights.transpose(1, 2) @ sequence).squeeze(1)
        return self.rnn(torch.cat([context, last], dim=1), state)


class AttentionHead(Head):
    """(N, T, C) -> class probabilities (N, steps, classes), decoded greedily in exactly `steps` steps.

    Class 0 starts the sequence, the last class ends it. forward_train: targets["tokens"] (N, L), the classes that are
    fed in (teacher forcing) -> logits (N, L, classes).
    """

    def __init__(self, in_channels: int, classes: int, hidden_size: int = 256, steps: int = 25) -> None:
        super().__init__()
        self.classes, self.steps, self.hidden = classes, steps, hidden_size
        self.attention_cell = AttentionCell(in_channels, hidden_size, classes)
        self.generator = nn.Linear(hidden_size, classes)

    def logits(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """(N, steps, classes): greedy, or with `tokens` (N, L) fed in."""
        state, keys = x.new_zeros(len(x), self.hidden), self.attention_cell.i2h(x)
        last = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        outputs = []
        for step in range(self.steps if tokens is None else tokens.shape[1]):
            last = last if tokens is None else tokens[:, step]
            fed = F.one_hot(last, self.classes).to(x.dtype)
            state = self.attention_cell(state, x, keys, fed)
            outputs.append(self.generator(state))
            last = outputs[-1].argmax(1)
        return torch.stack(outputs, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).softmax(2)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits "attention" (N, L, classes) for targets["tokens"]."""
        tokens = None if targets is None else targets["tokens"]
        return {"attention": self.logits(x, tokens)}

    def decoding(self, network: nn.Module) -> nn.Module:
        return GreedySteps(network)

    def class_rows(self) -> dict[str, str]:
        return {"generator.weight": "attention", "generator.bias": "attention"}
