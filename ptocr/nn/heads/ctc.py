"""CTC head. Upstream: ppocr/modeling/heads/rec_ctc_head.py."""

from __future__ import annotations

from torch import Tensor, nn

from ptocr.nn.decode import GreedyCTC
from ptocr.nn.layers import FoldingSequential
from ptocr.nn.network import Head


def guide_layer(channels: int, kernel_size: int = 5) -> FoldingSequential:
    """Neighbouring steps, then channels, mixed by convolutions along the line: (N, C, T) -> (N, C, T)."""
    return FoldingSequential(
        nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=False),
        nn.BatchNorm1d(channels),
        nn.Hardswish(),
        nn.Conv1d(channels, channels, 1, bias=False),
        nn.BatchNorm1d(channels),
        nn.Hardswish(),
    )


class CTCHead(Head):
    """(N, T, C) -> class probabilities (N, T, classes); class 0 is the blank.

    mid_channels: width of a first linear layer, None for a single one. use_guide: convolutions along the line come
    first (PP-OCRv6 tiny, which has no other sequence encoder).
    """

    def __init__(
        self, in_channels: int, classes: int, mid_channels: int | None = None, use_guide: bool = False
    ) -> None:
        super().__init__()
        self.guide_layer = guide_layer(in_channels) if use_guide else None
        if mid_channels is None:
            self.fc = nn.Linear(in_channels, classes)
        else:
            self.fc1 = nn.Linear(in_channels, mid_channels)
            self.fc2 = nn.Linear(mid_channels, classes)
        self.mid_channels = mid_channels

    def logits(self, x: Tensor) -> Tensor:
        if self.guide_layer is not None:
            x = self.guide_layer(x.transpose(1, 2)).transpose(1, 2)
        return self.fc(x) if self.mid_channels is None else self.fc2(self.fc1(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).softmax(2)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Of a head that stands alone: logits "ctc" (N, T, classes) and what they are made of, "features" (N, T, C)."""
        return {"ctc": self.logits(x), "features": x}

    def decoding(self, network: nn.Module) -> nn.Module:
        return GreedyCTC(network)

    def class_rows(self) -> dict[str, str]:
        layer = "fc" if self.mid_channels is None else "fc2"
        return {f"{layer}.weight": "ctc", f"{layer}.bias": "ctc"}
