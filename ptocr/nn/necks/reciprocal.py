"""Adaptors between the two branches of RFL (Reciprocal Feature Learning, arXiv 2105.06229).

Upstream: ppocr/modeling/necks/rf_adaptor.py.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, fold_bn
from ptocr.nn.network import Neck


class _Gate(nn.Module):
    channel_inter: nn.Module
    channel_bn: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        y = self.channel_inter(x.squeeze(2).transpose(1, 2)).transpose(1, 2)
        return F.relu(self.channel_bn(y)).unsqueeze(2)


class ChannelGate(_Gate, Fusible):
    """(N, C, 1, W) -> (N, C, 1, W): a linear layer over the channels of every column, batch norm, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_inter = nn.Linear(channels, channels, bias=False)
        self.channel_bn = nn.BatchNorm1d(channels)

    def fused(self) -> nn.Module:
        gate = _Gate()
        gate.channel_inter = fold_bn(self.channel_inter, self.channel_bn)  # type: ignore[type-var, arg-type]
        gate.channel_bn = nn.Identity()
        return gate


class RFAdaptor(Neck):
    """Maps (N, C, 1, W) for counting and reading, each seen by the other: the first as it is, the second as a
    sequence (N, W, C)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.out_channels = in_channels
        self.neck_v2s = ChannelGate(in_channels)
        self.neck_s2v = ChannelGate(in_channels)

    def forward(self, maps: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        counting, reading = maps
        sequence = (reading * self.neck_v2s(counting)).squeeze(2).transpose(1, 2)
        return counting + reading * self.neck_s2v(reading), sequence
