"""Attention decoder of RARE (arXiv 1603.03915) and its relatives: SPIN (arXiv 2005.13117), RFL (arXiv 2105.06229).

Upstream: ppocr/modeling/heads/rec_att_head.py, rec_spin_att_head.py, rec_rfl_head.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.decode import CountedSteps, GreedySteps
from ptocr.nn.network import Head


class AttentionCell(nn.Module):
    """One step: additive attention of the last state over the sequence, then a GRU cell on [context, last class]."""

    def __init__(self, in_channels: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.i2h = nn.Linear(in_channels, hidden, bias=False)
        self.h2h = nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.rnn: nn.Module = nn.GRUCell(in_channels + classes, hidden)

    def seen(self, state: Tensor, sequence: Tensor, keys: Tensor, last: Tensor) -> Tensor:
        """What the recurrent cell is given: the mean of the sequence by attention, and the last class."""
        weights = self.score(torch.tanh(keys + self.h2h(state).unsqueeze(1))).softmax(1)  # (N, T, 1)
        context = (weights.transpose(1, 2) @ sequence).squeeze(1)
        return torch.cat([context, last], dim=1)

    def forward(self, state: Tensor, sequence: Tensor, keys: Tensor, last: Tensor) -> Tensor:
        """state (N, hidden), sequence (N, T, C), keys = i2h(sequence), last (N, classes) one-hot -> state."""
        return self.rnn(self.seen(state, sequence, keys, last), state)


class LSTMAttentionCell(AttentionCell):
    """The same step with an LSTM cell. Its state is (N, 2 * hidden): what it shows, then what it remembers."""

    def __init__(self, in_channels: int, hidden: int, classes: int) -> None:
        super().__init__(in_channels, hidden, classes)
        self.rnn = nn.LSTMCell(in_channels + classes, hidden)

    def forward(self, state: Tensor, sequence: Tensor, keys: Tensor, last: Tensor) -> Tensor:
        shown, remembered = state.chunk(2, dim=1)
        return torch.cat(self.rnn(self.seen(shown, sequence, keys, last), (shown, remembered)), dim=1)


class AttentionHead(Head):
    """(N, T, C) -> class probabilities (N, steps, classes), decoded greedily in exactly `steps` steps.

    Class 0 starts the sequence. forward_train: targets["tokens"] (N, L), the classes that are
    fed in (teacher forcing) -> logits (N, L, classes); without targets what was read is fed in.
    """

    LAYOUT = "attention"
    CELL, STATES = AttentionCell, 1

    def __init__(self, in_channels: int, classes: int, hidden_size: int = 256, steps: int = 25) -> None:
        super().__init__()
        self.classes, self.steps, self.hidden = classes, steps, hidden_size
        self.attention_cell = self.CELL(in_channels, hidden_size, classes)
        self.generator = nn.Linear(hidden_size, classes)

    def logits(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """(N, steps, classes): greedy, or with `tokens` (N, L) fed in."""
        state, keys = x.new_zeros(x.shape[0], self.STATES * self.hidden), self.attention_cell.i2h(x)
        last = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
        outputs = []
        for step in range(self.steps if tokens is None else tokens.shape[1]):
            last = last if tokens is None else tokens[:, step]
            fed = F.one_hot(last, self.classes).to(x.dtype)
            state = self.attention_cell(state, x, keys, fed)
            outputs.append(self.generator(state[:, : self.hidden]))
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
        return {"generator.weight": self.LAYOUT, "generator.bias": self.LAYOUT}


class SPINAttentionHead(AttentionHead):
    """The same with an LSTM cell, and with the end token beside the start."""

    LAYOUT = "spin"
    CELL, STATES = LSTMAttentionCell, 2

    def __init__(self, in_channels: int, classes: int, hidden_size: int = 256, steps: int = 26) -> None:
        super().__init__(in_channels, classes, hidden_size, steps)


class SequenceHead(AttentionHead):
    """The same with an LSTM cell alone (RFL)."""

    CELL, STATES = LSTMAttentionCell, 2


class CountingHead(nn.Module):
    """A map (N, C, 1, columns) -> how often every class occurs, (N, classes); it takes lines of one width alone."""

    def __init__(self, in_channels: int, classes: int, columns: int) -> None:
        super().__init__()
        self.Wv_fusion = nn.Linear(in_channels, in_channels, bias=False)
        self.Prediction_visual = nn.Linear(columns * in_channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        columns = x.flatten(2).transpose(1, 2)
        return self.Prediction_visual(self.Wv_fusion(columns).flatten(1))


class RFLHead(Head):
    """Maps for counting (N, C, 1, W), sequence for reading (N, W, C) -> class probabilities (N, steps, classes).

    `counts` says how often every class occurs, which training alone needs.
    """

    def __init__(self, in_channels: int, classes: int, hidden_size: int = 256, steps: int = 25) -> None:
        super().__init__()
        self.cnt_head = CountingHead(in_channels, classes, steps + 1)
        self.seq_head = SequenceHead(in_channels, classes, hidden_size, steps)

    def counts(self, features: tuple[Tensor, Tensor]) -> Tensor:
        """(N, classes), not rounded."""
        return self.cnt_head(features[0])

    def logits(self, features: tuple[Tensor, Tensor]) -> Tensor:
        return self.seq_head.logits(features[1])

    def forward(self, features: tuple[Tensor, Tensor]) -> Tensor:
        return self.logits(features).softmax(2)

    def forward_train(
        self, features: tuple[Tensor, Tensor], targets: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Counts "counting" (N, classes), and logits "attention" (N, L, classes) for targets["tokens"]."""
        return {"counting": self.counts(features), **self.seq_head.forward_train(features[1], targets)}

    def decoding(self, network: nn.Module) -> nn.Module:
        return GreedySteps(network)

    def class_rows(self) -> dict[str, str]:
        rows = ("cnt_head.Prediction_visual", "seq_head.generator")
        return {f"{row}.{leaf}": "attention" for row in rows for leaf in ("weight", "bias")}


class RFLCountingHead(Head):
    """Map (N, C, 1, W) -> how often every class occurs, (N, classes): the stage that RFL is begun with, which knows the
    characters of a line and not their order. They are read in the order of their classes."""

    def __init__(self, in_channels: int, classes: int, steps: int = 25) -> None:
        super().__init__()
        self.steps = steps
        self.cnt_head = CountingHead(in_channels, classes, steps + 1)

    def logits(self, x: Tensor) -> Tensor:
        return self.cnt_head(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Counts "counting" (N, classes)."""
        return {"counting": self.logits(x)}

    def decoding(self, network: nn.Module) -> nn.Module:
        return CountedSteps(network, self.steps)

    def class_rows(self) -> dict[str, str]:
        return {f"cnt_head.Prediction_visual.{leaf}": "counts" for leaf in ("weight", "bias")}
