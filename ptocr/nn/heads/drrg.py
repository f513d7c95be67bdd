"""DRRG head and its graph network (arXiv 2003.07493). Upstream: ppocr/modeling/heads/det_drrg_head.py, gcn.py."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, with_folded
from ptocr.nn.heads.drrg_graphs import batched
from ptocr.nn.network import Head

MAPS = 6
POOLED = 12  # cells that the features of a text component are averaged in
GEOMETRY = 120  # features of a component's place, size and angle


class GraphConv(nn.Module):
    """Graph convolution: nodes (G, n, C) and the mean of their neighbours (by matrices (G, n, n)) -> (G, n, out)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2 * in_channels, out_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, nodes: Tensor, near: Tensor) -> Tensor:
        return F.relu(torch.cat([nodes, near @ nodes], dim=2) @ self.weight + self.bias)


class ChannelPReLU(nn.Module):
    """PReLU with a slope for each channel, under Paddle's name: (N, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._weight = nn.Parameter(torch.full((channels,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self._weight)


class _Layers(nn.Module):
    """What a graph network computes."""

    bn0: nn.Module

    def forward(self, nodes: Tensor, near: Tensor, places: Tensor) -> Tensor:
        """Local graphs (G, n, C), their matrices (G, n, n) and k places in each (G, k) -> probability (G, k) that the
        node at a place belongs to the text of the graph's first node."""
        return torch.softmax(self.logits(nodes, near, places), dim=2)[..., 1]

    def logits(self, nodes: Tensor, near: Tensor, places: Tensor) -> Tensor:
        """As `forward`, logits of both answers: (G, k, 2)."""
        x = self.bn0(nodes.flatten(0, 1)).reshape(nodes.shape)
        for layer in ("conv1", "conv2", "conv3", "conv4"):
            x = getattr(self, layer)(x, near)
        chosen = x.gather(1, places[:, :, None].expand(-1, -1, x.shape[2]))
        return self.classifier(chosen.flatten(0, 1)).reshape(*places.shape, 2)  # type: ignore[operator,no-any-return]


class KeptNorm(nn.BatchNorm1d):
    """Batch norm that learns nothing: neither statistics nor a scale.

    Upstream means to normalise without parameters of its own, but asks Paddle for global statistics, which then nobody
    gathers. The other weights are trained for that, so it stays.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


class GCN(_Layers, Fusible):
    """Graph convolutional network that links text components."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn0 = KeptNorm(channels)
        for number, (before, after) in enumerate([(channels, 512), (512, 256), (256, 128), (128, 64)], 1):
            self.add_module(f"conv{number}", GraphConv(before, after))
        self.classifier = nn.Sequential(nn.Linear(64, 32), ChannelPReLU(32), nn.Linear(32, 2))

    def fused(self) -> nn.Module:
        layers = with_folded(self, _Layers, {})
        layers.bn0 = Scaling(self.bn0)  # type: ignore[arg-type]
        return layers


class Scaling(nn.Module):
    """A batch norm in evaluation as one multiplication and one addition."""

    def __init__(self, bn: nn.BatchNorm1d) -> None:
        super().__init__()
        scale = bn.weight.detach() / torch.sqrt(bn.running_var + bn.eps)  # type: ignore[operator]
        self.register_buffer("scale", scale)
        self.register_buffer("shift", bn.bias.detach() - bn.running_mean * scale)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class DRRGHead(Head):
    """(N, C, H, W) -> (N, C + 6, H, W): the features that came in, then logits of the text and of its middle, sine,
    cosine and the heights above and below. `gcn` links the components that are found in them."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(in_channels, MAPS, 1)
        self.gcn = GCN(POOLED * (in_channels + MAPS) + GEOMETRY)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.out_conv(x)], dim=1)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The six maps as "maps". With targets["components"] (N, m, 7), x, y, height, width, cosine, sine and number of
        the text, of which the first targets["count"] (N,) are some: "links" (g, 8, 2), logits of whether the neighbours
        of a component belong to its text, and "linked" (g, 8), whether they do."""
        maps = self.out_conv(x)
        if targets is None or "components" not in targets:
            return {"maps": maps}
        graphs = batched(torch.cat([x, maps], dim=1).float(), targets["components"], targets["count"])
        return {"maps": maps, "links": self.gcn.logits(*graphs[:3]), "linked": graphs[3]}
