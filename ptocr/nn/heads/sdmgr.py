"""SDMGR head: fields of a form from texts, looks and places of its lines, as a graph (arXiv 2103.14470).

Upstream: ppocr/modeling/heads/kie_sdmgr_head.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.network import Head

CHUNKS, RANK = 20, 15  # of the bilinear fusion
NO_LOOP = -1e9  # what is added to the weight of an edge from a node to itself


class BilinearFusion(nn.Module):
    """Block-term fusion (BLOCK, arXiv 1902.00038): (K, first) and (K, second) -> (K, out)."""

    def __init__(self, first: int, second: int, out: int, width: int) -> None:
        super().__init__()
        size = -(-width // CHUNKS)
        self.sizes = [size] * (CHUNKS - 1) + [width - size * (CHUNKS - 1)]
        self.linear0, self.linear1 = nn.Linear(first, width), nn.Linear(second, width)
        self.merge_linears0 = nn.ModuleList(nn.Linear(n, n * RANK) for n in self.sizes)
        self.merge_linears1 = nn.ModuleList(nn.Linear(n, n * RANK) for n in self.sizes)
        self.linear_out = nn.Linear(width, out)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        parts = zip(self.linear0(first).split(self.sizes, 1), self.linear1(second).split(self.sizes, 1), strict=True)
        fused = []
        for (a, b), of_a, of_b in zip(parts, self.merge_linears0, self.merge_linears1, strict=True):
            z = (of_a(a) * of_b(b)).unflatten(1, (RANK, -1)).sum(1)
            fused.append(F.normalize(F.relu(z).sqrt() - F.relu(-z).sqrt()))
        return self.linear_out(torch.cat(fused, dim=1))


class GraphLayer(nn.Module):
    """Nodes (N, M, C) that hear each other along edges (N, M, M, E) -> nodes, and what passed along each edge
    (N, M, M, C). hidden: what is added to the weights of edges, (N, M, M, 1)."""

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.in_fc = nn.Linear(2 * width + edge_width, width)
        self.coef_fc = nn.Linear(width, 1)
        self.out_fc = nn.Linear(width, width)

    def forward(self, nodes: Tensor, edges: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        width = nodes.shape[2]
        own, other, between = self.in_fc.weight.split([width, width, edges.shape[3]], dim=1)
        # the linear layer of (own, other, edge), without writing each node down for every edge
        passed = F.linear(nodes, own).unsqueeze(2) + F.linear(nodes, other).unsqueeze(1)
        passed = F.relu(passed + F.linear(edges, between, self.in_fc.bias))
        heard = ((self.coef_fc(passed) + hidden).softmax(2) * passed).sum(2)
        return nodes + F.relu(self.out_fc(heard)), passed


class SDMGRHead(Head):
    """A class for each line of text, and one for each pair of lines: logits (N, M, classes) and (N, M, M, 2).

    characters: how many the texts may have, with the one that stands for none.
    """

    def __init__(
        self, in_channels: int, classes: int, characters: int, width: int = 256, layers: int = 2, fused: int = 1024
    ) -> None:
        super().__init__()
        self.fusion = BilinearFusion(in_channels, width, width, fused)
        self.node_embed = nn.Embedding(characters, 32)
        self.rnn = nn.LSTM(32, width, batch_first=True)
        self.edge_embed = nn.Linear(5, width)
        self.gnn_layers = nn.ModuleList(GraphLayer(width, width) for _ in range(layers))
        self.node_cls = nn.Linear(width, classes)
        self.edge_cls = nn.Linear(width, 2)

    def read(self, texts: Tensor) -> Tensor:
        """The last state of a recurrent layer for each text: (K, L), -1 behind its end -> (K, width), zero for none."""
        known = texts.long().clamp(min=0)
        states = self.rnn(self.node_embed(known) * (known > 0).unsqueeze(2))[0]
        count = (texts > -1).sum(1)
        last = (count - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[2])
        return states.gather(1, last).squeeze(1) * (count > 0).unsqueeze(1)

    def forward(self, looks: Tensor, relations: Tensor, texts: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """looks: (N, M, C); relations: (N, M, M, 5); texts: (N, M, L), classes of characters, -1 behind their end;
        real: (N, M), false for places that only other pictures of the batch fill."""
        nodes = self.fusion(looks.flatten(0, 1), self.read(texts.flatten(0, 1))).unflatten(0, looks.shape[:2])
        edges = F.normalize(self.edge_embed(relations), dim=3)
        loops = torch.eye(nodes.shape[1], dtype=nodes.dtype, device=nodes.device) * NO_LOOP
        hidden = loops.masked_fill(~real.unsqueeze(1), -torch.inf).unsqueeze(3)
        for layer in self.gnn_layers:
            nodes, passed = layer(nodes, edges, hidden)
        return self.node_cls(nodes), self.edge_cls(passed)
