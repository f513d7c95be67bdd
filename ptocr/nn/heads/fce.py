"""FCENet head (arXiv 2104.10442). Upstream: ppocr/modeling/heads/det_fce_head.py."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptocr.nn.network import Head


class FCEHead(Head):
    """Fourier contour embedding, one head for all levels: maps (N, C, h, w) -> maps (N, 4 + coefficients, h, w).

    Channels: no text and text, no centre and centre of a text (probabilities), then the real and the imaginary parts of
    the contour's 2 * fourier_degree + 1 coefficients, lowest first.
    """

    def __init__(self, in_channels: int, fourier_degree: int = 5) -> None:
        super().__init__()
        self.out_conv_cls = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.out_conv_reg = nn.Conv2d(in_channels, 2 * (2 * fourier_degree + 1), 3, padding=1)

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, ...]:
        return tuple(self.level(x) for x in levels)

    def level(self, x: Tensor) -> Tensor:
        """One level's map."""
        text, center = self.out_conv_cls(x).split(2, dim=1)
        return torch.cat([text.softmax(1), center.softmax(1), self.out_conv_reg(x)], dim=1)

    def forward_train(self, levels: list[Tensor], targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Of level i "classes_i", logits in the order of `forward`, and "contours_i"."""
        outputs = {f"classes_{i}": self.out_conv_cls(x) for i, x in enumerate(levels)}
        return outputs | {f"contours_{i}": self.out_conv_reg(x) for i, x in enumerate(levels)}
