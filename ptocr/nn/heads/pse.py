"""PSENet head (arXiv 1903.12473). Upstream: ppocr/modeling/heads/det_pse_head.py."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, fold_bn
from ptocr.nn.network import Head


class PSEHead(Fusible, Head):
    """(N, C, H / 4, W / 4) -> logits of the text and its ever smaller kernels, (N, kernels, H / 4, W / 4)."""

    def __init__(self, in_channels: int, hidden_dim: int = 256, kernels: int = 7) -> None:
        super().__init__()
        self.kernels = kernels
        self.conv1 = nn.Conv2d(in_channels, hidden_dim, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(hidden_dim)
        self.conv2 = nn.Conv2d(hidden_dim, kernels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.relu(self.bn1(self.conv1(x))))

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The kernels' logits as "maps"; the loss enlarges them."""
        return {"maps": self(x)}

    def fused(self) -> nn.Module:
        return FoldedPSEHead(self)


class FoldedPSEHead(Head):
    """`PSEHead` with its batch norm folded."""

    def __init__(self, head: PSEHead) -> None:
        super().__init__()
        self.layers = nn.Sequential(fold_bn(head.conv1, head.bn1), nn.ReLU(), head.conv2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
