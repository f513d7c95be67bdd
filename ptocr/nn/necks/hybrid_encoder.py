"""The hybrid encoder of RT-DETR (arXiv 2304.08069): attention on the coarsest map, then a pyramid down and up.

Upstream: ppdet/modeling/transformers/hybrid_encoder.py (HybridEncoder, CSPRepLayer, TransformerLayer),
ppdet/modeling/backbones/cspresnet.py (RepVggBlock).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Reparam, merge_convs
from ptocr.nn.layers import ConvBN, FoldingSequential, with_bias
from ptocr.nn.network import Neck

HEADS = 8
TEMPERATURE = 10000.0  # of the sine embedding


class DeployedRepVgg(nn.Module):
    """`RepVgg` with its branches merged."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv(x))


class RepVgg(Reparam):
    """Sum of a 3 x 3 and a pointwise convolution, then SiLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, channels, 3)
        self.conv2 = ConvBN(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv1(x) + self.conv2(x))

    def fused(self) -> nn.Module:
        branches = [self.conv1.folded(), self.conv2.folded()]
        return DeployedRepVgg(merge_convs(with_bias(self.conv1.conv), branches))


class CSPRep(nn.Module):
    """Cross stage partial layer of RepVgg blocks; both ways have all channels and are added."""

    def __init__(self, in_channels: int, channels: int, blocks: int = 3) -> None:
        super().__init__()
        self.conv1 = ConvBN(in_channels, channels, 1, act="swish")
        self.conv2 = ConvBN(in_channels, channels, 1, act="swish")
        self.bottlenecks = nn.Sequential(*(RepVgg(channels) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        return self.bottlenecks(self.conv1(x)) + self.conv2(x)  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Attention among all cells, whose place is added to queries and keys, then two linear layers; norms behind."""

    def __init__(self, dim: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, HEADS, batch_first=True)
        self.linear1 = nn.Linear(dim, feedforward)
        self.linear2 = nn.Linear(feedforward, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        keys = x + place
        x = self.norm1(x + self.self_attn(keys, keys, x, need_weights=False)[0])
        return self.norm2(x + self.linear2(F.gelu(self.linear1(x))))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Some layers, one after the other: (N, C, h, w) -> the same shape."""

    def __init__(self, dim: int, feedforward: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dim, feedforward) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        tokens, place = x.flatten(2).transpose(1, 2), sine_places(x)
        for layer in self.layers:
            tokens = layer(tokens, place)
        return tokens.transpose(1, 2).reshape(x.shape)


def sine_places(x: Tensor) -> Tensor:
    """Sine embedding of the cells of a map (N, C, h, w), row by row: (1, h * w, C); the first half tells the row."""
    channels, height, width = x.shape[1:]
    part = channels // 4
    rates = 1 / TEMPERATURE ** (torch.arange(part, device=x.device, dtype=torch.float32) / part)
    halves = []
    for count in (height, width):
        angles = torch.arange(count, device=x.device, dtype=torch.float32)[:, None] * rates
        halves.append(torch.cat([angles.sin(), angles.cos()], dim=1))
    rows = halves[0][:, None].expand(height, width, 2 * part)
    columns = halves[1][None].expand(height, width, 2 * part)
    return torch.cat([rows, columns], dim=2).reshape(1, height * width, channels).to(x.dtype)


class HybridEncoder(Neck):
    """Maps, finest first, each half as large as the one before -> as many maps of `hidden` channels, as large.

    layers, feedforward: of the attention on the coarsest map.
    """

    def __init__(self, in_channels: list[int], hidden: int = 256, layers: int = 1, feedforward: int = 1024) -> None:
        super().__init__()
        self.out_channels = [hidden] * len(in_channels)
        self.input_proj = nn.ModuleList(
            FoldingSequential(nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden))
            for channels in in_channels
        )
        self.encoder = nn.ModuleList([Encoder(hidden, feedforward, layers)])
        merges = range(len(in_channels) - 1)
        self.lateral_convs = nn.ModuleList(ConvBN(hidden, hidden, 1, act="swish") for _ in merges)
        self.fpn_blocks = nn.ModuleList(CSPRep(2 * hidden, hidden) for _ in merges)
        self.downsample_convs = nn.ModuleList(ConvBN(hidden, hidden, 3, 2, act="swish") for _ in merges)
        self.pan_blocks = nn.ModuleList(CSPRep(2 * hidden, hidden) for _ in merges)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [project(x) for project, x in zip(self.input_proj, maps, strict=True)]
        maps[-1] = self.encoder[0](maps[-1])
        merged = [maps[-1]]
        for lateral, block, finer in zip(self.lateral_convs, self.fpn_blocks, maps[-2::-1], strict=True):
            merged[0] = lateral(merged[0])
            grown = F.interpolate(merged[0], size=finer.shape[2:], mode="nearest")
            merged.insert(0, block(torch.cat([grown, finer], dim=1)))
        out = [merged[0]]
        for shrink, block, coarser in zip(self.downsample_convs, self.pan_blocks, merged[1:], strict=True):
            out.append(block(torch.cat([shrink(out[-1]), coarser], dim=1)))
        return out


class MaskFeatures(nn.Module):
    """Maps, finest first -> one of the finest one's size: each is convolved and enlarged by steps, then all are added
    (upstream `MaskFeatFPN`)."""

    def __init__(self, in_channels: list[int], channels: int) -> None:
        super().__init__()
        self.scale_heads = nn.ModuleList()
        for level, wide in enumerate(in_channels):
            steps: list[nn.Module] = []
            for step in range(max(level, 1)):
                steps.append(nn.Sequential(ConvBN(channels if step else wide, channels, 3, act="swish")))
                if level:
                    steps.append(nn.Upsample(scale_factor=2, mode="bilinear"))
            self.scale_heads.append(nn.Sequential(*steps))
        self.output_conv = ConvBN(channels, channels, 3, act="swish")

    def forward(self, maps: list[Tensor]) -> Tensor:
        out = self.scale_heads[0](maps[0])
        for head, x in zip(self.scale_heads[1:], maps[1:], strict=True):
            out = out + head(x)
        return self.output_conv(out)  # type: ignore[no-any-return]


class MaskHybridEncoder(HybridEncoder):
    """Maps, finest first -> the maps of `HybridEncoder` of all but the first one, and maps of prototypes of masks, as
    large as the first one: (N, prototypes, h, w)."""

    def __init__(self, in_channels: list[int], hidden: int = 256, channels: int = 64, prototypes: int = 32) -> None:
        super().__init__(in_channels[1:], hidden)
        self.mask_feat_head = MaskFeatures(self.out_channels, channels)
        self.enc_mask_lateral = ConvBN(in_channels[0], channels, 3, act="swish")
        self.enc_mask_output = nn.Sequential(
            ConvBN(channels, channels, 3, act="swish"), nn.Conv2d(channels, prototypes, 1)
        )

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], Tensor]:  # type: ignore[override]
        out = super().forward(maps[1:])
        grown = F.interpolate(self.mask_feat_head(out), scale_factor=2, mode="bilinear")
        return out, self.enc_mask_output(grown + self.enc_mask_lateral(maps[0]))
