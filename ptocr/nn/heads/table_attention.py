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
        self.max_length, self.box_numbers = max_length, box_numbers
        self.structure_attention_cell = AttentionCell(channels, hidden, classes)
        self.structure_generator = nn.Linear(hidden, classes)
        self.loc_fea_trans = nn.Linear(cells, self.steps)
        self.loc_generator = nn.Linear(channels + hidden, box_numbers)

    def _states(self, memory: Tensor, tokens: Tensor | None = None) -> Tensor:
        """What is known at each step, (N, T, hidden): greedily, or with tokens (N, T) fed in."""
        cell = self.structure_attention_cell
        keys, state = cell.i2h(memory), memory.new_zeros(memory.shape[0], self.hidden)
        last = torch.full((memory.shape[0],), START, device=memory.device)
        states = []
        for step in range(self.steps):
            last = last if tokens is None else tokens[:, step]
            state = cell(state, memory, keys, F.one_hot(last, self.classes).to(memory.dtype))
            states.append(state)
            last = self.structure_generator(state).argmax(1)
        return torch.stack(states, dim=1)

    def decoded(self, maps: Sequence[Tensor], tokens: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of tokens (N, T, classes), boxes (N, T, box_numbers)."""
        flat = maps[-1].flatten(2)  # (N, C, cells)
        read = self._states(flat.transpose(1, 2), tokens)
        seen = self.loc_fea_trans(flat).transpose(1, 2)  # (N, T, C)
        boxes = self.loc_generator(torch.cat([read, seen], dim=2)).sigmoid()
        return self.structure_generator(read), boxes

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        logits, boxes = self.decoded(maps)
        return logits.softmax(2), boxes

    def forward_train(self, maps: Sequence[Tensor], targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits "structure" (N, T, classes) and "boxes" (N, T, box_numbers) of what follows each of the first T of
        targets["tokens"] (N, T or more), T = `max_length` + 1."""
        assert targets is not None
        logits, boxes = self.decoded(maps, targets["tokens"])
        return {"structure": logits, "boxes": boxes}
