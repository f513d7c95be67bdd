"""SDMGR: key information extraction (arXiv 2103.14470), a network with several inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptocr.nn.backbones.unet import UNet
from ptocr.nn.heads.sdmgr import SDMGRHead
from ptocr.nn.network import Network
from ptocr.nn.roi import roi_align

CELLS = 7  # of a line, in height and width, whose strongest features are its look


class Looks(nn.Module):
    """What lines look like: pictures (N, 3, H, W) and boxes (N, M, 4) -> (N, M, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.img_feat = UNet()
        self.out_channels = self.img_feat.out_channels

    def forward(self, x: Tensor, boxes: Tensor) -> Tensor:
        return roi_align(self.img_feat(x), boxes, CELLS).amax((3, 4))


class SDMGR(Network):
    """Pictures of forms and their lines -> logits of the lines' classes (N, M, classes) and of pairs (N, M, M, 2).

    characters: how many the texts may have, with the one that stands for none.
    """

    def __init__(self, classes: int, characters: int = 92) -> None:
        super().__init__()
        self.backbone = Looks()
        self.head = SDMGRHead(self.backbone.out_channels, classes, characters)

    def forward(
        self, x: Tensor, relations: Tensor, texts: Tensor, boxes: Tensor, counts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """x: (N, 3, H, W); relations: (N, M, M, 5); texts: (N, M, L), -1 behind their end; boxes: (N, M, 4), pixels of
        `x`; counts: (N,), how many lines each picture has, None for M."""
        places = torch.arange(boxes.shape[1], device=x.device).expand(boxes.shape[:2])
        real = places >= 0 if counts is None else places < counts.unsqueeze(1)
        return self.head(self.backbone(x, boxes), relations, texts, real)

    def stages(self) -> dict[str, nn.Module]:
        return {"backbone": self.backbone.img_feat}

    def forward_train(self, x: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The logits of lines and of pairs, by name; `targets` hold the other inputs."""
        nodes, pairs = self(x, *(targets[name] for name in ("relations", "texts", "boxes", "counts")))
        return {"nodes": nodes, "pairs": pairs}
