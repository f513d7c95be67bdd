"""The decoder of RT-DETR (arXiv 2304.08069): queries chosen among the cells of the maps, refined layer by layer.

Upstream: ppdet/modeling/transformers/rtdetr_transformer.py (RTDETRTransformer), deformable_transformer.py.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.deformable import deformable_attention
from ptocr.nn.layers import ConvNorm

HEADS, POINTS = 8, 4  # of attention, and places that each head looks at on each map
ANCHOR = 0.05  # side of a cell's first box on the finest map, in sides of the picture; doubled on each coarser one
INSIDE = 0.01  # distance from the picture's border from which on a first box counts
EPS = 1e-5  # of the logit of a box

Sizes = list[tuple[int, int]]  # (height, width) of each map


class Queries(NamedTuple):
    """What the decoder says of a batch. logits: (N, Q, classes); boxes: (N, Q, 4) centre x, y, width, height in
    [0, 1]; states: (N, Q, C); cells: (N, Q) which cell of the maps each began as, the likeliest first."""

    logits: Tensor
    boxes: Tensor
    states: Tensor
    cells: Tensor


class MLP(nn.Module):
    """Linear layers with ReLU between them. sizes: of the input and of each layer's output."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)  # type: ignore[no-any-return]


class DeformableAttention(nn.Module):
    """Attention of queries (N, Q, C) to a few places around their boxes on each map."""

    def __init__(self, dim: int, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.sampling_offsets = nn.Linear(dim, HEADS * levels * POINTS * 2)
        self.attention_weights = nn.Linear(dim, HEADS * levels * POINTS)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)

    def forward(self, queries: Tensor, boxes: Tensor, memory: Tensor, sizes: Sizes) -> Tensor:
        values = self.value_proj(memory).unflatten(2, (HEADS, -1))
        offsets = self.sampling_offsets(queries).unflatten(2, (HEADS, self.levels, POINTS, 2))
        weights = self.attention_weights(queries).unflatten(2, (HEADS, -1)).softmax(3)
        centres, sides = boxes[:, :, None, None, None].split(2, dim=-1)
        points = centres + offsets / POINTS * sides * 0.5
        return self.output_proj(deformable_attention(values, sizes, points, weights))  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    """Attention among the queries, then to the maps, then two linear layers; norms behind each."""

    def __init__(self, dim: int, feedforward: int, levels: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, HEADS, batch_first=True)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn = DeformableAttention(dim, levels)
        self.norm2 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, feedforward)
        self.linear2 = nn.Linear(feedforward, dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, boxes: Tensor, places: Tensor, memory: Tensor, sizes: Sizes) -> Tensor:
        keys = x + places
        x = self.norm1(x + self.self_attn(keys, keys, x, need_weights=False)[0])
        x = self.norm2(x + self.cross_attn(x + places, boxes, memory, sizes))
        return self.norm3(x + self.linear2(F.relu(self.linear1(x))))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """The layers alone; the heads stand beside them, as in the checkpoints."""

    def __init__(self, dim: int, feedforward: int, levels: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(dim, feedforward, levels) for _ in range(layers))


class RTDETRTransformer(nn.Module):
    """Maps, finest first -> `Queries`.

    train: also the class scores of every layer but the last, and the embedding that noisy boxes would have in training.
    """

    def __init__(
        self,
        in_channels: list[int],
        classes: int,
        hidden: int = 256,
        queries: int = 300,
        layers: int = 6,
        feedforward: int = 1024,
        train: bool = False,
    ) -> None:
        super().__init__()
        self.queries = queries
        self.input_proj = nn.ModuleList(ConvNorm(channels, hidden, 1) for channels in in_channels)
        self.decoder = Decoder(hidden, feedforward, len(in_channels), layers)
        self.denoising_class_embed = nn.Embedding(classes, hidden) if train else None
        self.query_pos_head = MLP(4, 2 * hidden, hidden)
        self.enc_output = nn.Sequential(nn.Linear(hidden, hidden), nn.LayerNorm(hidden))
        self.enc_score_head = nn.Linear(hidden, classes)
        self.enc_bbox_head = MLP(hidden, hidden, hidden, 4)
        self.dec_score_head = nn.ModuleList(
            nn.Linear(hidden, classes) if train or layer == layers - 1 else nn.Identity() for layer in range(layers)
        )
        self.dec_bbox_head = nn.ModuleList(MLP(hidden, hidden, hidden, 4) for _ in range(layers))

    def forward(self, maps: list[Tensor]) -> Queries:
        maps = [project(x) for project, x in zip(self.input_proj, maps, strict=True)]
        sizes = [(x.shape[2], x.shape[3]) for x in maps]
        memory = torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)
        states, boxes, cells = self.chosen(memory, sizes)
        for layer, head in zip(self.decoder.layers, self.dec_bbox_head, strict=True):
            states = layer(states, boxes, self.query_pos_head(boxes), memory, sizes)
            boxes = (head(states) + logit(boxes)).sigmoid()
        return Queries(self.dec_score_head[-1](states), boxes, states, cells)

    def chosen(self, memory: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor, Tensor]:
        """States (N, Q, C), boxes (N, Q, 4) and numbers (N, Q) of the cells with the largest class scores."""
        anchors, inside = first_boxes(sizes, memory)
        seen = self.enc_output(torch.where(inside, memory, 0.0))
        boxes = self.enc_bbox_head(seen) + anchors
        cells = self.enc_score_head(seen).amax(2).topk(self.queries, dim=1).indices
        return gathered(seen, cells), gathered(boxes, cells).sigmoid(), cells


def gathered(values: Tensor, index: Tensor) -> Tensor:
    """Rows (N, Q, C) of (N, tokens, C) by their numbers (N, Q)."""
    return values.gather(1, index[:, :, None].expand(-1, -1, values.shape[2]))


def logit(boxes: Tensor) -> Tensor:
    """The inverse of the sigmoid, bounded."""
    return torch.log(boxes.clamp(min=EPS) / (1 - boxes).clamp(min=EPS))


def first_boxes(sizes: Sizes, like: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (1, cells, 4) of the box that each cell begins with, infinite where it is too near to the border, and
    whether it is not: (1, cells, 1)."""
    levels = []
    for level, (height, width) in enumerate(sizes):
        rows, columns = ((torch.arange(n, device=like.device, dtype=like.dtype) + 0.5) / n for n in (height, width))
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        side = torch.full_like(x, ANCHOR * 2**level)
        levels.append(torch.stack([x, y, side, side], dim=2).flatten(0, 1))
    boxes = torch.cat(levels)[None]
    inside = ((boxes > INSIDE) & (boxes < 1 - INSIDE)).all(2, keepdim=True)
    return torch.where(inside, torch.log(boxes / (1 - boxes)), torch.inf), inside
