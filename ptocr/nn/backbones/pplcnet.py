"""PP-LCNet (arXiv 2109.15099): a classifier of orientation, and the backbone of layout and table networks.

Upstream: PaddleClas ppcls/arch/backbone/legendary_models/pp_lcnet.py.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import SE, ConvBN, Size, make_divisible, pair
from ptocr.nn.network import Network

# kernel, in, out, squeeze-excite; channels at scale 1. The first row of every group but the first one is down-sampling.
Row = tuple[int, int, int, bool]
ROWS: dict[str, list[Row]] = {
    "blocks2": [(3, 16, 32, False)],
    "blocks3": [(3, 32, 64, False), (3, 64, 64, False)],
    "blocks4": [(3, 64, 128, False), (3, 128, 128, False)],
    "blocks5": [(3, 128, 256, False)] + [(5, 256, 256, False)] * 5,
    "blocks6": [(5, 256, 512, True), (5, 512, 512, True)],
}
EXPAND = 1280  # channels of the last convolution, at every scale
DROPOUT = 0.2


class Block(nn.Module):
    """Depthwise, optional squeeze-excite, pointwise."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: Size, se: bool) -> None:
        super().__init__()
        self.dw_conv = ConvBN(in_channels, in_channels, kernel, stride, groups=in_channels, act="hardswish")
        self.se = SE(in_channels) if se else None
        self.pw_conv = ConvBN(in_channels, out_channels, 1, act="hardswish")

    def forward(self, x: Tensor) -> Tensor:
        x = self.dw_conv(x)
        if self.se is not None:
            x = self.se(x)
        return self.pw_conv(x)


def _add_blocks(network: nn.Module, scale: float, strides: tuple[Size, ...]) -> dict[str, int]:
    """Give a module the stem and the blocks. strides: of the stem and of the four down-sampling blocks.

    Returns the channels of every group.
    """
    network.conv1 = ConvBN(3, make_divisible(16 * scale), 3, pair(strides[0]), act="hardswish")
    channels = {}
    for (name, rows), first in zip(ROWS.items(), (1, *strides[1:]), strict=True):
        blocks = nn.Sequential()
        for i, (kernel, cin, cout, se) in enumerate(rows):
            channels[name] = make_divisible(cout * scale)
            blocks.append(Block(make_divisible(cin * scale), channels[name], kernel, 1 if i else pair(first), se))
        network.add_module(name, blocks)
    return channels


class PPLCNet(nn.Module):
    """(N, 3, H, W) -> the last map of each group in `levels`, finest first: a quarter of the picture's size
    for blocks3, half as large for each further one."""

    def __init__(self, scale: float = 1.0, levels: tuple[str, ...] = tuple(ROWS)[1:]) -> None:
        super().__init__()
        self.levels = tuple(levels)
        channels = _add_blocks(self, scale, (2, 2, 2, 2, 2))
        self.out_channels = [channels[name] for name in self.levels]

    def forward(self, x: Tensor) -> list[Tensor]:
        x, maps = self.conv1(x), []
        for name in ROWS:
            x = getattr(self, name)(x)
            if name in self.levels:
                maps.append(x)
        return maps


class PPLCNetClassifier(Network):
    """(N, 3, H, W) -> class probabilities (N, K).

    strides: of the stem and of the four down-sampling blocks. One module without a head, as its checkpoints are.
    """

    def __init__(self, classes: int, scale: float = 1.0, strides: tuple[Size, ...] = (2, 2, 2, 2, 2)) -> None:
        super().__init__()
        width = _add_blocks(self, scale, strides)["blocks6"]
        self.last_conv = nn.Conv2d(width, EXPAND, 1, bias=False)
        self.fc = nn.Linear(EXPAND, classes)

    def features(self, x: Tensor) -> Tensor:
        """The last map, before the pooling: (N, C, h, w)."""
        x = self.conv1(x)
        for name in ROWS:
            x = getattr(self, name)(x)
        return x

    def logits(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.last_conv(self.features(x).mean((2, 3), keepdim=True))).flatten(1)
        # upstream's dropout leaves what it keeps as it is while training and shrinks everything in evaluation
        return self.fc(F.dropout(x, DROPOUT, self.training) * (1 - DROPOUT))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).softmax(1)

    def answer(self, x: Tensor) -> Tensor:
        return self.logits(x)

    def forward_train(self, x: Tensor, targets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        return {"logits": self.logits(x)}
