"""The decoder of TableRec-RARE (PP-StructureV1): HTML tokens, and boxes from the whole map.

Upstream: ppocr/modeling/heads/table_att_head.py (TableAttentionHead).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.heads.attention import AttentionCell
from ptocr.nn.network import Head

START = 0  # class that decoding begins with


class TableAttentionHead(Head):
    """Maps -> token probabilities (N, T, classes), boxes (N, T, box_numbers) in [0, 1], T = `max_length` + 1.

    cells: of the coarsest map, which has one size alone: a linear layer turns its cells into steps.
    """

    output_names = ("structure", "boxes")

    def __init__(
        self,
        in_channels: Sequence[int],
        classes: int,
        hidden: int = 256,
        max_length: int = 500,
        box_numbers: int = 4,
        cells: int = 256,
    ) -> None:
        super().__init__()
        channels = in_channels[-1]
        self.classes, self.hidden, self.steps = classes, hidden, max_length + 1
        self.structure_attention_cell = AttentionCell(channels, hidden, classes)
        self.structure_generator = nn.Linear(hidden, classes)
        self.loc_fea_trans = nn.Linear(cells, self.steps)
        self.loc_generator = nn.Linear(channels + hidden, box_numbers)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        flat = maps[-1].flatten(2)  # (N, C, cells)
        memory = flat.transpose(1, 2)
        cell = self.structure_attention_cell
        keys, state = cell.i2h(memory), memory.new_zeros(len(memory), self.hidden)
        last = torch.full((len(memory),), START, device=memory.device)
        states = []
        for _ in range(self.steps):
            state = cell(state, memory, keys, F.one_hot(last, self.classes).to(memory.dtype))
            states.append(state)
            last = self.structure_generator(state).argmax(1)
        read = torch.stack(states, dim=1)
        seen = self.loc_fea_trans(flat).transpose(1, 2)  # (N, T, C)
        boxes = self.loc_generator(torch.cat([read, seen], dim=2)).sigmoid()
        return self.structure_generator(read).softmax(2), boxes
