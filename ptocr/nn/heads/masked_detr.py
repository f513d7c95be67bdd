"""The decoder of PP-DocLayoutV3 (arXiv 2510.14528): RT-DETR's, whose first boxes come from masks, with a reading order.

Upstream: the checkpoints of PaddleX; transformers' pp_doclayout_v3 is an implementation that is public.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ptocr.nn.heads.detr import MLP, Decoder, Queries, first_boxes, gathered, logit
from ptocr.nn.layers import ConvNorm
from ptocr.nn.reading_order import GlobalPointer


class MaskedQueries(NamedTuple):
    """found: as of RT-DETR; order: (N, Q, Q) logits of that the second query follows the first; masks: (N, Q, P), what
    the maps of prototypes are multiplied with."""

    found: Queries
    order: Tensor
    masks: Tensor


class MaskedTransformer(nn.Module):
    """Maps, finest first, and the maps of prototypes (N, P, h, w) -> `MaskedQueries`. One head serves all layers.

    train: also the order of every layer but the last, and the embedding that noisy boxes would have in training.
    """

    def __init__(
        self,
        in_channels: list[int],
        classes: int,
        prototypes: int,
        hidden: int = 256,
        queries: int = 300,
        layers: int = 6,
        train: bool = False,
    ) -> None:
        super().__init__()
        self.queries = queries
        self.input_proj = nn.ModuleList(ConvNorm(channels, hidden, 1) for channels in in_channels)
        self.decoder = Decoder(hidden, 4 * hidden, len(in_channels), layers)
        self.denoising_class_embed = nn.Embedding(classes, hidden) if train else None
        self.query_pos_head = MLP(4, 2 * hidden, hidden)
        self.enc_output = nn.Sequential(nn.Linear(hidden, hidden), nn.LayerNorm(hidden))
        self.score_head = nn.Linear(hidden, classes)
        self.bbox_head = MLP(hidden, hidden, hidden, 4)
        self.mask_query_head = MLP(hidden, hidden, hidden, prototypes)
        self.dec_norm = nn.LayerNorm(hidden)
        self.dec_order_head = nn.ModuleList(
            nn.Linear(hidden, hidden) if train or layer == layers - 1 else nn.Identity() for layer in range(layers)
        )
        self.dec_global_pointer = GlobalPointer(hidden)

    def forward(self, maps: list[Tensor], prototypes: Tensor) -> MaskedQueries:
        maps = [project(x) for project, x in zip(self.input_proj, maps, strict=True)]
        sizes = [(x.shape[2], x.shape[3]) for x in maps]
        memory = torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)
        seen = self.enc_output(torch.where(first_boxes(sizes, memory)[1], memory, 0.0))
        cells = self.score_head(seen).amax(2).topk(self.queries, dim=1).indices
        states = gathered(seen, cells)
        boxes = logit(masked_boxes(self.mask_query_head(self.dec_norm(states)), prototypes)).sigmoid()
        for layer in self.decoder.layers:
            states = layer(states, boxes, self.query_pos_head(boxes), memory, sizes)
            boxes = (self.bbox_head(states) + logit(boxes)).sigmoid()
        out = self.dec_norm(states)
        order = self.dec_global_pointer(self.dec_order_head[-1](out))
        return MaskedQueries(Queries(self.score_head(out), boxes, states, cells), order, self.mask_query_head(out))


def masked_boxes(masks: Tensor, prototypes: Tensor) -> Tensor:
    """The boxes (N, Q, 4), centre x, y, width, height in [0, 1], around where masks (N, Q, P) of maps (N, P, h, w) are
    positive; zeros around nothing."""
    filled = torch.einsum("nqp,nphw->nqhw", masks, prototypes) > 0
    edges = []
    for axis in (2, 3):  # what is left of the rows are the columns
        taken = filled.any(axis)
        count = taken.shape[2]
        place = torch.arange(count, device=masks.device, dtype=masks.dtype)
        first = torch.where(taken, place, count).amin(2)
        behind = torch.where(taken, place + 1, 0).amax(2)
        edges.append(torch.stack([torch.minimum(first, behind), behind], dim=2) / count)
    (left, right), (top, bottom) = (edge.unbind(2) for edge in edges)
    return torch.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], dim=2)
