"""CTC head. Upstream: ppocr/modeling/heads/rec_ctc_head.py."""

from __future__ import annotations

from torch import Tensor, nn


class CTCHead(nn.Module):
    """(N, T, C) -> class probabilities (N, T, classes); class 0 is the blank.

    mid_channels: width of a first linear layer, None for a single one. use_guide: no gradient into what comes before.
    """

    def __init__(
        self, in_channels: int, classes: int, mid_channels: int | None = None, use_guide: bool = False
    ) -> None:
        super().__init__()
        self.use_guide = use_guide
        if mid_channels is None:
            self.fc = nn.Linear(in_channels, classes)
        else:
            self.fc1 = nn.Linear(in_channels, mid_channels)
            self.fc2 = nn.Linear(mid_channels, classes)
        self.mid_channels = mid_channels

    def logits(self, x: Tensor) -> Tensor:
        if self.use_guide:
            x = x.detach()
        return self.fc(x) if self.mid_channels is None else self.fc2(self.fc1(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).softmax(2)
