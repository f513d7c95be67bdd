"""PP-DocLayoutV2 and V3 (arXiv 2510.14528): RT-DETR for layouts, and the reading order of what it finds.

Upstream: the checkpoints of PaddleX; transformers' pp_doclayout_v2 and v3 are implementations that are public.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ptocr.nn.backbones.pphgnet_v2 import PPHGNetV2Det
from ptocr.nn.heads.detr import Queries, gathered
from ptocr.nn.heads.masked_detr import MaskedQueries, MaskedTransformer
from ptocr.nn.necks.hybrid_encoder import MaskHybridEncoder
from ptocr.nn.network import Network
from ptocr.nn.reading_order import ReadingOrder, places_of
from ptocr.nn.rtdetr import RTDETR, corners

THOUSANDTHS = 1000.0  # of the picture, that boxes are given to the pointer network in


class DocLayoutV2(RTDETR):
    """As RT-DETR, and how late each query is read (N, queries).

    thresholds: score of each class from which on a region is put into order; the others have a place that says nothing.
    kinds: what the pointer network knows each class as.
    """

    output_names = ("scores", "boxes", "order")

    def __init__(self, classes: int, thresholds: Sequence[float], kinds: Sequence[int], train: bool = False) -> None:
        super().__init__(classes, train=train)
        self.thresholds, self.kinds = list(thresholds), list(kinds)
        self.transformer.reading_order_predictor = ReadingOrder(train)

    def left_out(self) -> tuple[str, ...]:
        names = ("global_agg", "global_gate", "global_visual_proj", "visual_features_projection")
        return tuple(f"transformer.reading_order_predictor.{name}." for name in names)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = self.queries(x)
        index, logits, _ = self.order(found)
        places = torch.zeros_like(logits[:, 0]).scatter(1, index, places_of(logits))
        return found.logits.sigmoid(), corners(found.boxes, x), places

    def order(self, found: Queries) -> tuple[Tensor, Tensor, Tensor]:
        """The queries with those first that are regions (N, Q), the logits of that one of them follows another
        (N, Q, Q), and how many there are (N, 1)."""
        best, classes = found.logits.max(2)
        kept = best.sigmoid() >= best.new_tensor(self.thresholds)[classes]
        place = torch.arange(kept.shape[1], device=kept.device)
        index = torch.where(kept, place, place + kept.shape[1]).argsort(1)
        centre, half = found.boxes[..., :2], found.boxes[..., 2:] / 2
        boxes = (torch.cat([centre - half, centre + half], dim=2) * THOUSANDTHS).clamp(0, THOUSANDTHS)
        boxes = torch.where(kept[..., None], boxes, 0.0)
        kinds = torch.tensor(self.kinds, device=kept.device)[torch.where(kept, classes, 0)]
        count = kept.sum(1, keepdim=True)
        logits = self.transformer.reading_order_predictor(gathered(boxes, index), kinds.gather(1, index), count)
        return index, logits, count


class DocLayoutV3(Network):
    """(N, 3, H, W) -> class scores (N, queries, classes), boxes (N, queries, 4) in pixels and how late each query is
    read (N, queries), as of `DocLayoutV2`, in one pass."""

    output_names = ("scores", "boxes", "order")

    def __init__(self, classes: int, prototypes: int = 32, train: bool = False) -> None:
        super().__init__()
        self.backbone = PPHGNetV2Det()
        self.neck = MaskHybridEncoder(self.backbone.out_channels, prototypes=prototypes)
        self.transformer = MaskedTransformer(self.neck.out_channels, classes, prototypes, train=train)

    def queries(self, x: Tensor) -> tuple[MaskedQueries, Tensor]:
        """What the decoder says of pictures, and the maps of prototypes of its masks."""
        maps, prototypes = self.neck(self.backbone(x))
        return self.transformer(maps, prototypes), prototypes

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (found, order, _), _ = self.queries(x)
        return found.logits.sigmoid(), corners(found.boxes, x), places_of(order)

    def stages(self) -> dict[str, nn.Module]:
        return {"backbone": self.backbone, "neck": self.neck}
