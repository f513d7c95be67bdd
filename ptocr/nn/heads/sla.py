"""The decoder of SLANet (PP-StructureV2, arXiv 2210.05391): HTML tokens of a table, and a box for every token.

Upstream: ppocr/modeling/heads/table_att_head.py (SLAHead), rec_att_head.py (AttentionGRUCell).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.decode import read_greedily
from ptocr.nn.heads.attention import AttentionCell
from ptocr.nn.network import Head

START = 0  # class that decoding begins with; the last class ends it


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
        self.classes, self.hidden, self.max_length = classes, hidden, max_length
        self.box_numbers = box_numbers
        self.structure_attention_cell = AttentionCell(in_channels, hidden, classes)
        self.structure_generator = nn.Sequential(nn.Linear(hidden, hidden), nn.Linear(hidden, classes))
        self.loc_generator = nn.Sequential(nn.Linear(hidden, hidden), nn.Linear(hidden, box_numbers))

    def decoded(self, maps: list[Tensor], tokens: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of tokens (N, T, classes), boxes (N, T, box_numbers): greedily, or with tokens (N, T) fed in."""
        memory = maps[-1].flatten(2).transpose(1, 2)  # (N, C, h, w) -> (N, h * w, C)
        cell = self.structure_attention_cell
        keys = cell.i2h(memory)
        states = [memory.new_zeros(memory.shape[0], self.hidden)]

        def step(token: Tensor, _: int) -> Tensor:
            seen = F.one_hot(token[:, 0], self.classes).to(memory.dtype)
            states.append(cell(states[-1], memory, keys, seen))
            return self.structure_generator(states[-1]).unsqueeze(1)

        if tokens is None:
            logits = read_greedily(step, memory.shape[0], self.max_length + 1, START, self.classes - 1, memory.device)
        else:
            logits = torch.cat([step(tokens[:, i : i + 1], i) for i in range(tokens.shape[1])], dim=1)
        return logits, self.loc_generator(torch.stack(states[1:], dim=1)).sigmoid()

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        logits, boxes = self.decoded(maps)
        return logits.softmax(2), boxes

    def forward_train(self, maps: list[Tensor], targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits "structure" (N, T, classes) and "boxes" (N, T, box_numbers) of what follows each of targets["tokens"]
        (N, T), which go as far as the last token of the longest table of the batch."""
        assert targets is not None
        logits, boxes = self.decoded(maps, targets["tokens"])
        return {"structure": logits, "boxes": boxes}
