"""RT-DETR (arXiv 2304.08069): object detection by queries, for layouts and the cells of tables.

Upstream: ppdet/modeling/architectures/detr.py with PPHGNetV2, HybridEncoder and RTDETRTransformer.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ptocr.nn.backbones.pphgnet_v2 import PPHGNetV2Det
from ptocr.nn.heads.detr import Queries, RTDETRTransformer
from ptocr.nn.necks.hybrid_encoder import HybridEncoder
from ptocr.nn.network import Network


class RTDETR(Network):
    """(N, 3, H, W) -> class scores (N, queries, classes) in [0, 1] and boxes (N, queries, 4) as x0, y0, x1, y1 in
    pixels of the network's input. H and W are multiples of 32.

    size: of the backbone; hidden, layers: of the hybrid encoder.
    """

    output_names: tuple[str, ...] = ("scores", "boxes")

    def __init__(
        self, classes: int, size: Literal["B4", "B6"] = "B4", hidden: int = 256, layers: int = 1, train: bool = False
    ) -> None:
        super().__init__()
        self.backbone = PPHGNetV2Det(size=size)
        self.neck = HybridEncoder(self.backbone.out_channels[1:], hidden, layers, 4 * hidden)
        self.transformer = RTDETRTransformer(self.neck.out_channels, classes, train=train)

    def queries(self, x: Tensor) -> Queries:
        """What the decoder says of pictures."""
        return self.transformer(self.neck(self.backbone(x)[1:]))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = self.queries(x)
        return found.logits.sigmoid(), corners(found.boxes, x)

    def stages(self) -> dict[str, nn.Module]:
        return {"backbone": self.backbone, "neck": self.neck}


def corners(boxes: Tensor, picture: Tensor) -> Tensor:
    """Centre x, y, width, height in [0, 1] -> x0, y0, x1, y1 in pixels of the picture (N, C, H, W)."""
    height, width = picture.shape[2:]
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    scale = boxes.new_tensor([width, height, width, height])
    return torch.cat([centre - half, centre + half], dim=-1) * scale
