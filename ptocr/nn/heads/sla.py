"""The decoder of SLANet (PP-StructureV2, arXiv 2210.05391): HTML tokens of a table, and a box for every token.

Upstream: ppocr/modeling/heads/table_att_head.py (SLAHead), rec_att_head.py (AttentionGRUCell).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.network import Head

START = 0  # class that decoding begins with; the last class ends it


class AttentionGRUCell(nn.Module):
    """A gated recurrent unit that attends to a memory (Bahdanau attention) and sees the class before it."""

    def __init__(self, in_channels: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.i2h = nn.Linear(in_channels, hidden, bias=False)
        self.h2h = nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.rnn = nn.GRUCell(in_channels + classes, hidden)
        self.classes = classes

    def forward(self, hidden: Tensor, memory: Tensor, keys: Tensor, previous: Tensor) -> Tensor:
        """hidden (N, D), memory (N, L, C), keys (N, L, D) = i2h(memory), previous (N,) classes -> hidden (N, D)."""
        weights = self.score(torch.tanh(keys + self.h2h(hidden).unsqueeze(1))).softmax(1)  # (N, L, 1)
        context = (weights.transpose(1, 2) @ memory).squeeze(1)
        seen = F.one_hot(previous, self.classes).to(context.dtype)
        return self.rnn(torch.cat([context, seen], dim=1), hidden)


class SLAHead(Head):
    """Greedy decoding over the coarsest map: maps -> token probabilities (N, T, classes), boxes (N, T, box_numbers).

    T is at most `max_length` + 1: decoding stops behind the step in which every picture has had its end token. Boxes
    are in [0, 1] of the network's input (or of the picture in it, which the weights decide).
    """

    output_names = ("structure", "boxes")

    def __init__(
        self, in_channels: int, classes: int, hidden: int = 256, max_length: int = 500, box_numbers: int = 8
    ) -> None:
        super().__init__()
        self.hidden, self.max_length = hidden, max_length
        self.structure_attention_cell = AttentionGRUCell(in_channels, hidden, classes)
        self.structure_generator = nn.Sequential(nn.Linear(hidden, hidden), nn.Linear(hidden, classes))
        self.loc_generator = nn.Sequential(nn.Linear(hidden, hidden), nn.Linear(hidden, box_numbers))

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        memory = maps[-1].flatten(2).transpose(1, 2)  # (N, C, h, w) -> (N, h * w, C)
        cell = self.structure_attention_cell
        keys = cell.i2h(memory)
        hidden = memory.new_zeros(len(memory), self.hidden)
        previous = torch.full((len(memory),), START, device=memory.device)
        ended = torch.zeros(len(memory), dtype=torch.bool, device=memory.device)
        steps = []
        for _ in range(self.max_length + 1):
            hidden = cell(hidden, memory, keys, previous)
            steps.append((self.structure_generator(hidden), self.loc_generator(hidden).sigmoid()))
            previous = steps[-1][0].argmax(1)
            ended = ended | (previous == cell.classes - 1)
            # without values (on the meta device) one turn is all that there is to see
            if ended.is_meta or bool(ended.all()):
                break
        logits, boxes = (torch.stack(part, dim=1) for part in zip(*steps, strict=True))
        return logits.softmax(2), boxes
