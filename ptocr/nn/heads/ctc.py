"""CTC head. Upstream: ppocr/modeling/heads/rec_ctc_head.py."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, fold_bn


class GuideLayer(Fusible):
    """Neighbouring steps, then channels, mixed by convolutions along the line: (N, T, C) -> (N, T, C).

    The children bear the numbers that upstream's sequence gives them.
    """

    def __init__(self, channels: int, kernel_size: int = 5) -> None:
        super().__init__()
        depthwise = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=False)
        self.add_module("0", depthwise)
        self.add_module("1", nn.BatchNorm1d(channels))
        self.add_module("3", nn.Conv1d(channels, channels, 1, bias=False))
        self.add_module("4", nn.BatchNorm1d(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)  # (N, T, C) -> (N, C, T)
        for conv, bn in self.pairs():
            x = F.hardswish(bn(conv(x)))
        return x.transpose(1, 2)

    def pairs(self) -> list[tuple[nn.Conv1d, nn.BatchNorm1d]]:
        return [(getattr(self, conv), getattr(self, bn)) for conv, bn in (("0", "1"), ("3", "4"))]

    def fused(self) -> nn.Module:
        return FusedGuideLayer([fold_bn(conv, bn) for conv, bn in self.pairs()])


class FusedGuideLayer(nn.Module):
    """`GuideLayer` with its batch norms folded."""

    def __init__(self, convs: list[nn.Conv1d]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        for conv in self.convs:
            x = F.hardswish(conv(x))
        return x.transpose(1, 2)


class CTCHead(nn.Module):
    """(N, T, C) -> class probabilities (N, T, classes); class 0 is the blank.

    mid_channels: width of a first linear layer, None for a single one. use_guide: convolutions along the line come
    first (PP-OCRv6 tiny, which has no other sequence encoder).
    """

    def __init__(
        self, in_channels: int, classes: int, mid_channels: int | None = None, use_guide: bool = False
    ) -> None:
        super().__init__()
        self.guide_layer = GuideLayer(in_channels) if use_guide else None
        if mid_channels is None:
            self.fc = nn.Linear(in_channels, classes)
        else:
            self.fc1 = nn.Linear(in_channels, mid_channels)
            self.fc2 = nn.Linear(mid_channels, classes)
        self.mid_channels = mid_channels

    def logits(self, x: Tensor) -> Tensor:
        if self.guide_layer is not None:
            x = self.guide_layer(x)
        return self.fc(x) if self.mid_channels is None else self.fc2(self.fc1(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).softmax(2)
