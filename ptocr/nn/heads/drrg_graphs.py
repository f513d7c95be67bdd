"""Local graphs of text components for the training of DRRG (arXiv 2003.07493), with gradients to the features.

Upstream: ppocr/modeling/heads/local_graph.py, ppocr/ext_op (RoIAlignRotated). For predictions they are made by
`ptocr.processing.drrg_components`, of components that are found.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CELLS = (4, 3)  # that the features under a component are averaged in, across and along
WAVES = 20  # frequencies of the features of its geometry
HOPS, LINKS = (8, 4), 3  # neighbours of a graph's first node, and of those; neighbours that a node is linked with
TWINS = 0.7  # overlap from which on a neighbour of the same text gets no graph of its own


class Graphs(NamedTuple):
    """Graphs of components by number. nodes: (g, n), the first node first, 0 behind the last; real: (g, n) where nodes
    are; near: (g, n, n) weights of their links; places: (g, k) of the first node's neighbours among the nodes; linked:
    (g, k) 1 where they are of its text."""

    nodes: Tensor
    real: Tensor
    near: Tensor
    places: Tensor
    linked: Tensor


def node_features(features: Tensor, geometry: Tensor) -> Tensor:
    """Features (n, C * 12 + 120) of components (n, 6), x, y, height, width, cosine, sine: of the maps (C, H, W) under
    them, and of their geometry."""
    return torch.cat([_pooled(features, geometry), _embedded(geometry)], dim=1)


def _pooled(features: Tensor, geometry: Tensor) -> Tensor:
    """Means (n, C * 12) of maps (C, H, W) in the cells of turned boxes (RoI align; their height lies along x)."""
    x, y, along, across, cos, sin = geometry.unbind(1)
    angle = cos.clamp(-1, 1).acos() * sin.sign()
    steps = [(size / cells).ceil().clamp(min=1).long() for size, cells in zip((across, along), CELLS, strict=True)]
    high, wide = (cells * step for cells, step in zip(CELLS, steps, strict=True))
    counts = high * wide
    owner = torch.repeat_interleave(torch.arange(len(x), device=x.device), counts)
    number = torch.arange(len(owner), device=x.device) - (counts.cumsum(0) - counts)[owner]
    row, column = number // wide[owner], number % wide[owner]
    v = ((row + 0.5) / high[owner] - 0.5) * across[owner]
    u = ((column + 0.5) / wide[owner] - 0.5) * along[owner]
    cos, sin = angle.cos()[owner], angle.sin()[owner]
    values = _bilinear(features, v * cos - u * sin + y[owner] - 0.5, v * sin + u * cos + x[owner] - 0.5)
    cell = row // steps[0][owner] * CELLS[1] + column // steps[1][owner]
    sums = values.new_zeros(len(x) * CELLS[0] * CELLS[1], len(features))
    sums = sums.index_add(0, owner * CELLS[0] * CELLS[1] + cell, values.T)
    return (sums.reshape(len(x), -1, len(features)) / (steps[0] * steps[1])[:, None, None]).transpose(1, 2).flatten(1)


def _bilinear(features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Values (C, p) of maps (C, H, W) between pixels, zero more than a pixel outside."""
    _, height, width = features.shape
    inside = (rows >= -1) & (rows <= height) & (columns >= -1) & (columns <= width)
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    top, left = rows.long(), columns.long()
    bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    down, aside, flat = rows - top, columns - left, features.flatten(1)
    upper = flat[:, top * width + left] * (1 - aside) + flat[:, top * width + right] * aside
    lower = flat[:, bottom * width + left] * (1 - aside) + flat[:, bottom * width + right] * aside
    return (upper * (1 - down) + lower * down) * inside


