"""MobileNetV1 with larger kernels and squeeze-excite (PP-OCRv3 recognisers).

Upstream: ppocr/modeling/backbones/rec_mv1_enhance.py.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ptocr.nn.layers import SE, ConvBatchNorm, Size, pair

# kernel, in, out, stride, squeeze-excite; channels at scale 1. The last stride is a setting of the model.
Row = tuple[int, int, int, Size, bool]
ROWS: list[Row] = [
    (3, 32, 64, 1, False),
    (3, 64, 128, 1, False),
    (3, 128, 128, 1, False),
    (3, 128, 256, (2, 1), False),
    (3, 256, 256, 1, False),
    (3, 256, 512, (2, 1), False),
    *[(5, 512, 512, 1, False)] * 5,
    (5, 512, 1024, (2, 1), True),
]
LAST = 1024  # channels of the last block at scale 1


class Separable(nn.Module):
    """Depthwise, optional squeeze-excite, pointwise (upstream `DepthwiseSeparable`)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: Size, se: bool) -> None:
        super().__init__()
        self._depthwise_conv = ConvBatchNorm(
            in_channels, in_channels, kernel, stride, groups=in_channels, act="hardswish"
        )
        self._se = SE(in_channels) if se else None
        self._pointwise_conv = ConvBatchNorm(in_channels, out_channels, 1, act="hardswish")

    def forward(self, x: Tensor) -> Tensor:
        x = self._depthwise_conv(x)
        if self._se is not None:
            x = self._se(x)
        return self._pointwise_conv(x)


class MobileNetV1Enhance(nn.Module):
    """(N, 3, 48, W) -> (N, 1024 * scale, 1, W / 8) with last_conv_stride (1, 2) and average pooling.

    last_pool: pooling after the last block, over windows of `last_pool_kernel_size`.
    """

    def __init__(
        self,
        scale: float = 0.5,
        last_conv_stride: Size = 1,
        last_pool_type: Literal["max", "avg"] = "max",
        last_pool_kernel_size: Size = 2,
    ) -> None:
        super().__init__()
        rows = [*ROWS, (5, LAST, LAST, pair(last_conv_stride), True)]
        self.conv1 = ConvBatchNorm(3, int(32 * scale), 3, stride=2, act="hardswish")
        self.block_list = nn.Sequential(
            *(
                Separable(int(cin * scale), int(cout * scale), kernel, stride, se)
                for kernel, cin, cout, stride, se in rows
            )
        )
        self.pool = F.avg_pool2d if last_pool_type == "avg" else F.max_pool2d
        self.pool_size = pair(last_pool_kernel_size)
        self.out_channels = int(LAST * scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.block_list(self.conv1(x)), self.pool_size)
