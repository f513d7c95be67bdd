"""PP-LCNetV3 (PP-OCRv4 and v5 mobile). Upstream: ppocr/modeling/backbones/rec_lcnetv3.py."""

from __future__ import annotations

from torch import Tensor, nn

from ptocr.nn.fuse import Fusible, absorb
from ptocr.nn.layers import SE, ConvBN, DeployedRep, LearnableRep, Size, make_divisible, pool_rec

# kernel, in, out, stride, squeeze-excite; channels at scale 1
Row = tuple[int, int, int, Size, bool]
DET: dict[str, list[Row]] = {
    "blocks2": [(3, 16, 32, 1, False)],
    "blocks3": [(3, 32, 64, 2, False), (3, 64, 64, 1, False)],
    "blocks4": [(3, 64, 128, 2, False), (3, 128, 128, 1, False)],
    "blocks5": [(3, 128, 256, 2, False), *[(5, 256, 256, 1, False)] * 4],
    "blocks6": [(5, 256, 512, 2, True), (5, 512, 512, 1, True), *[(5, 512, 512, 1, False)] * 2],
}
REC: dict[str, list[Row]] = {
    "blocks2": [(3, 16, 32, 1, False)],
    "blocks3": [(3, 32, 64, 1, False), (3, 64, 64, 1, False)],
    "blocks4": [(3, 64, 128, (2, 1), False), (3, 128, 128, 1, False)],
    "blocks5": [(3, 128, 256, (1, 2), False), *[(5, 256, 256, 1, False)] * 4],
    "blocks6": [
        (5, 256, 512, (2, 1), True),
        (5, 512, 512, 1, True),
        (5, 512, 512, (2, 1), False),
        (5, 512, 512, 1, False),
    ],
}
DET_CHANNELS = (16, 24, 56, 480)


class Block(Fusible):
    """Depthwise, optional squeeze-excite, pointwise (upstream `LCNetV3Block`)."""

    dw_conv: LearnableRep | DeployedRep
    pw_conv: LearnableRep | DeployedRep

    def __init__(self, in_channels: int, out_channels: int, stride: Size, kernel_size: int, se: bool) -> None:
        super().__init__()
        self.dw_conv = LearnableRep(in_channels, in_channels, kernel_size, stride, groups=in_channels)
        self.se = SE(in_channels) if se else None
        self.pw_conv = LearnableRep(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dw_conv(x)
        if self.se is not None:
            x = self.se(x)
        return self.pw_conv(x)

    def fused(self) -> nn.Module:
        """One sequence; the affine layer after the depthwise activation moves into the pointwise convolution."""
        (depthwise, between), (pointwise, after) = self.dw_conv.folded(), self.pw_conv.folded()
        layers: list[nn.Module] = [depthwise]
        if between is not None:
            layers.append(nn.Hardswish())
        if between is not None and self.se is None:
            pointwise = absorb(pointwise, between.scale, float(between.bias))
        elif between is not None:
            layers.append(between)
        layers += [] if self.se is None else [self.se]
        layers += [pointwise] if after is None else [pointwise, nn.Hardswish(), after]
        return nn.Sequential(*layers)


class PPLCNetV3Trunk(nn.Module):
    """Stem and five stages; `features` gives the outputs of the last four."""

    def __init__(self, table: dict[str, list[Row]], scale: float) -> None:
        super().__init__()
        self.conv1 = ConvBN(3, make_divisible(16 * scale, 16), 3, stride=2)
        for name, rows in table.items():
            blocks = [
                Block(make_divisible(cin * scale, 16), make_divisible(cout * scale, 16), stride, kernel, se)
                for kernel, cin, cout, stride, se in rows
            ]
            self.add_module(name, nn.Sequential(*blocks))

    def features(self, x: Tensor) -> list[Tensor]:
        x = self.blocks2(self.conv1(x))
        maps = []
        for stage in (self.blocks3, self.blocks4, self.blocks5, self.blocks6):
            x = stage(x)
            maps.append(x)
        return maps


class PPLCNetV3Det(PPLCNetV3Trunk):
    """(N, 3, H, W) -> four maps at 1/4 .. 1/32 with `out_channels` channels."""

    def __init__(self, scale: float) -> None:
        super().__init__(DET, scale)
        self.out_channels = [int(c * scale) for c in DET_CHANNELS]
        widths = [make_divisible(rows[-1][2] * scale, 16) for name, rows in DET.items() if name != "blocks2"]
        self.layer_list = nn.ModuleList(nn.Conv2d(w, c, 1) for w, c in zip(widths, self.out_channels, strict=True))

    def forward(self, x: Tensor) -> list[Tensor]:
        return [conv(y) for conv, y in zip(self.layer_list, self.features(x), strict=True)]


class PPLCNetV3Rec(PPLCNetV3Trunk):
    """(N, 3, 48, W) -> (N, C, 1, W / 8)."""

    def __init__(self, scale: float) -> None:
        super().__init__(REC, scale)
        self.out_channels = make_divisible(REC["blocks6"][-1][2] * scale, 16)

    def forward(self, x: Tensor) -> Tensor:
        return pool_rec(self.features(x)[-1])


def PPLCNetV3(scale: float = 1.0, det: bool = False) -> nn.Module:
    """The form that upstream's `det` switch picks."""
    return PPLCNetV3Det(scale) if det else PPLCNetV3Rec(scale)
