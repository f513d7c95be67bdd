"""Heads that read a line position by position: one class per character, no blanks."""

from __future__ import annotations

from torch import Tensor, nn

from ptocr.nn.decode import GreedySteps
from ptocr.nn.network import Head


class PositionHead(Head):
    """Base of heads whose output is (N, T, classes), the probabilities of each position's character."""

    SKIPPED = 0  # positions before the first character

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).softmax(2)

    def decoding(self, network: nn.Module) -> nn.Module:
        return GreedySteps(network, self.SKIPPED)


class PlainHead(PositionHead):
    """Base of those that are told nothing while training. forward_train: logits "positions" (N, T, classes)."""

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        return {"positions": self.logits(x)}


class TokenHead(PlainHead):
    """Tokens (N, T, C) -> probabilities; the first token stands for the whole picture (ViTSTR)."""

    SKIPPED = 1

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, classes)

    def logits(self, x: Tensor) -> Tensor:
        return self.fc(x)

    def class_rows(self) -> dict[str, str]:
        return {"fc.weight": "vitstr", "fc.bias": "vitstr"}


class PRENHead(PlainHead):
    """Vectors of characters (N, T, C) -> probabilities (PREN)."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, classes)

    def logits(self, x: Tensor) -> Tensor:
        return self.linear(x)

    def class_rows(self) -> dict[str, str]:
        return {"linear.weight": "pren", "linear.bias": "pren"}
