"""Classification heads. Upstream: ppocr/modeling/heads/cls_head.py."""

from __future__ import annotations

from torch import Tensor, nn

from ptocr.nn.network import Head


class ClsHead(Head):
    """(N, C, h, w) -> class probabilities (N, K)."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, classes)

    def logits(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).softmax(1)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        return {"logits": self.logits(x)}
