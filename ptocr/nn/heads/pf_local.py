"""DB head with a second look at full size (PP-OCR server detectors). Upstream: ppocr/modeling/heads/det_db_head.py."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible
from ptocr.nn.heads.db import DBHead, TappedMapBranch, doubled, step
from ptocr.nn.layers import ConvBN

HIDDEN = {"large": 4, "small": 8}  # in_channels per hidden channel


class Refinement(Fusible):
    """Half-size features and the full-size map -> a second full-size map of probabilities (upstream `LocalModule`)."""

    def __init__(self, in_channels: int, hidden: int) -> None:
        super().__init__()
        self.last_3 = ConvBN(in_channels + 1, hidden, 3, act="relu")
        self.last_1 = nn.Conv2d(hidden, 1, 1)

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        grown = F.interpolate(features, scale_factor=2.0, mode="nearest")
        return torch.sigmoid(self.last_1(self.last_3(torch.cat([probabilities, grown], dim=1))))

    def fused(self) -> nn.Module:
        return FusedRefinement(self)


class FusedRefinement(nn.Module):
    """`Refinement` that never enlarges the features: 4/9 of the multiplications, no full-size copy of the channels."""

    def __init__(self, block: Refinement) -> None:
        super().__init__()
        conv = block.last_3.folded()
        weight = conv.weight.detach()
        hidden, channels = weight.shape[0], weight.shape[1] - 1
        self.grow = nn.ConvTranspose2d(channels, hidden, 4, stride=2, padding=1)
        self.look = nn.Conv2d(1, hidden, 3, padding=1, bias=False)
        self.grow.weight = nn.Parameter(doubled(weight[:, 1:]), requires_grad=False)
        self.grow.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
        self.look.weight = nn.Parameter(weight[:, :1].clone(), requires_grad=False)
        self.last = nn.Sequential(block.last_1, nn.Sigmoid())

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        return self.last(F.relu(self.grow(features) + self.look(probabilities)))


class PFHeadLocal(DBHead):
    """(N, C, H / 4, W / 4) -> probability map (N, 1, H, W), the mean of the DB map and of its refinement."""

    BRANCH = TappedMapBranch

    def __init__(
        self, in_channels: int, k: int = 50, mode: Literal["large", "small"] = "large", train: bool = False
    ) -> None:
        super().__init__(in_channels, k, train=train)
        self.cbn_layer = Refinement(in_channels // 4, in_channels // HIDDEN[mode])

    def _both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The DB map and its refinement, each (N, 1, H, W)."""
        features = self.binarize.features(x)
        base = self.binarize.last(features)
        return base, self.cbn_layer(features, base)

    def forward(self, x: Tensor) -> Tensor:
        base, refined = self._both(x)
        return 0.5 * (base + refined)

    def forward_train(
        self, x: Tensor, targets: dict[str, Tensor] | None = None, merged: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The maps of the DB loss, each (N, 1, H, W): the refined one is the one that counts, the other one goes into
        the binary map, which upstream's loss sees a second time, as its "cbn_maps"."""
        assert self.thresh is not None, "built without train=True"
        base, refined = self._both(x)
        threshold = self.thresh(x)
        binary = step(base, threshold, self.k)
        return {"shrink": refined, "threshold": threshold, "binary": binary, "cbn": binary}