def _embedded(geometry: Tensor) -> Tensor:
    """Geometry (n, 6) at many frequencies, (n, 120): the sine for nodes of even, the cosine for nodes of odd number, as
    upstream has it."""
    powers = 2.0 * (torch.arange(WAVES, device=geometry.device) // 2) / WAVES
    values = geometry[:, None] / (1000**powers)[:, None]  # (n, waves, 6)
    odd = torch.arange(len(geometry), device=geometry.device) % 2 == 1
    return torch.where(odd[:, None, None], values.cos(), values.sin()).flatten(1)


def local_graphs(places: Tensor, numbers: Tensor) -> Graphs:
    """A graph for every component but the twins of others: itself, its neighbours and theirs.

    places: (n > 8, 2) x and y; numbers: (n,) of the text, 0 for none.
    """
    distances = (places.double()[:, None] - places.double()).square().sum(2).fill_diagonal_(-1)
    order = distances.argsort(dim=1, stable=True)
    close, further = order[:, 1 : HOPS[0] + 1], order[:, 1 : HOPS[1] + 1]
    nothing = torch.zeros_like(distances, dtype=torch.bool)
    held = nothing.scatter(1, close, True).scatter(1, further[close].flatten(1), True).fill_diagonal_(False)
    links = nothing.scatter(1, order[:, 1 : LINKS + 1], True)
    links |= links.T.clone()
    first = _first_nodes(held, close, numbers)
    sizes = held[first].sum(1) + 1
    rank = (~held[first]).long() + 1
    rank[torch.arange(len(first), device=first.device), first] = 0  # the first node, those that are held, the others
    nodes = rank.argsort(dim=1, stable=True)[:, : int(sizes.max())]
    real = torch.arange(nodes.shape[1], device=nodes.device) < sizes[:, None]
    near = (links[nodes[:, :, None], nodes[:, None]] & real[:, :, None] & real[:, None]).float()
    near = near + torch.diag_embed(real.float())
    share = near.sum(1).clamp(min=1).rsqrt()
    same = (numbers[close[first]] == numbers[first][:, None]) & (numbers[first] > 0)[:, None]
    found = (nodes[:, None] == close[first][:, :, None]).int().argmax(2)
    return Graphs(nodes * real, real, near * share[:, :, None] * share[:, None], found, same.long())


def _first_nodes(held: Tensor, close: Tensor, numbers: Tensor) -> Tensor:
    """Numbers of the components that get a graph: not those near one of the same text that has a graph with nearly the
    same nodes."""
    common = held.float() @ held.float().T
    sizes = held.sum(1)
    alike = common / (sizes[:, None] + sizes - common + 1e-8) > TWINS
    known = torch.zeros_like(held).scatter(1, close, True).T  # component, first node that it is near to
    twins = (alike & known & (numbers[:, None] == numbers) & (numbers > 0)).cpu()
    chosen = torch.zeros(len(held), dtype=torch.bool)
    for number, row in enumerate(twins):
        chosen[number] = not bool((row & chosen).any())
    return held.new_tensor(chosen.nonzero().flatten().tolist(), dtype=torch.long)


def batched(features: Tensor, components: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Input of the graph network for the pictures of a batch, and what is to be learnt.

    features: (N, C, H, W); components: (N, m, 7) as the target maker gives them, counts: (N,) of each picture.
    Returns nodes (g, n, C * 12 + 120) less their first, near (g, n, n), places (g, k) and linked (g, k).
    """
    nodes, graphs = [], []
    for maps, found, count in zip(features, components, counts.tolist(), strict=True):
        graph = local_graphs(found[:count, :2], found[:count, 6])
        values = node_features(maps, found[:count, :6])[graph.nodes]
        nodes.append((values - values[:, :1]) * graph.real[:, :, None])
        graphs.append(graph)
    most = max(x.shape[1] for x in nodes)
    return (
        torch.cat([F.pad(x, (0, 0, 0, most - x.shape[1])) for x in nodes]),
        torch.cat([F.pad(g.near, (0, most - g.near.shape[1]) * 2) for g in graphs]),
        torch.cat([g.places for g in graphs]),
        torch.cat([g.linked for g in graphs]),
    )
