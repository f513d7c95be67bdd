"""ResNet of 45 layers with a bidirectional LSTM behind it (ASTER, SEED). Upstream:
ppocr/modeling/backbones/rec_resnet_aster.py."""

from __future__ import annotations

from torch import Tensor, nn

from ptocr.nn.backbones.plain_resnet import PlainBlock
from ptocr.nn.layers import FoldingSequential, Size
from ptocr.nn.necks.sequence import to_sequence

STAGES: tuple[tuple[int, int, Size], ...] = (
    (32, 3, 2),
    (64, 4, 2),
    (128, 6, (2, 1)),
    (256, 6, (2, 1)),
    (512, 3, (2, 1)),
)  # fmt: skip (channels, depth, stride)


class ResNetASTER(nn.Module):
    """(N, 3, 32, W) -> (N, W / 4, 512)."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.out_channels = 512
        first = nn.Conv2d(in_channels, 32, 3, padding=1, bias=False)
        self.layer0 = FoldingSequential(first, nn.BatchNorm2d(32), nn.ReLU())
        channels = 32
        for number, (width, depth, stride) in enumerate(STAGES, start=1):
            blocks = [PlainBlock(channels, width, (1, 3), stride, early=True)]
            blocks += [PlainBlock(width, width, (1, 3)) for _ in range(depth - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            channels = width
        self.rnn = nn.LSTM(channels, 256, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        for stage in range(len(STAGES) + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.rnn(to_sequence(x))[0]
