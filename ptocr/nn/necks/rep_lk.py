"""Large-kernel pyramids of PP-OCRv6: RepLKFPN (tiny, small) and RepLKPAN (medium).

Upstream: ppocr/modeling/necks/db_fpn.py. The dilated branches are UniRepLKNet's (arXiv 2311.15599).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

from torch import Tensor, nn

from ptocr.nn.fuse import Reparam, fold_bn, merge_convs
from ptocr.nn.layers import SE, with_bias
from ptocr.nn.necks.db_fpn import LKPAN, Join, RSELayer, coarsest_first, merge_top_down
from ptocr.nn.network import Neck

# size of the merged kernel -> (kernel, dilation) of the branches beside it
DILATED: dict[int, tuple[tuple[int, int], ...]] = {
    5: ((3, 1), (3, 2)),
    7: ((5, 1), (3, 2), (3, 3)),
    9: ((5, 1), (5, 2), (3, 3), (3, 4)),
}


class DilatedRep(Reparam):
    """Depthwise: one large kernel plus small dilated ones, a batch norm each (upstream `DilatedReparamBlock`)."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.lk_origin = _depthwise(channels, kernel_size)
        self.origin_bn = nn.BatchNorm2d(channels)
        self.names = [("lk_origin", "origin_bn")]
        for kernel, dilation in DILATED[kernel_size]:
            conv, bn = f"dil_conv_k{kernel}_{dilation}", f"dil_bn_k{kernel}_{dilation}"
            self.add_module(conv, _depthwise(channels, kernel, dilation))
            self.add_module(bn, nn.BatchNorm2d(channels))
            self.names.append((conv, bn))

    def branches(self) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
        """Every branch, the large kernel first."""
        return [(getattr(self, conv), getattr(self, bn)) for conv, bn in self.names]

    def forward(self, x: Tensor) -> Tensor:
        (conv, bn), *others = self.branches()
        y = bn(conv(x))
        for conv, bn in others:
            y = y + bn(conv(x))
        return y

    def fused(self) -> nn.Module:
        folded = [fold_bn(conv, bn) for conv, bn in self.branches()]
        return nn.Sequential(OrderedDict(lk_origin=merge_convs(with_bias(self.lk_origin), folded)))


def _depthwise(channels: int, kernel: int, dilation: int = 1) -> nn.Conv2d:
    padding = (kernel - 1) * dilation // 2
    return nn.Conv2d(channels, channels, kernel, padding=padding, dilation=dilation, groups=channels, bias=False)


class DilatedRepConv(Reparam):
    """`DilatedRep` and a 1 x 1 convolution with batch norm in place of a dense large kernel (`DilatedReparamConv`)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 9) -> None:
        super().__init__()
        self.dw = DilatedRep(in_channels, kernel_size)
        self.pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.pw(self.dw(x)))

    def fused(self) -> nn.Module:
        return nn.Sequential(OrderedDict(dw=self.dw, pw=fold_bn(self.pw, self.bn)))


class AuxPyramid(Neck):
    """A pyramid that shows its top-down maps to the auxiliary heads in training.

    Four maps, finest first -> (N, out_channels, H / 4, W / 4).
    """

    def top_down(self, maps: list[Tensor]) -> list[Tensor]:
        """The lateral maps, each with every coarser one added: (N, out_channels, ...), finest first."""
        raise NotImplementedError

    def bottom(self, merged: list[Tensor]) -> Tensor:
        """From the merged maps to the pyramid's output."""
        raise NotImplementedError

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.bottom(self.top_down(maps))

    def forward_train(self, maps: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The output, and the merged maps at 1/4, 1/8 and 1/16 as "p2", "p3", "p4"."""
        merged = self.top_down(maps)
        return self.bottom(merged), {"p4": merged[2], "p3": merged[1], "p2": merged[0]}


class RepLKFPN(AuxPyramid):
    """RSEFPN with a depthwise large kernel and a 1 x 1 convolution in place of its 3 x 3 convolutions."""

    def __init__(
        self, in_channels: list[int], out_channels: int, dilated_kernel_size: int = 7, shortcut: bool = True
    ) -> None:
        super().__init__()
        levels, quarter = range(len(in_channels)), out_channels // 4
        self.out_channels = out_channels
        self.shortcut = shortcut
        self.ins_conv = nn.ModuleList(RSELayer(c, out_channels, 1, shortcut) for c in in_channels)
        self.inp_conv_dw = nn.ModuleList(DilatedRep(out_channels, dilated_kernel_size) for _ in levels)
        self.inp_conv_pw = nn.ModuleList(nn.Conv2d(out_channels, quarter, 1, bias=False) for _ in levels)
        self.inp_conv_se = nn.ModuleList(SE(quarter, slope=0.2) for _ in levels)
        self.join = Join()

    def top_down(self, maps: list[Tensor]) -> list[Tensor]:
        return merge_top_down(coarsest_first(self.ins_conv, maps))

    def bottom(self, merged: list[Tensor]) -> Tensor:
        return self.join(coarsest_first([partial(self.level, i) for i in range(len(merged))], merged))

    def level(self, i: int, x: Tensor) -> Tensor:
        """Large kernel, narrowing and squeeze-excite of level i (0 is the finest)."""
        x = self.inp_conv_pw[i](self.inp_conv_dw[i](x))
        gate: Any = self.inp_conv_se[i]
        return gate.residual(x) if self.shortcut else gate(x)


class RepLKPAN(LKPAN, AuxPyramid):
    """LKPAN with `DilatedRepConv` for its 9 x 9 kernels."""

    @staticmethod
    def large_kernel(in_channels: int, out_channels: int) -> nn.Module:
        return DilatedRepConv(in_channels, out_channels)
