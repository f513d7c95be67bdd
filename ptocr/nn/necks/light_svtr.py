"""The sequence encoder of PP-OCRv6. Upstream: `EncoderWithLightSVTR` in ppocr/modeling/necks/rnn.py."""

from __future__ import annotations

from torch import Tensor, nn

from ptocr.nn.layers import ConvNorm, FoldingSequential
from ptocr.nn.necks.sequence import Block


class EncoderWithLightSVTR(nn.Module):
    """Reduce, look at neighbours (1 x `local_kernel`), mix globally, add a shortcut: (N, C, 1, W) -> (N, dims, 1, W).

    use_guide: the backbone gets no gradient from here while a training-only branch guides it.
    """

    def __init__(
        self,
        in_channels: int,
        dims: int = 64,
        depth: int = 1,
        mlp_ratio: float = 4.0,
        local_kernel: int = 7,
        use_guide: bool = False,
    ) -> None:
        super().__init__()
        self.use_guide = use_guide
        self.out_channels = dims
        self.conv_reduce = ConvNorm(in_channels, dims, 1, act="swish")
        self.local_conv = FoldingSequential(
            nn.Conv2d(dims, dims, (1, local_kernel), padding=(0, local_kernel // 2), groups=dims, bias=False),
            nn.BatchNorm2d(dims),
            nn.SiLU(),
        )
        self.svtr_block = nn.ModuleList(Block(dims, mlp_ratio=mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(dims, eps=1e-6)
        self.skip_conv = ConvNorm(in_channels, dims, 1, act="swish")

    def forward(self, x: Tensor) -> Tensor:
        if self.use_guide:
            x = x.detach()
        shortcut = self.skip_conv(x)
        y = self.conv_reduce(x)
        y = y + self.local_conv(y)
        n, channels, height, width = y.shape
        y = y.flatten(2).transpose(1, 2)  # (N, C, H, W) -> (N, H * W, C)
        for block in self.svtr_block:
            y = block(y)
        y = self.norm(y).transpose(1, 2).reshape(n, channels, height, width)
        return y + shortcut
