"""U-Net neck of DRRG (arXiv 2003.07493). Upstream: ppocr/modeling/necks/fpn_unet.py."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.network import Neck

WIDEST = 256


def _doubling(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)


class UpBlock(nn.Module):
    """Mix, reduce, double the size: (N, C, H, W) -> (N, out, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(in_channels, in_channels, 1)
        self.conv3x3 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.deconv = _doubling(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.deconv(F.relu(self.conv3x3(F.relu(self.conv1x1(x)))))


class FPNUNet(Neck):
    """Four maps, finest first -> (N, out_channels, H, W), in the full size of the picture."""

    def __init__(self, in_channels: list[int], out_channels: int = 32) -> None:
        super().__init__()
        self.out_channels = out_channels
        widths = [min(out_channels * 2**i, WIDEST) for i in range(4)]
        self.up4 = _doubling(in_channels[3], widths[3])
        for level in (3, 2, 1):
            self.add_module(f"up_block{level}", UpBlock(in_channels[level - 1] + widths[level], widths[level - 1]))
        self.up_block0 = UpBlock(widths[0], out_channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = F.relu(self.up4(maps[3]))
        for level in (3, 2, 1):
            x = F.relu(getattr(self, f"up_block{level}")(torch.cat([x, maps[level - 1]], dim=1)))
        return self.up_block0(x)
