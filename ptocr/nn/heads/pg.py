"""PGNet head (arXiv 2104.05458). Upstream: ppocr/modeling/heads/e2e_pg_head.py."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptocr.nn.layers import ConvBN
from ptocr.nn.network import Head

# By the name of a branch: channels of its layers, whose kernels are 1, 3, 1, 3, ...
BRANCHES = {"score": (64, 64, 128), "boder": (64, 64, 128), "char": (128, 128, 256, 256, 256), "direc": (64, 64, 128)}


class PGHead(Head):
    """(N, C, H / 4, W / 4) -> four maps of that size: score of the centre line (1 channel, in [0, 1]), offsets from it
    to the upper and the lower border (4), logits of the characters (classes), reading direction (2)."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        for number, (name, widths) in enumerate(BRANCHES.items(), 1):
            channels = in_channels
            for place, width in enumerate(widths, 1):
                layer = ConvBN(channels, width, 1 if place % 2 else 3, act="relu")
                self.add_module(f"conv_f_{name}{place}", layer)
                channels = width
            out = {"score": 1, "boder": 4, "char": classes, "direc": 2}[name]
            self.add_module(f"conv{number}", nn.Conv2d(channels, out, 3, padding=1, bias=False))

    def branch(self, number: int, name: str, x: Tensor) -> Tensor:
        """One of the maps, as it comes."""
        for place in range(1, len(BRANCHES[name]) + 1):
            x = getattr(self, f"conv_f_{name}{place}")(x)
        return getattr(self, f"conv{number}")(x)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        score, border, characters, direction = (self.branch(i, name, x) for i, name in enumerate(BRANCHES, 1))
        return torch.sigmoid(score), border, characters, direction

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The maps of `forward` as "score", "border", "characters" and "direction"."""
        return dict(zip(("score", "border", "characters", "direction"), self(x), strict=True))

    def class_rows(self) -> dict[str, str]:
        return {"conv3.weight": "pgnet"}
